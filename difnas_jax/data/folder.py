"""Image files in a tree of folders, `<split>/<class>/<image>`."""

from __future__ import annotations

import dataclasses
import os
import zlib
from pathlib import Path

import numpy as np

from difnas_jax.data.pixels import no_statistics
from difnas_jax.errors import InputError

SUFFIXES = (".jpeg", ".jpg", ".png")


@dataclasses.dataclass(frozen=True)
class Files:
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

    def __getitem__(self, index: np.ndarray) -> Files:
        """Select files."""
        return Files(self.root, self.paths[index], self.labels[index])

    def read(self, index: int) -> tuple[bytes, int]:
        """The bytes of a file and its label.

        Raises:
          InputError: it is not there any more, or must not be read.
        """
        try:
            return Path(self.name(index)).read_bytes(), int(self.labels[index])
        except OSError as error:
            raise InputError(
                f"data.path: expected to read {self.name(index)} ({error.strerror})"
            ) from error

    def name(self, index: int) -> str:
        """The path of a file."""
        return os.path.join(self.root, os.fsdecode(self.paths[index]))

    def checksum(self, value: int) -> int:
        """Of the names and sizes of all files: reading 150 GB would take hours."""
        for index, path in enumerate(self.paths):
            size = os.stat(self.name(index)).st_size
            value = zlib.crc32(b"%s %d" % (path, size), value)
        return value

    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """None are known.

        Raises:
          InputError: always.
        """
        raise no_statistics()


def read_folder(root: Path, names: list[str]) -> tuple[dict[str, Files], list[str]]:
    """List the files of some splits.

    Args:
      root: holds a folder for each split.
      names: of the splits; the first says which classes there are.

    Returns:
      The splits, and the names of the classes in the order of their labels.

    Raises:
      InputError: a folder is missing or empty, or has a class that the first has not.
    """
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
    return splits, classes


def _folders(path: Path, root: Path) -> list[str]:
    """Names of the folders in a folder, sorted."""
    try:
        found = sorted(
            entry.name
            for entry in os.scandir(path)
            if entry.is_dir() and not entry.name.startswith(".")
        )
    except OSError as error:
        there = _listed(root) if root.is_dir() else "which is missing"
        raise InputError(
            f"data.path: expected a folder {path} of class folders "
            f"({error.strerror}); in {root}: {there}; the names of the splits are "
            "data.train_split, data.validation_split, data.test_split"
        ) from error
    if not found:
        raise InputError(f"data.path: expected class folders in {path}, it has none")
    return found


def _listed(root: Path) -> str:
    names = sorted(entry.name for entry in os.scandir(root))
    return ", ".join(names[:5] + ["..."] * (len(names) > 5)) or "nothing"


def _files(path: Path, found: list[str], classes: list[str]) -> Files:
    """The images of one split, sorted by class and name."""
    paths, labels = [], []
    for name in found:
        images = sorted(
            entry.name
            for entry in os.scandir(path / name)
            if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".")
        )
        if not images:
            raise InputError(
                f"data.path: expected images ({', '.join(SUFFIXES)}) in {path / name}, "
                "there are none"
            )
        paths += [os.fsencode(f"{name}/{image}") for image in images]
        labels += [classes.index(name)] * len(images)
    return Files(path, np.array(paths), np.array(labels, np.int32))
