"""The sources of images: each returns a `Dataset` of `Records`."""

import dataclasses
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from difnas_jax.data import folders, tfds
from difnas_jax.data.base import (
    Arrays,
    Dataset,
    NamedSplits,
    Records,
)
from difnas_jax.data.hold_out import hold_out
from difnas_jax.errors import InputError, one_line, require
from difnas_jax.runtime.files import DAMAGE
from difnas_jax.runtime.given_paths import given_path

DIGITS_STRIDE = 757
SPLITS = ("train", "validation", "test")
TEST_SEED = 0  # runs of all seeds are judged by the same images


def digits(config: ConfigDict) -> Dataset[Records]:
    """The 1,797 grey 8x8 digits of this package (UCI optdigits, CC BY 4.0).

    The 360 test images are fixed by their position. The images come in runs of 0 to 9
    by writer; a stride that is prime to 1,797 mixes digits and writers.
    """
    file = resources.files("difnas_jax.data").joinpath("digits8x8.npz")
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as values:
        images, labels = values["x"], values["y"]
    images = (images.astype(np.uint16) * 255 // 16).astype(np.uint8)  # 0-16 -> 0-255
    whole = checked_arrays("digits", images, labels, config.space.num_classes)
    order = np.arange(len(whole)) * DIGITS_STRIDE % len(whole)
    splits = {"train": whole[order >= 360], "test": whole[order < 360]}
    return _dataset(NamedSplits(splits, _numbers(10)), config)


def arrays(config: ConfigDict) -> Dataset[Records]:
    """An .npz file of the user's own, `data.path`.

    Keys `x_train`, `y_train`, and optionally `x_validation`, `y_validation`, `x_test`,
    `y_test`; images uint8 [N, H, W, C] or [N, H, W] of any size, integer labels [N].
    What is missing is held out of train, see `_dataset`. `classes`, texts [C], are the
    names in the order of the labels, which else are numbers.

    Raises:
      InputError: the file is missing or malformed, or a label is out of range.
    """
    path = config.data.path
    require(bool(path), "data.path", "an .npz file", "an empty path")
    classes = config.space.num_classes
    found = read_arrays(given_path("data.path", path), classes)
    named = dataclasses.replace(found, classes=found.classes or _numbers(classes))
    check_classes(named, config)
    return _dataset(named, config)


def folder_source(config: ConfigDict) -> Dataset[Records]:
    """A tree of image files, `<split>/<class>/.../<image>`, below `data.path`.

    The splits are those that `data.train_split`, `data.validation_split` and
    `data.test_split` name; an empty name of train is the tree itself. A label is the
    position of the class folder in the sorted folders of train, as in torchvision and
    in TFDS's `imagenet2012`.

    Raises:
      InputError: a folder is missing or empty, or the classes do not fit.
    """
    path = config.data.path
    require(bool(path), "data.path", "a folder of splits", "an empty path")
    root = given_path("data.path", path)
    return _named(config, lambda names: folders.read_folder(root, names))


def tfds_source(config: ConfigDict) -> Dataset[Records]:
    """The data set `data.name` of TensorFlow Datasets, read without TensorFlow.

    `data.path` is the folder that holds the data sets; the splits are those that
    `data.train_split`, `data.validation_split` and `data.test_split` name.

    Raises:
      InputError: not prepared, or in a format without random access.
    """
    name, path = config.data.name, config.data.path
    read = tfds.read_prepared
    return _named(config, lambda names: read(tfds.prepared_folder(name, path), names))


def read_arrays(path: Path, num_classes: int) -> NamedSplits:
    """The splits of an .npz file, whose classes may have no names; see `arrays`.

    Raises:
      InputError: the file is missing or malformed, or a label is out of range.
    """
    require(path.is_file() or not path.exists(), "data.path", "a regular file", path)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            values = {name: stored[name] for name in stored.files}
    except (*DAMAGE, MemoryError) as error:  # an array may claim any size
        raise InputError(
            "data.path: expected an .npz file of plain arrays, cannot read "
            f"{str(path)!r} ({one_line(error)})"
        ) from error
    classes = values.pop("classes", np.array([], np.str_))
    got = f"{classes.dtype} {list(classes.shape)}"
    fits = classes.dtype.kind == "U" and classes.ndim == 1
    fits = fits and len(np.unique(classes)) == len(classes)
    require(fits, f"{path}: classes", "distinct names, texts [C]", got)
    own = {key.partition("_")[2] for key in values}
    names = [name for name in SPLITS if name in {"train", *own}]
    keys = {f"{part}_{name}" for name in names for part in "xy"}
    expected = f"keys {', '.join(sorted(keys))} (and classes) in {path}"
    got = ", ".join(sorted(values)) or "none"
    require(values.keys() == keys, "data.path", expected, got)
    splits = {}
    for name in names:
        images, labels = values[f"x_{name}"], values[f"y_{name}"]
        title = f"{path}: {name}"
        splits[name] = checked_arrays(title, images, labels, num_classes)
    return NamedSplits(splits, classes.tolist())


def checked_arrays(
    name: str, images: np.ndarray, labels: np.ndarray, num_classes: int
) -> Arrays:
    """Check the arrays of a source.

    Args:
      name: where they come from, for the error.
      images: uint8[N, H, W] or uint8[N, H, W, C].
      labels: integers[N].
      num_classes: labels must be below.

    Raises:
      InputError: wrong type or shape, no example, or a label out of range.
    """
    shape = list(images.shape)
    got = f"{images.dtype} {shape}"
    fits = images.dtype == np.uint8 and images.ndim in (3, 4)
    require(fits, f"{name} images", "uint8 [N, H, W, C] or [N, H, W]", got)
    got = f"{labels.dtype} {list(labels.shape)}"
    fits = np.issubdtype(labels.dtype, np.integer) and labels.shape == images.shape[:1]
    require(fits, f"{name} labels", f"integers [{len(images)}]", got)
    require(images.size > 0, f"{name} images", "at least one image with pixels", shape)
    least, largest = labels.min(), labels.max()
    expected = f"0 to {num_classes - 1} (space.num_classes = {num_classes})"
    fits = 0 <= least and largest < num_classes
    require(fits, f"{name} labels", expected, f"{least} to {largest}")
    images = images if images.ndim == 4 else images[..., None]
    return Arrays(images, labels.astype(np.int32))


def _named(
    config: ConfigDict, read: Callable[[list[str]], NamedSplits]
) -> Dataset[Records]:
    """The splits that the config names, if they have as many classes as the space.

    Args:
      config: of the run.
      read: reads the splits of these names.
    """
    names = {role: config.data[f"{role}_split"] for role in SPLITS}
    names = {role: name for role, name in names.items() if name or role == "train"}
    found = read(list(names.values()))
    check_classes(found, config)
    splits = {role: found.splits[name] for role, name in names.items()}
    return _dataset(dataclasses.replace(found, splits=splits), config)


def check_classes(found: NamedSplits, config: ConfigDict) -> None:
    """Raise `InputError` unless there are as many classes as the space has."""
    classes, expected = config.space.num_classes, len(found.classes)
    fits, text = classes == expected, f"{expected}, the classes of the data"
    require(fits, "space.num_classes", text, classes)


def _dataset(found: NamedSplits, config: ConfigDict) -> Dataset[Records]:
    """The splits by role; where there is no test or validation split, a part of train.

    The test is the same for all seeds. With a fraction of 0 no validation split is held
    out.
    """
    train, notes = found.splits["train"], found.notes
    validation, test = found.splits.get("validation"), found.splits.get("test")
    fields = config.data
    if test is None:
        name, share = "data.test_fraction", fields.test_fraction
        train, test = hold_out(name, train, share, TEST_SEED)
        notes += (f"test is a part of train, never trained on ({name} = {share})",)
    if validation is None and fields.validation_fraction:
        name, share = "data.validation_fraction", fields.validation_fraction
        train, validation = hold_out(name, train, share, config.seed)
    return Dataset(train, validation, test, tuple(found.classes), notes)


def _numbers(classes: int) -> list[str]:
    """Names of classes that have none."""
    return [str(label) for label in range(classes)]


SOURCES: dict[str, Callable[[ConfigDict], Dataset[Records]]] = {
    "arrays": arrays,
    "digits": digits,
    "folder": folder_source,
    "tfds": tfds_source,
}
