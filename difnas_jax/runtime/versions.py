"""Versions of what computes the numbers, for provenance."""

import importlib.metadata


def versions() -> dict[str, str]:
    """Version by package."""
    packages = ("difnas_jax", "jax", "jaxlib", "flax", "optax", "numpy")
    return {name: _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"  # a clone on the path
