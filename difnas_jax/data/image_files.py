"""Image files, in a tree of folders `<split>/<class>/<image>` or in an .npz file.

The .npz file holds JPEG files one after another; only a conversion reads it.
"""

import dataclasses
import os
import zlib
from pathlib import Path

import numpy as np

from difnas_jax.data.base import NamedSplits, Records
from difnas_jax.errors import InputError, one_line
from difnas_jax.runtime.files import DAMAGE

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

    per_image = ("paths", "labels")

    def read(self, index: int) -> tuple[bytes, int]:
        """The bytes of a file and its label.

        Raises:
          InputError: the file is missing by now, or this user may not read it.
        """
        try:
            return Path(self.name(index)).read_bytes(), int(self.labels[index])
        except OSError as error:
            file = f"{self.name(index)} cannot ({error.strerror})"
            text = f"data.path: expected a file that can be read, {file}"
            raise InputError(text) from error

    def all_labels(self) -> np.ndarray:
        """int32[N], by the folders of the files."""
        return self.labels

    def name(self, index: int) -> str:
        """The path of a file."""
        return os.path.join(self.root, os.fsdecode(self.paths[index]))

    @property
    def container(self) -> str:
        """The formats of the files by their suffixes."""
        suffixes = {os.path.splitext(path)[1].lower() for path in self.paths}
        return f"{', '.join(sorted(map(os.fsdecode, suffixes)))} files, the first "

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
            expected = f"in {root / name} the classes of {root / names[0]}"
            got = f"also {', '.join(unknown[:5])}"
            raise InputError(f"data.path: expected {expected}, got {got}")
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
        visible = sorted(entry.name for entry in _visible(path / name))
        images = [image for image in visible if image.lower().endswith(SUFFIXES)]
        if not images:
            expected = f"images ({', '.join(SUFFIXES)}) in {path / name}"
            raise InputError(f"data.path: expected {expected}, there are none")
        paths += [os.fsencode(f"{name}/{image}") for image in images]
        labels += [classes.index(name)] * len(images)
    return FileRecords(path, np.array(paths), np.array(labels, np.int32))


def _visible(path: Path) -> list[os.DirEntry[str]]:
    return [entry for entry in os.scandir(path) if not entry.name.startswith(".")]


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
