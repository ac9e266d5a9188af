"""How much bfloat16 changes the indicator after training on the shipped digits."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import difnas_jax
from difnas_jax.config import load_config
from difnas_jax.config.build import build_wiring
from difnas_jax.ranking.correlation import spearman_rho
from difnas_jax.runtime import artifacts

CONFIG = "configs/digits.py"
# Name -> (type, seed). Another seed shows which agreement can be expected at best.
TRAININGS = {
    "float32": ("float32", 0),
    "bfloat16": ("bfloat16", 0),
    "another_seed": ("float32", 1),
}


def precision() -> dict[str, float]:
    """Spearman's rho of the indicator of each other training with that in float32."""
    known = {name: _indicator(*training) for name, training in TRAININGS.items()}
    first = known.pop("float32")
    return {name: spearman_rho(first, other) for name, other in known.items()}


def _indicator(dtype: str, seed: int) -> np.ndarray:
    """The known entries of the indicator after one training."""
    config = load_config(CONFIG)
    config.seed, config.supernet.dtype = seed, dtype
    config.stages = ("supernet", "indicator")
    with tempfile.TemporaryDirectory() as workdir:
        difnas_jax.run(config, workdir)
        path = Path(workdir) / artifacts.INDICATOR
        table = artifacts.Indicator.load(path, build_wiring(config).searched).table
    return table[np.isfinite(table)]
