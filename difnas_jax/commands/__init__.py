"""Commands beside a run, one module each: `python -m difnas_jax COMMAND`."""
