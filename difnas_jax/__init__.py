"""Dynamical-isometry based neural architecture search (DI-NAS) in JAX and Flax.

In a notebook: `difnas_jax.run(config, workdir)` with a config of `difnas_jax.config`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from difnas_jax import config
    from difnas_jax.pipeline import Results, run

    __version__: str

__all__ = ["Results", "__version__", "config", "run"]


def __getattr__(name: str) -> Any:
    """Load the pipeline when it is asked for: spaces and search need no JAX."""
    if name == "__version__":
        from difnas_jax.runtime.versions import versions

        return versions()[__name__]
    if name == "config":
        return importlib.import_module("difnas_jax.config")
    if name in __all__:
        from difnas_jax import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
