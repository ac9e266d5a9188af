"""From pixels to network input: normalisation, padded crops and colour shifts."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from ml_collections import ConfigDict
from numpy.lib.stride_tricks import sliding_window_view

from difnas_jax.data.base import Records
from difnas_jax.data.examples import Examples
from difnas_jax.errors import InputError

# Principal components of the colours of ImageNet on the 0-1 scale: eigenvalues, and
# eigenvectors as columns over red, green, blue (Krizhevsky et al. 2012, with
# the numbers in common use).
COLOUR_VALUES = np.array([0.2175, 0.0188, 0.0045])
COLOUR_VECTORS = np.array(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)


@dataclasses.dataclass(frozen=True)
class Normalizer:
    """(pixel / 255 - mean) / std per channel.

    Attributes:
      mean, std: float32[C] on the 0-1 scale.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, config: ConfigDict, train: Records | Examples) -> Normalizer:
        """The statistics of the config or, where it has none, of the training split.

        Raises:
          InputError: a statistic that is not one number for each channel, or none for
            images that are not in memory.
        """
        check_statistics(config)
        mean, std = config.data.mean, config.data.std
        if not (mean and std):
            own_mean, own_std = train.pixel_statistics()
            mean, std = mean or own_mean, std or np.maximum(own_std, 1e-3)
        return cls(np.asarray(mean, np.float32), np.asarray(std, np.float32))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8[B, H, W, C] -> float32[B, H, W, C]."""
        # By rows, in place: numpy is 4 times slower over an axis as short as C.
        width = images.shape[2]
        rows = images.reshape(-1, width * images.shape[3]).astype(np.float32)
        rows /= 255
        rows -= np.tile(self.mean, width)
        rows /= np.tile(self.std, width)
        return rows.reshape(images.shape)


def check_statistics(config: ConfigDict) -> None:
    """Raise `InputError` unless mean and std are empty or one number per channel.

    A standard deviation must be positive.
    """
    channels = config.space.image_channels
    for name in ("mean", "std"):
        values, lowest = config.data[name], 0 if name == "std" else -math.inf
        numbers = (isinstance(v, int | float) and lowest < v < math.inf for v in values)
        if values and not (len(values) == channels and all(numbers)):
            raise InputError(
                f"data.{name}: expected {channels} number(s), one per channel, std "
                f"above 0, or none; got {values}"
            )


def check_lighting(config: ConfigDict) -> None:
    """Raise `InputError` where colours are to be shifted and there are none."""
    channels = config.space.image_channels
    if config.data.lighting and channels != 3:
        raise InputError(
            f"data.lighting: expected 0 where space.image_channels is {channels}, not "
            f"3; got {config.data.lighting}"
        )


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
    crops = sliding_window_view(padded, (height, width), axis=(1, 2))
    return np.moveaxis(crops[np.arange(batch), top, left], 1, -1)


def lighting(alphas: np.ndarray) -> np.ndarray:
    """The shift of each image along the principal components of the colours.

    Args:
      alphas: float64[B, 3], normal.

    Returns:
      float64[B, 3]: what to add to red, green and blue on the 0-1 scale.
    """
    return alphas * COLOUR_VALUES @ COLOUR_VECTORS.T
