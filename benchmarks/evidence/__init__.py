"""How well methods rank the networks of NAS-Bench-Macro and NAS-Bench-201."""
