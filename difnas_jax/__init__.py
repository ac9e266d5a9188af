"""Dynamical-isometry based neural architecture search (DI-NAS) in JAX and Flax.

In a notebook: `difnas_jax.run(config, workdir)` with a config of `difnas_jax.config`,
then `net = difnas_jax.load(workdir)` for `net.predict(images)`, and
`difnas_jax.export(net, folder)` for other programs.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from difnas_jax import config
    from difnas_jax.deployment.exporters import export
    from difnas_jax.loading import load
    from difnas_jax.pipeline import Results, run

    __version__: str

# Name -> module that defines it.
DEFINED_IN = {
    "Results": "pipeline",
    "export": "deployment.exporters",
    "load": "loading",
    "run": "pipeline",
}
__all__ = ["Results", "__version__", "config", "export", "load", "run"]


def __getattr__(name: str) -> Any:
    """Load what needs JAX when it is asked for: spaces and search need none."""
    if name == "__version__":
        from difnas_jax.runtime.versions import versions

        return versions()[__name__]
    if name == "config":
        return importlib.import_module("difnas_jax.config")
    if name in DEFINED_IN:
        module = importlib.import_module(f"difnas_jax.{DEFINED_IN[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
