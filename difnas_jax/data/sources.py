"""Where images come from: each source returns a `Dataset` of raw uint8 images."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from difnas_jax.data.base import Dataset, Split, checked_split
from difnas_jax.errors import InputError
from difnas_jax.files import DAMAGE

DIGITS_STRIDE = 757
SPLITS = ("train", "validation", "test")


def digits(config: ConfigDict) -> Dataset:
    """The 1,797 grey 8x8 digits that are shipped (UCI optdigits, CC BY 4.0).

    A fixed split by position into 1,257 train, 180 validation and 360 test images. The
    images come in runs of 0 to 9 by writer; striding through them with a step prime to
    1,797 mixes digits and writers over the splits.
    """
    with (
        resources.files("difnas_jax.data").joinpath("digits8x8.npz").open("rb") as file
    ):
        with np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays["x"], arrays["y"]
    images = (images.astype(np.uint16) * 255 // 16).astype(np.uint8)  # 0-16 -> 0-255
    everything = checked_split("digits", images, labels, config.space.num_classes)
    place = np.arange(len(everything)) * DIGITS_STRIDE % len(everything)
    test, validation = place < 360, (place >= 360) & (place < 540)
    train = place >= 540
    return Dataset(everything[train], everything[validation], everything[test])


def arrays(config: ConfigDict) -> Dataset:
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
    path = Path(config.data.path)
    values = _load_npz(path)
    known = {f"{part}_{name}" for part in "xy" for name in SPLITS}
    if unknown := values.keys() - known:
        raise InputError(
            f"data.path: expected keys {', '.join(sorted(known))} in {path}, got "
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
            splits[name] = checked_split(
                f"{path}: {name}", images, labels, config.space.num_classes
            )
    missing = {"train", "test"} - splits.keys()
    if missing:
        raise InputError(
            f"data.path: expected keys x_train, y_train, x_test, y_test in {path}, got "
            + (", ".join(sorted(values)) or "none")
        )
    if "validation" not in splits:
        splits["train"], splits["validation"] = hold_out(
            splits["train"], config.data.validation_fraction, config.seed
        )
    return Dataset(**splits)


def hold_out(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Cut a random share off a split.

    Args:
      split: what to cut.
      fraction: share of the second part.
      seed: the same seed cuts the same examples.

    Returns:
      What is left, and the share; both in the original order.

    Raises:
      InputError: one of the two would be empty.
    """
    count = round(fraction * len(split))
    if not 0 < count < len(split):
        raise InputError(
            f"data.validation_fraction: expected a share that leaves examples on both "
            f"sides of {len(split)}, got {fraction}"
        )
    held = np.zeros(len(split), bool)
    held[np.random.default_rng(seed).permutation(len(split))[:count]] = True
    return split[~held], split[held]


def _load_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"data.path: expected an .npz file of plain arrays, cannot read "
            f"{str(path)!r} ({reason})"
        ) from error


SOURCES: dict[str, Callable[[ConfigDict], Dataset]] = {
    "arrays": arrays,
    "digits": digits,
}
