"""NAS-Bench-201 with one cell a stage where the benchmark has five.

The architectures are the same; a supernet costs a fifth and is shallow enough that its
convolutions learn within some hundred updates. `--config.space.name` of `judge` names
it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Unpack

from difnas_jax.spaces import SPACES
from difnas_jax.spaces.cell import CellSpace
from difnas_jax.spaces.image import Images
from difnas_jax.spaces.nas_bench_201 import nas_bench_201

NAME = "nas_bench_201_one_cell"


def one_cell(**images: Unpack[Images]) -> CellSpace:
    """Three stages of one cell."""
    return dataclasses.replace(nas_bench_201(**images), name=NAME, cells=1)


@contextlib.contextmanager
def registered() -> Iterator[None]:
    """Let configs name it."""
    SPACES[NAME] = one_cell
    try:
        yield
    finally:
        del SPACES[NAME]
