"""Image files in a tree of folders, `<split>/<class>/<image>`."""

from __future__ import annotations

import dataclasses
import os
import zlib
from pathlib import Path

import numpy as np

from difnas_jax.data.base import NamedSplits, Records
from difnas_jax.errors import InputError

SUFFIXES = (".jpeg", ".jpg", ".png")


@dataclasses.dataclass(frozen=True)
class FileRecords(Records):
    """Image files of one split.

    Attributes:
      root: folder of the split.
      paths: bytes[N], `<class>/<image>` below it: a tenth of the memory of strings.
      labels: int32[N].
    """

    root: Path
    paths: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """N."""
        return len(self.paths)

    def __getitem__(self, index: np.ndarray) -> FileRecords:
        """See `Records`."""
        return FileRecords(self.root, self.paths[index], self.labels[index])

    def read(self, index: int) -> tuple[bytes, int]:
        """The bytes of a file and its label.

        Raises:
          InputError: the file is missing by now, or this user may not read it.
        """
        try:
            return Path(self.name(index)).read_bytes(), int(self.labels[index])
        except OSError as error:
            raise InputError(
                f"data.path: expected a file that can be read, {self.name(index)} "
                f"cannot ({error.strerror})"
            ) from error

    def name(self, index: int) -> str:
        """The path of a file."""
        return os.path.join(self.root, os.fsdecode(self.paths[index]))

    def checksum(self, value: int) -> int:
        """Of the names and sizes of all files: to read 150 GB would take hours."""
        for index, path in enumerate(self.paths):
            size = os.stat(self.name(index)).st_size
            value = zlib.crc32(b"%s %d" % (path, size), value)
        return value


def read_folder(root: Path, names: list[str] | None = None) -> NamedSplits:
    """List the files of some splits.

    Args:
      root: holds a folder for each split.
      names: of the splits; the first one defines the classes. By default all folders,
        `train` first.

    Raises:
      InputError: a folder is missing or empty, or has a class that the first has not.
    """
    names = names or sorted(_folders(root, root), key=lambda name: name != "train")
    classes = _folders(root / names[0], root)
    splits = {}
    for name in names:
        found = _folders(root / name, root)
        if unknown := sorted(set(found) - set(classes)):
            raise InputError(
                f"data.path: expected in {root / name} the classes of "
                f"{root / names[0]}, it also has {', '.join(unknown[:5])}"
            )
        splits[name] = _files(root / name, found, classes)
    return NamedSplits(splits, classes)


def _folders(path: Path, root: Path) -> list[str]:
    """Names of the folders in a folder, sorted."""
    try:
        found = sorted(entry.name for entry in _visible(path) if entry.is_dir())
    except OSError as error:
        names = sorted(os.listdir(root)) if root.is_dir() else ["no such folder"]
        raise InputError(
            f"data.path: expected a folder {path} of class folders ({error.strerror}); "
            f"in {root}: {', '.join(names[:5])}{', ...' * (len(names) > 5)}; the names "
            "of the splits are data.train_split, data.validation_split, data.test_split"
        ) from error
    if not found:
        raise InputError(f"data.path: expected folders in {path}, it has none")
    return found


def _files(path: Path, found: list[str], classes: list[str]) -> FileRecords:
    """The images of one split, sorted by class and name."""
    paths, labels = [], []
    for name in found:
        images = sorted(
            entry.name
            for entry in _visible(path / name)
            if entry.name.lower().endswith(SUFFIXES)
        )
        if not images:
            raise InputError(
                f"data.path: expected images ({', '.join(SUFFIXES)}) in {path / name}, "
                "there are none"
            )
        paths += [os.fsencode(f"{name}/{image}") for image in images]
        labels += [classes.index(name)] * len(images)
    return FileRecords(path, np.array(paths), np.array(labels, np.int32))


def _visible(path: Path) -> list[os.DirEntry[str]]:
    return [entry for entry in os.scandir(path) if not entry.name.startswith(".")]
