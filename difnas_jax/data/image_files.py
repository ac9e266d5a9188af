"""Image files, in a tree of folders (see `folders`) or in an .npz file.

The .npz file holds JPEG files one after another; only a conversion reads it.
"""

import contextlib
import dataclasses
import os
import zlib
from collections.abc import Hashable, Iterator
from pathlib import Path

import numpy as np

from difnas_jax.data.base import NamedSplits, Records, spread_by_bytes
from difnas_jax.data.decoding import suffixes
from difnas_jax.errors import InputError, one_line
from difnas_jax.runtime.files import DAMAGE


@dataclasses.dataclass(frozen=True)
class FileRecords(Records):
    """Image files of one split.

    Attributes:
      root: folder of the split.
      paths: bytes[N], `<class>/.../<image>` below it: a tenth of the memory of strings.
      labels: int32[N].
    """

    root: Path
    paths: np.ndarray
    labels: np.ndarray

    per_image = ("paths", "labels")

    def read(self, index: int) -> tuple[bytes, int]:
        """The bytes of a file and its label.

        Raises:
          InputError: the file is missing by now, or this user may not read it.
        """
        with readable(self.name(index)):
            return Path(self.name(index)).read_bytes(), int(self.labels[index])

    def all_labels(self) -> np.ndarray:
        """int32[N], by the folders of the files."""
        return self.labels

    def name(self, index: int) -> str:
        """The path of a file."""
        return os.path.join(self.root, os.fsdecode(self.paths[index]))

    @property
    def container(self) -> str:
        """The formats of the files by their suffixes."""
        found = {os.path.splitext(path)[1].lower() for path in self.paths}
        names = sorted({suffixes()[os.fsdecode(suffix)] for suffix in found})
        return f"{' and '.join(names)} files, the first "

    def identities(self) -> list[Hashable]:
        """The real path of each file, of a split that is a link too."""
        root = os.fsencode(os.path.realpath(self.root))
        return [os.path.join(root, path) for path in self.paths]

    def sampled(self) -> range:
        """By the size of the files."""
        return spread_by_bytes(len(self), sum(self._sizes()))

    def checksum(self, value: int) -> int:
        """Of the names and sizes of all files, and of the bytes of those sampled."""
        for path, size in zip(self.paths, self._sizes(), strict=True):
            value = zlib.crc32(b"%s %d" % (path, size), value)
        for index in self.sampled():
            value = zlib.crc32(self.read(index)[0], value)
        return value

    def _sizes(self) -> Iterator[int]:
        for index in range(len(self)):
            with readable(self.name(index)):
                yield os.stat(self.name(index)).st_size


@contextlib.contextmanager
def readable(path: str) -> Iterator[None]:
    """Name a file or folder that this user cannot read."""
    try:
        yield
    except OSError as error:
        text = f"{path} cannot ({error.strerror})"
        raise InputError(f"data.path: expected what can be read, {text}") from error


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

    per_image = ("bounds", "labels")

    def read(self, index: int) -> tuple[bytes, int]:
        """The bytes of a file and its label."""
        start, end = self.bounds[index]
        return self.stream[start:end].tobytes(), int(self.labels[index])

    def all_labels(self) -> np.ndarray:
        """int[N]."""
        return self.labels

    def name(self, index: int) -> str:
        """The split and the position in it."""
        return f"{self.title} image {index}"

    def checksum(self, value: int) -> int:
        """Of all files, their bounds and their labels."""
        return super().checksum(zlib.crc32(self.stream.tobytes(), value))


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
                title, stream = f"{path}: {split}", values[f"{split}_bytes"]
                offsets, labels = values[f"{split}_offsets"], values[f"{split}_labels"]
                bounds = np.stack([offsets[:-1], offsets[1:]], axis=1)
                splits[split] = JpegRecords(title, stream, bounds, labels)
            return NamedSplits(splits, [str(name) for name in values["classes"]])
    except DAMAGE as error:
        raise InputError(
            f"jpegs:{path}: expected an .npz file of bytes, offsets and labels of "
            f"train and test, and classes ({one_line(error)})"
        ) from error
