"""What projected updates do to performance disturbance on NAS-Bench-Macro."""
