"""Reading whole data sets: path -> all splits, and the names of the classes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from difnas_jax.data.base import Images
from difnas_jax.data.folder import read_folder
from difnas_jax.data.jpegs import read_jpegs
from difnas_jax.data.sources import read_arrays
from difnas_jax.data.tfds import read_prepared


def _read_arrays(path: Path) -> tuple[dict[str, Images], list[str]]:
    splits = read_arrays(path, num_classes=2**31)
    count = 1 + max(int(split.labels.max()) for split in splits.values())
    # Padded with zeros, so that the order of the names is that of the labels.
    return {**splits}, [f"{label:0{len(str(count - 1))}d}" for label in range(count)]


def _read_folder(path: Path) -> tuple[dict[str, Images], list[str]]:
    names = sorted(entry.name for entry in os.scandir(path) if entry.is_dir())
    visible = [name for name in names if not name.startswith(".")]
    splits, classes = read_folder(path, sorted(visible, key=lambda n: n != "train"))
    return {**splits}, classes


def _read_tfds(path: Path) -> tuple[dict[str, Images], list[str]]:
    splits, classes = read_prepared(os.fspath(path))
    return {**splits}, classes


READERS: dict[str, Callable[[Path], tuple[dict[str, Images], list[str]]]] = {
    "arrays": _read_arrays,
    "folder": _read_folder,
    "jpegs": read_jpegs,
    "tfds": _read_tfds,
}
