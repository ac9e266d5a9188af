"""Work on images: crop them, bring the crop to a size, and shift their colours.

A crop is a function of the size of the image and of four uniform random numbers, and
nothing else: the same numbers give the same crop on any host and in any worker.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from difnas_jax.data.base import StoredImage
from difnas_jax.data.decoding import MODES, Box, opened, resized, upright_size

# (width, height, float64[CROP_DRAWS] in [0, 1)) -> box.
Crop = Callable[[int, int, np.ndarray], Box]

CROP_DRAWS = 4
# Evaluation at 224: the centre of an image whose short side is 256.
CENTRE = 224 / 256

# Principal components of the colours of ImageNet on the 0-1 scale: eigenvalues, and
# eigenvectors as columns over red, green, blue (Krizhevsky et al. 2012, with
# the numbers in common use).
COLOUR_VALUES = np.array([0.2175, 0.0188, 0.0045])
COLOUR_VECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)


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


# Crops of images that are not trained on.
EVALUATION_CROPS: dict[str, Crop] = {"whole": whole, "centre": centre}

# Name -> config -> crop of training images, crop of all others.
AUGMENTATIONS: dict[str, Callable[[ConfigDict], tuple[Crop, Crop]]] = {
    "crop": lambda config: (whole, whole),
    "imagenet": lambda config: (
        RandomArea(config.data.crop_scale, config.data.crop_aspect),
        centre,
    ),
}


def decoded(
    stored: StoredImage | Image.Image,
    crop: Crop,
    draws: np.ndarray,
    size: int,
    channels: int,
) -> np.ndarray:
    """A part of an image as a square.

    Args:
      stored: the image.
      crop: which part.
      draws: float64[CROP_DRAWS] in [0, 1), what a random crop reads.
      size: side of the square, S.
      channels: C, 1 or 3.

    Returns:
      uint8[S, S, C].

    Raises:
      One of `CORRUPT`: it is no image that is read.
    """
    image = opened(stored)
    box = crop(*upright_size(image), draws)
    part = resized(image, box, size, MODES[channels])
    return np.asarray(part).reshape(size, size, channels)


def random_crop(images: np.ndarray, padding: int, draws: np.ndarray) -> np.ndarray:
    """Zero-pad every side by `padding` pixels and crop back at a random position.

    Args:
      images: uint8[B, H, W, C].
      padding: pixels; 0 changes nothing.
      draws: float64[B, 2] in [0, 1), the positions from above and from the left.
    """
    if padding == 0:
        return images
    batch, height, width, _ = images.shape
    edges = (padding, padding)
    padded = np.pad(images, ((0, 0), edges, edges, (0, 0)))
    top, left = (draws.T * (2 * padding + 1)).astype(int)
    # [B, 2 * padding + 1, 2 * padding + 1, C, H, W]: every crop, nothing copied.
    windows = np.lib.stride_tricks.sliding_window_view
    crops = windows(padded, (height, width), axis=(1, 2))
    return np.moveaxis(crops[np.arange(batch), top, left], 1, -1)


def lighting(alphas: np.ndarray) -> np.ndarray:
    """The shift of each image along the principal components of the colours.

    Args:
      alphas: float64[B, 3], normal.

    Returns:
      float64[B, 3]: what to add to red, green and blue on the 0-1 scale.
    """
    return alphas * COLOUR_VALUES @ COLOUR_VECTORS.T
