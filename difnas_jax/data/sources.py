"""Where images come from: each source returns a `Dataset` of `Records`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from difnas_jax.data import folder, tfds
from difnas_jax.data.base import Dataset, Records, Split, checked_split, hold_out
from difnas_jax.errors import InputError, one_line
from difnas_jax.runtime.files import DAMAGE

DIGITS_STRIDE = 757
SPLITS = ("train", "validation", "test")
KEYS = tuple(f"{part}_{name}" for name in SPLITS for part in "xy")


def digits(config: ConfigDict) -> Dataset[Records]:
    """The 1,797 grey 8x8 digits that are shipped (UCI optdigits, CC BY 4.0).

    A fixed split by position into 1,257 train, 180 validation and 360 test images. The
    images come in runs of 0 to 9 by writer; striding through them with a step prime to
    1,797 mixes digits and writers over the splits.
    """
    file = resources.files("difnas_jax.data").joinpath("digits8x8.npz")
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as values:
        images, labels = values["x"], values["y"]
    images = (images.astype(np.uint16) * 255 // 16).astype(np.uint8)  # 0-16 -> 0-255
    everything = checked_split("digits", images, labels, config.space.num_classes)
    place = np.arange(len(everything)) * DIGITS_STRIDE % len(everything)
    test, validation = place < 360, (place >= 360) & (place < 540)
    train = place >= 540
    return Dataset(everything[train], everything[validation], everything[test])


def arrays(config: ConfigDict) -> Dataset[Records]:
    """An .npz file of the user's own.

    Keys `x_train`, `y_train`, `x_test`, `y_test`, and optionally `x_validation`,
    `y_validation`; images uint8 [N, H, W, C] or [N, H, W] of any size, integer labels
    [N]. Without a validation split, `data.validation_fraction` of train is held out, at
    random from the seed.

    Raises:
      InputError: missing, malformed, or labels out of range.
    """
    if not config.data.path:
        raise InputError("data.path: expected an .npz file, it is empty")
    splits = read_arrays(Path(config.data.path), config.space.num_classes)
    return _three(splits, config, dict(zip(SPLITS, SPLITS, strict=True)))


def folder_source(config: ConfigDict) -> Dataset[Records]:
    """A tree of JPEG and PNG files, `<split>/<class>/<image>`, below `data.path`.

    The splits are those that `data.train_split`, `data.validation_split` and
    `data.test_split` name; the labels are the places of the class folders of train in
    the order of their names, as in torchvision and in TFDS's `imagenet2012`.

    Raises:
      InputError: a folder is missing or empty, or the classes do not fit.
    """
    if not config.data.path:
        raise InputError("data.path: expected a folder of splits, it is empty")
    names = _split_names(config)
    splits, classes = folder.read_folder(Path(config.data.path), list(names.values()))
    _check_classes(len(classes), config)
    return _three(splits, config, names)


def tfds_source(config: ConfigDict) -> Dataset[Records]:
    """The data set `data.name` of TensorFlow Datasets, read without TensorFlow.

    `data.path` is the folder that holds the data sets; the splits are those that
    `data.train_split`, `data.validation_split` and `data.test_split` name.

    Raises:
      InputError: not prepared, or not in a format that can be read in any order.
    """
    names = _split_names(config)
    wanted = list(names.values())
    splits, classes = tfds.read_tfds(config.data.name, config.data.path, wanted)
    _check_classes(len(classes), config)
    return _three(splits, config, names)


def read_arrays(path: Path, num_classes: int) -> dict[str, Split]:
    """The splits of an .npz file; see `arrays`.

    Raises:
      InputError: missing, malformed, or labels out of range.
    """
    values = _load_npz(path)
    if unknown := values.keys() - set(KEYS):
        raise InputError(
            f"data.path: expected keys {', '.join(sorted(KEYS))} in {path}, got "
            + ", ".join(sorted(unknown))
        )
    splits = {}
    for name in SPLITS:
        images, labels = values.get(f"x_{name}"), values.get(f"y_{name}")
        if (images is None) != (labels is None):
            raise InputError(
                f"data.path: expected both x_{name} and y_{name} in {path}, got one"
            )
        if images is not None and labels is not None:
            splits[name] = checked_split(f"{path}: {name}", images, labels, num_classes)
    if {"train", "test"} - splits.keys():
        raise InputError(
            f"data.path: expected keys x_train, y_train, x_test, y_test in {path}, got "
            + (", ".join(sorted(values)) or "none")
        )
    return splits


def _load_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as values:
            return {name: values[name] for name in values.files}
    except DAMAGE as error:
        raise InputError(
            f"data.path: expected an .npz file of plain arrays, cannot read "
            f"{str(path)!r} ({one_line(error)})"
        ) from error


def _split_names(config: ConfigDict) -> dict[str, str]:
    """Role -> name of the split in the source; no validation where it is held out."""
    names = {role: config.data[f"{role}_split"] for role in SPLITS}
    for role in ("train", "test"):
        if not names[role]:
            raise InputError(f"data.{role}_split: expected a split, it is empty")
    return {role: name for role, name in names.items() if name}


def _three(
    splits: Mapping[str, Records], config: ConfigDict, names: Mapping[str, str]
) -> Dataset[Records]:
    """Train, validation and test; a validation split that is not there is held out."""
    train, test = splits[names["train"]], splits[names["test"]]
    if names.get("validation") in splits:
        return Dataset(train, splits[names["validation"]], test)
    fraction = config.data.validation_fraction
    return Dataset(*hold_out(train, fraction, config.seed), test)


def _check_classes(count: int, config: ConfigDict) -> None:
    if count != config.space.num_classes:
        raise InputError(
            f"space.num_classes: expected {count}, the classes of the data, got "
            f"{config.space.num_classes}"
        )


SOURCES: dict[str, Callable[[ConfigDict], Dataset[Records]]] = {
    "arrays": arrays,
    "digits": digits,
    "folder": folder_source,
    "tfds": tfds_source,
}
