"""List the images in a tree of folders `[<split>/]<class>/.../<image>`."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from difnas_jax.data.base import NamedSplits
from difnas_jax.data.decoding import suffixes
from difnas_jax.data.image_files import FileRecords, readable
from difnas_jax.errors import InputError, first_of, require

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test"})
NO_SPLITS = (
    "the names of the splits are data.train_split, data.validation_split and "
    "data.test_split; if these are the classes, give no names: "
    "--config.data.train_split= --config.data.test_split="
)
# Device and number, which tell a folder however it is reached.
Place = tuple[int, int]


@dataclasses.dataclass
class LeftOut:
    """What a listing does not read.

    Attributes:
      kinds: suffix, or why it is left out -> how many.
      example: the path of the first one.
    """

    kinds: Counter[str] = dataclasses.field(default_factory=Counter)
    example: str = ""

    def add(self, entry: os.DirEntry[str]) -> None:
        """Count one."""
        suffix = os.path.splitext(entry.name)[1].lower()
        kind = "hidden" if entry.name.startswith(".") else suffix or "without suffix"
        self.kinds[kind] += 1
        self.example = self.example or entry.path

    def notes(self) -> list[str]:
        """One line, or none where nothing was left out."""
        shown = [f"{kind} {count}" for kind, count in self.kinds.most_common(8)]
        more = ", ..." * (len(self.kinds) > 8)
        text = f"left out as no images: {', '.join(shown)}{more}; one is {self.example}"
        return [text] if shown else []


def read_folder(root: Path, names: list[str] | None = None) -> NamedSplits:
    """List the images of some splits, of every format that Pillow decodes.

    They may lie at any depth below the folder of their class, as in torchvision. Hidden
    files and folders are no images.

    Args:
      root: holds a folder for each split.
      names: of the splits; the first one defines the classes, and one of no name is the
        root itself. By default all folders, `train` first.

    Raises:
      InputError: a folder is missing, or without images, or has a class that the first
        has not; an image is no regular file.
    """
    there = names or _folders(root, root, LeftOut())
    names = names or sorted(there, key=lambda name: name != "train")
    left_out = LeftOut()
    # Two roles may read one split, whose files are listed once.
    found = {n: _folders(root / n, root, left_out) for n in dict.fromkeys(names)}
    classes = found[names[0]]
    if "" in names and SPLITS.issuperset(classes):
        raise InputError(
            f"data.path: expected folders of classes in {root}, as data.train_split is "
            f"empty, got {first_of(classes)}, the names of splits; leave the names of "
            "the splits as they are, or rename the folders"
        )
    splits = {}
    for name, folders in found.items():
        if unknown := sorted(set(folders) - set(classes)):
            expected = f"in {root / name} the classes of {root / names[0]}"
            got = f"also {first_of(unknown)}"
            raise InputError(f"data.path: expected {expected}, got {got}")
        splits[name] = _files(root / name, folders, classes, left_out)
    notes = left_out.notes()
    unread = sorted(set(_folders(root, root, LeftOut())) - set(names))
    if unread and "" not in names:
        fields = "data.train_split, data.validation_split, data.test_split"
        notes += [f"not read in {root}: {first_of(unread)}; {fields} name splits"]
    return NamedSplits(splits, classes, tuple(notes))


def _folders(path: Path, root: Path, left_out: LeftOut) -> list[str]:
    """Names of the folders in a folder, sorted."""
    found = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir() and not entry.name.startswith("."):
                    found.append(entry.name)
                else:
                    left_out.add(entry)
    except OSError as error:
        names = sorted(os.listdir(root)) if root.is_dir() else ["no such folder"]
        raise InputError(
            f"data.path: expected a folder {path} of class folders ({error.strerror}); "
            f"in {root}: {first_of(names)}; {NO_SPLITS}"
        ) from error
    require(bool(found), "data.path", f"folders in {path}", f"none; {NO_SPLITS}")
    return sorted(found)


def _files(
    path: Path, folders: list[str], classes: list[str], left_out: LeftOut
) -> FileRecords:
    """The images of one split, sorted by class and path."""
    paths, labels, position = [], [], {name: n for n, name in enumerate(classes)}
    for name in folders:
        images = sorted(_images(os.path.join(path, name), left_out))
        if not images:
            expected = f"images that Pillow decodes in {path / name} or below"
            raise InputError(f"data.path: expected {expected}, there are none")
        start = len(os.path.join(path, ""))
        paths += [os.fsencode(image[start:]) for image in images]
        labels += [position[name]] * len(images)
    return FileRecords(path, np.array(paths), np.array(labels, np.int32))


def _images(
    folder: str, left_out: LeftOut, above: frozenset[Place] = frozenset()
) -> Iterator[str]:
    """Paths of the images in a folder and below, in no order.

    Args:
      folder: where to look.
      left_out: what is no image is counted here.
      above: the folders above: a link back to one of them would never end.

    Raises:
      InputError: a folder that cannot be read or leads back, or a file that is not
        regular: to open a pipe waits for ever.
    """
    with readable(folder):
        status = os.stat(folder)
        with os.scandir(folder) as found:
            entries = list(found)
    here = status.st_dev, status.st_ino
    leads_back = f"{folder}, a link that leads back to a folder above it"
    require(here not in above, "data.path", "folders below each other", leads_back)
    for entry in entries:
        suffix = os.path.splitext(entry.name)[1].lower()
        with readable(entry.path):
            is_folder = entry.is_dir()
        if entry.name.startswith("."):
            left_out.add(entry)
        elif is_folder:
            yield from _images(entry.path, left_out, above | {here})
        elif suffix not in suffixes():
            left_out.add(entry)
        else:
            kind = "a link to nothing" if entry.is_symlink() else "not a regular file"
            got = f"{entry.path}, {kind}; remove it"
            require(entry.is_file(), "data.path", "regular files", got)
            yield entry.path
