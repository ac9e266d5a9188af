"""JPEG files put behind one another in the arrays of an .npz file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from difnas_jax.data.base import Images
from difnas_jax.errors import InputError, one_line
from difnas_jax.runtime.files import DAMAGE

SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class JpegStream:
    """Image files of one split.

    Attributes:
      title: of the split, for errors.
      stream: uint8, all files.
      offsets: int[N + 1], where each begins and the last one ends.
      labels: int[N].
    """

    title: str
    stream: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """N."""
        return len(self.labels)

    def read(self, index: int) -> tuple[bytes, int]:
        """The bytes of a file and its label."""
        start, end = self.offsets[index : index + 2]
        return self.stream[start:end].tobytes(), int(self.labels[index])

    def name(self, index: int) -> str:
        """The split and the place in it."""
        return f"{self.title} image {index}"


def read_jpegs(path: Path) -> tuple[dict[str, Images], list[str]]:
    """The splits train and test, and the names of the classes.

    Args:
      path: an .npz file with `<split>_bytes`, `<split>_offsets` and `<split>_labels` of
        both, and `classes`.

    Raises:
      InputError: it is not such a file.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as values:
            splits: dict[str, Images] = {
                split: JpegStream(
                    f"{path}: {split}",
                    *(values[f"{split}_{part}"] for part in ("bytes", "offsets")),
                    labels=values[f"{split}_labels"],
                )
                for split in SPLITS
            }
            return splits, [str(name) for name in values["classes"]]
    except DAMAGE as error:
        raise InputError(
            f"jpegs:{path}: expected an .npz file of bytes, offsets and labels of "
            f"train and test, and classes ({one_line(error)})"
        ) from error
