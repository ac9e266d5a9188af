"""Dynamical-isometry based neural architecture search (DI-NAS) in JAX and Flax."""

from difnas_jax.pipeline import Results, run

__all__ = ["Results", "run"]
