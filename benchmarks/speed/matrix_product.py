"""What the machine can do: a square matrix product in float32, and a large copy."""

# PyTorch is an extra that the type checker may not find.
# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.speed.programs import THREADS, TimedProgram

SIDE = 2048
COPIED = 2**26  # numbers of 4 bytes: more than any cache holds


def build(program: TimedProgram) -> Callable[[np.ndarray], None]:
    """A product of two [SIDE, SIDE] matrices or a copy; it ignores the paths."""
    compute = {"jax": _jax, "torch": _torch, "copy": _copy}[program.variant]()

    def update(paths: np.ndarray) -> None:
        compute()

    return update


def _matrices() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((2, SIDE, SIDE)).astype(np.float32)


def _jax() -> Callable[[], object]:
    import jax
    import jax.numpy as jnp

    left, right = jnp.asarray(_matrices())
    product = jax.jit(jnp.matmul)
    return lambda: product(left, right).block_until_ready()


def _copy() -> Callable[[], object]:
    """Read and write `COPIED` numbers; as they are, XLA would not copy them."""
    import jax
    import jax.numpy as jnp

    numbers = jnp.ones(COPIED, jnp.float32)
    copy = jax.jit(lambda numbers: numbers + 1)
    return lambda: copy(numbers).block_until_ready()


def _torch() -> Callable[[], object]:
    import torch

    torch.set_num_threads(THREADS)
    left, right = torch.from_numpy(_matrices())
    product = torch.empty_like(left)

    def multiply() -> None:
        torch.matmul(left, right, out=product)

    return multiply
