"""From images of any size, or files, to what a network reads."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from difnas_jax.data.base import Arrays, StoredImage
from difnas_jax.data.batches import Normalizer
from difnas_jax.data.decoding import CORRUPT
from difnas_jax.data.examples import fitted
from difnas_jax.data.images import (
    AUGMENTATIONS,
    CROP_DRAWS,
    EVALUATION_CROPS,
    decoded,
)
from difnas_jax.errors import InputError, one_line, require
from difnas_jax.runtime.given_paths import given_path

ONE_FILE = str | Path | bytes | Image.Image


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What a run did to the images that it did not train on.

    Attributes:
      mean: of each channel, on the 0-1 scale.
      std: likewise.
      image_size: S, side of the square that the network reads, in pixels.
      channels: C, 1 for grey and 3 for colour.
      crop: key of `EVALUATION_CROPS`: the part of an image that becomes the square.
      classes: names in the order of the labels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    channels: int
    crop: str
    classes: tuple[str, ...]

    @classmethod
    def of(
        cls, config: ConfigDict, normalizer: Normalizer, classes: Sequence[str]
    ) -> Self:
        """That of a run.

        Args:
          config: of the run.
          normalizer: of its images.
          classes: names in the order of the labels.
        """
        _, crop = AUGMENTATIONS[config.data.augmentation](config)
        (name,) = (name for name, known in EVALUATION_CROPS.items() if known is crop)
        return cls(
            mean=tuple(normalizer.mean.tolist()),
            std=tuple(normalizer.std.tolist()),
            image_size=config.space.image_size,
            channels=config.space.image_channels,
            crop=name,
            classes=tuple(classes),
        )

    @classmethod
    def restored(cls, values: dict[str, Any]) -> Self:
        """Of JSON values, as `dataclasses.asdict` makes them.

        Raises:
          TypeError, ValueError, KeyError: they are not those.
        """
        lists = ("mean", "std", "classes")
        known = {**values, **{name: tuple(values[name]) for name in lists}}
        if known["crop"] not in EVALUATION_CROPS:
            raise ValueError(f"the crop {known['crop']!r} is not known")
        return cls(**known)

    def listed(self, images: Any) -> Sequence[Any] | np.ndarray:
        """Images one by one, however they are given.

        Args:
          images: a file, by name, open or its bytes, or an image that Pillow opened;
            uint8[H, W] or uint8[H, W, C], of numpy or what converts to it;
            uint8[N, H, W] or uint8[N, H, W, C]; or several of the former in any
            iterable. Where the last of three axes has as many entries as an image has
            channels, it is that.

        Raises:
          InputError: none of these.
        """
        if isinstance(images, ONE_FILE) or hasattr(images, "read"):
            return [images]
        if not hasattr(images, "__array__"):
            expected = "images: expected files or arrays"
            if isinstance(images, memoryview) or not isinstance(images, Iterable):
                raise InputError(f"{expected}, got {type(images).__name__}")
            return list(images)
        array, channels = np.asarray(images), (1, 3, self.channels)
        if array.ndim != 3:
            return array[None] if array.ndim < 3 else array
        if array.shape[-1] in channels:
            return array[None]
        # Neither an alpha channel nor channels in front may pass for rows of images.
        fits = array.shape[-1] > 4 and (self.channels == 1 or array.shape[0] > 3)
        expected = (
            "uint8[H, W, 1 or 3], channels last and without alpha, or [N, H, W, 1 or 3]"
        )
        require(fits, "images", expected, f"{array.dtype}{list(array.shape)}")
        return array

    def pixels(self, images: Iterable[Any]) -> np.ndarray:
        """The squares that the network reads, the same as in the run, bit by bit.

        Args:
          images: each of those of `listed`.

        Returns:
          uint8[N, S, S, C].

        Raises:
          InputError: an image that cannot be read, or of other channels.
        """
        squares = [self._square(place, given) for place, given in enumerate(images)]
        shape = self.image_size, self.image_size, self.channels
        return np.stack(squares) if squares else np.zeros((0, *shape), np.uint8)

    def normalized(self, pixels: np.ndarray) -> np.ndarray:
        """(pixel / 255 - mean) / std: uint8[N, S, S, C] -> float32[N, S, S, C]."""
        mean, std = (np.array(each, np.float32) for each in (self.mean, self.std))
        return Normalizer(mean, std)(pixels)

    def _square(self, place: int, given: Any) -> np.ndarray:
        """uint8[S, S, C]."""
        name = str(given) if isinstance(given, str | Path) else f"image {place}"
        image = _stored(name, given)
        if isinstance(image, np.ndarray) and self.crop == "whole":
            one = Arrays(image[None], np.zeros(1, np.int32))
            return fitted(name, one, self.image_size, self.channels).images[0]
        crop, draws = EVALUATION_CROPS[self.crop], np.zeros(CROP_DRAWS)
        try:
            return decoded(image, crop, draws, self.image_size, self.channels)
        except CORRUPT as error:
            kinds = {1: "a grey image", 3: "an image in colours or grey"}
            kind = kinds.get(self.channels, f"an array of {self.channels} channels")
            problem = f"it cannot be used ({one_line(error)})"
            is_other_kind = type(error) is ValueError  # not damaged
            way_out = "; convert it first" * is_other_kind
            raise InputError(f"{name}: expected {kind}, {problem}{way_out}") from error


def _stored(name: str, given: Any) -> StoredImage | Image.Image:
    """uint8[H, W, C], the bytes of a file, or what Pillow opened."""
    if isinstance(given, Image.Image | bytes):
        return given
    if hasattr(given, "read"):
        content = given.read()
        is_binary, got = isinstance(content, bytes), type(content).__name__
        require(is_binary, name, "a file that is open for bytes", got)
        return content
    if isinstance(given, str | Path):
        path = given_path("images", given)
        try:
            return path.read_bytes()
        except OSError as error:
            text = f"expected an image file, it cannot be read ({error.strerror})"
            raise InputError(f"{path}: {text}") from error
    array = np.asarray(given)
    got = f"{array.dtype}{list(array.shape)}"
    fits = array.dtype == np.uint8 and array.ndim in (2, 3) and array.size > 0
    require(fits, name, "uint8[H, W] or uint8[H, W, C] from 0 to 255", got)
    return array[..., None] if array.ndim == 2 else array
