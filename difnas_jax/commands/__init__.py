"""Commands beside a run, one module each: `difnas-jax COMMAND`."""
