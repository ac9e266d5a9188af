"""Conversion, first half: read every split of a data set and the names of its classes.

JPEG streams, which only a conversion reads, are defined here.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from difnas_jax.data.base import NamedSplits, Records
from difnas_jax.data.folder import read_folder
from difnas_jax.data.sources import read_arrays
from difnas_jax.data.tfds import read_prepared
from difnas_jax.errors import InputError, one_line
from difnas_jax.runtime.files import DAMAGE


@dataclasses.dataclass(frozen=True)
class JpegRecords(Records):
    """JPEG files of one split, stored one after another in an array.

    Attributes:
      title: of the split, for errors.
      stream: uint8, the bytes of all files.
      bounds: int[N, 2], where each file begins and ends.
      labels: int[N].
    """

    title: str
    stream: np.ndarray
    bounds: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """N."""
        return len(self.labels)

    def __getitem__(self, index: np.ndarray) -> JpegRecords:
        """See `Records`."""
        bounds, labels = self.bounds[index], self.labels[index]
        return dataclasses.replace(self, bounds=bounds, labels=labels)

    def read(self, index: int) -> tuple[bytes, int]:
        """The bytes of a file and its label."""
        start, end = self.bounds[index]
        return self.stream[start:end].tobytes(), int(self.labels[index])

    def name(self, index: int) -> str:
        """The split and the position in it."""
        return f"{self.title} image {index}"

    def checksum(self, value: int) -> int:
        """Of all files, their bounds and their labels."""
        for values in (self.stream, self.bounds, self.labels):
            value = zlib.crc32(values.tobytes(), value)
        return value


def read_jpegs(path: Path) -> NamedSplits:
    """The splits train and test.

    Args:
      path: an .npz file with `<split>_bytes`, `<split>_offsets` and `<split>_labels` of
        both, and `classes`; int[N + 1] offsets say where each file begins and the last
        one ends.

    Raises:
      InputError: the file is missing or malformed.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as values:
            splits = {}
            for split in ("train", "test"):
                offsets = values[f"{split}_offsets"]
                splits[split] = JpegRecords(
                    title=f"{path}: {split}",
                    stream=values[f"{split}_bytes"],
                    bounds=np.stack([offsets[:-1], offsets[1:]], axis=1),
                    labels=values[f"{split}_labels"],
                )
            return NamedSplits(splits, [str(name) for name in values["classes"]])
    except DAMAGE as error:
        raise InputError(
            f"jpegs:{path}: expected an .npz file of bytes, offsets and labels of "
            f"train and test, and classes ({one_line(error)})"
        ) from error


def _read_arrays(path: Path) -> NamedSplits:
    splits = read_arrays(path, num_classes=2**31)
    count = 1 + max(int(split.labels.max()) for split in splits.values())
    # Padded with zeros, so that the order of the names is that of the labels.
    classes = [f"{label:0{len(str(count - 1))}d}" for label in range(count)]
    return NamedSplits(splits, classes)


READERS: dict[str, Callable[[Path], NamedSplits]] = {
    "arrays": _read_arrays,
    "folder": read_folder,
    "jpegs": read_jpegs,
    "tfds": read_prepared,
}
