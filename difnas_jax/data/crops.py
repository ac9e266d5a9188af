"""Which part of an image a network sees, in the pixels of the original.

A crop is a function of the size of the image and of four uniform random numbers, and
nothing else: the same numbers give the same crop on any host and in any worker.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

# Left, upper, right, lower; fractions of pixels count.
Box = tuple[float, float, float, float]
# (width, height, float64[CROP_DRAWS] in [0, 1)) -> box.
Crop = Callable[[int, int, np.ndarray], Box]

CROP_DRAWS = 4
# Evaluation at 224: the centre of an image whose short side is 256.
CENTRE = 224 / 256


def whole(width: int, height: int, draws: np.ndarray) -> Box:
    """All of the image."""
    return 0.0, 0.0, float(width), float(height)


def centre(width: int, height: int, draws: np.ndarray) -> Box:
    """The central square with 224/256 of the short side."""
    side = CENTRE * min(width, height)
    left, upper = (width - side) / 2, (height - side) / 2
    return left, upper, left + side, upper + side


@dataclasses.dataclass(frozen=True)
class RandomArea:
    """A random part of the image: its share of the area is uniform.

    BN-NAS and torchvision draw shares from U(smallest, 1) until the part fits; here the
    share is drawn among those that fit, which is the same distribution without a limit
    on the attempts. With `aspect` 1 the part is a square, as in the code of BN-NAS.

    Attributes:
      smallest: share of the area; where that does not fit, the largest part that does.
      aspect: largest ratio of width to height; its inverse is the smallest. The ratio
        is uniform in its logarithm. torchvision has 4/3.
    """

    smallest: float
    aspect: float

    def __call__(self, width: int, height: int, draws: np.ndarray) -> Box:
        """The box of these draws: share, aspect, position from left and from above."""
        ratio = math.exp((2 * draws[1] - 1) * math.log(self.aspect))
        area = width * height
        largest = min(area, width**2 / ratio, height**2 * ratio) / area
        smallest = min(self.smallest, largest)
        share = smallest + (largest - smallest) * draws[0]
        wide, high = math.sqrt(share * area * ratio), math.sqrt(share * area / ratio)
        left, upper = (width - wide) * draws[2], (height - high) * draws[3]
        return left, upper, left + wide, upper + high


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How images are cropped.

    Attributes:
      train: config -> crop of training images.
      evaluation: crop of all others.
    """

    train: Callable[[ConfigDict], Crop]
    evaluation: Crop


AUGMENTATIONS: dict[str, Augmentation] = {
    "crop": Augmentation(lambda config: whole, whole),
    "imagenet": Augmentation(
        lambda config: RandomArea(config.data.crop_scale, config.data.crop_aspect),
        centre,
    ),
}
