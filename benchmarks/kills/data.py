"""The data that the runs of `benchmarks.kills` read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from difnas_jax.commands import prepare
from difnas_jax.config import load_config
from difnas_jax.data import SOURCES
from difnas_jax.data.sources import SPLITS

CONFIG = Path(__file__).with_name("small_run.py")


def in_memory(folder: Path) -> list[str]:
    """The flags of a run that reads the digits which are shipped."""
    return []


def from_tfds(folder: Path) -> list[str]:
    """The flags of a run that reads them in a worker process from a data set of TFDS.

    Args:
      folder: where that is prepared, if it is not there.
    """
    target = prepare.Location.of(f"tfds:{folder}/digits/1.0.0", prepare.WRITERS)
    if not target.path.exists():
        digits = SOURCES["digits"](load_config(str(CONFIG)))
        arrays = {}
        for name in SPLITS:
            split = getattr(digits, name)
            arrays |= {f"x_{name}": split.images, f"y_{name}": split.labels}
        np.savez(folder / "digits.npz", allow_pickle=False, **arrays)
        source = prepare.Location.of(f"arrays:{folder}/digits.npz", prepare.READERS)
        prepare.convert(source, target)
    values = {"source": "tfds", "name": "digits", "path": folder, "workers": 1}
    values |= {"mean": 0.3, "std": 0.4, "validation_split": "validation"}
    return [f"--config.data.{name}={value}" for name, value in values.items()]


DATA = {"tfds": from_tfds, "digits": in_memory}
