"""Batches: a training batch is a function of the step, an evaluation pass is exact."""

from __future__ import annotations

import dataclasses
import functools
import math
import zlib
from collections.abc import Iterator

import numpy as np
from ml_collections import ConfigDict
from numpy.lib.stride_tricks import sliding_window_view

from difnas_jax.data.base import Split
from difnas_jax.errors import InputError

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Normalizer:
    """(pixel / 255 - mean) / std per channel.

    Attributes:
      mean, std: float32[C] on the 0-1 scale.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, config: ConfigDict, train: Split) -> Normalizer:
        """The statistics of the config or, where it gives none, of the train split.

        Raises:
          InputError: a statistic that is not one number for each channel.
        """
        check_statistics(config)
        mean, std = pixel_statistics(train.images)
        mean = np.asarray(config.data.mean or mean, np.float32)
        std = np.asarray(config.data.std or np.maximum(std, 1e-3), np.float32)
        return cls(mean, std)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8[B, H, W, C] -> float32[B, H, W, C]."""
        # By rows, in place: numpy is 4 times slower over an axis as short as C.
        width = images.shape[2]
        rows = images.reshape(-1, width * images.shape[3]).astype(np.float32)
        rows /= 255
        rows -= np.tile(self.mean, width)
        rows /= np.tile(self.std, width)
        return rows.reshape(images.shape)


def pixel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel on the 0-1 scale.

    From histograms: a copy of the images in floating point would take 8 times their
    memory.

    Args:
      images: uint8[N, H, W, C].

    Returns:
      float64[C] means and float64[C] standard deviations.
    """
    channels = range(images.shape[-1])
    counts = np.stack(
        [np.bincount(images[..., c].ravel(), minlength=256) for c in channels]
    )  # [N, H, W, C] -> [C, 256]
    shares, levels = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
    mean = shares @ levels
    return mean, np.sqrt(shares @ levels**2 - mean**2)


def check_statistics(config: ConfigDict) -> None:
    """Raise `InputError` unless mean and std are empty or a number per channel.

    A standard deviation must be positive.
    """
    channels = config.space.image_channels
    for name in ("mean", "std"):
        values = config.data[name]
        numbers = all(isinstance(v, int | float) and math.isfinite(v) for v in values)
        if numbers and name == "std":
            numbers = all(value > 0 for value in values)
        if values and not (numbers and len(values) == channels):
            raise InputError(
                f"data.{name}: expected {channels} number(s), one per channel, std "
                f"above 0, or none; got {values}"
            )


@dataclasses.dataclass(frozen=True)
class TrainBatches:
    """The endless stream of shuffled, augmented training batches.

    `batches[step]` depends on (seed, step) alone, so a resumed run continues the same
    stream with nothing stored. Every epoch is a new permutation; a batch may span two.

    Attributes:
      split: the training examples.
      batch_size: B.
      seed: of the order and the augmentation.
      normalizer: applied last.
      crop_padding: see `random_crop`.
      flip: mirror with probability 1/2.
      rows: the part of each batch that this process makes.
    """

    split: Split
    batch_size: int
    seed: int
    normalizer: Normalizer
    crop_padding: int
    flip: bool
    rows: slice = dataclasses.field(default_factory=lambda: slice(None))

    @classmethod
    def of(
        cls, config: ConfigDict, train: Split, normalizer: Normalizer, batch_size: int
    ) -> TrainBatches:
        """The stream that the config describes."""
        fields = config.data.crop_padding, config.data.flip
        return cls(train, batch_size, config.seed, normalizer, *fields)

    def __getitem__(self, step: int) -> Batch:
        """{"image": float32[B, H, W, C], "label": int32[B]} of a step, or its rows."""
        positions = step * self.batch_size + np.arange(self.batch_size)
        epochs, places = np.divmod(positions, len(self.split))
        index = np.concatenate(
            [
                _permutation(self.seed, int(epoch), len(self.split))[
                    places[epochs == epoch]
                ]
                for epoch in np.unique(epochs)
            ]
        )
        rng = np.random.default_rng([self.seed, zlib.crc32(b"augment"), step])
        index, part = index[self.rows], (self.batch_size, self.rows)
        images = random_crop(rng, self.split.images[index], self.crop_padding, *part)
        if self.flip:
            mirrored = rng.random(self.batch_size)[self.rows] < 0.5
            images[mirrored] = images[mirrored, :, ::-1]
        return {"image": self.normalizer(images), "label": self.split.labels[index]}


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    rng = np.random.default_rng([seed, zlib.crc32(b"shuffle"), epoch])
    return rng.permutation(size)


def random_crop(
    rng: np.random.Generator,
    images: np.ndarray,
    padding: int,
    batch_size: int | None = None,
    rows: slice = slice(None),
) -> np.ndarray:
    """Zero-pad every side by `padding` pixels and crop back at a random place.

    Args:
      rng: source of the places.
      images: uint8[B, H, W, C].
      padding: pixels; 0 changes nothing.
      batch_size: of the whole batch, for which places are drawn; B by default.
      rows: where the images are only these rows of it.
    """
    if padding == 0:
        return images
    batch, height, width, _ = images.shape
    edges = (padding, padding)
    padded = np.pad(images, ((0, 0), edges, edges, (0, 0)))
    places = rng.integers(2 * padding + 1, size=(2, batch_size or batch))
    top, left = places[:, rows]
    # [B, 2 * padding + 1, 2 * padding + 1, C, H, W]: every crop, nothing copied.
    crops = sliding_window_view(padded, (height, width), axis=(1, 2))
    return np.moveaxis(crops[np.arange(batch), top, left], 1, -1)


def evaluation_batches(
    split: Split, batch_size: int, normalizer: Normalizer, rows: slice = slice(None)
) -> Iterator[Batch]:
    """Every example once, in order; the last batch is padded and masked.

    Args:
      split: the examples.
      batch_size: B.
      normalizer: applied to the images.
      rows: the part of each batch that this process makes.

    Yields:
      {"image": float32[B, H, W, C], "label": int32[B], "mask": float32[B]}, or rows.
    """
    own = range(batch_size)[rows]
    for start in range(0, len(split), batch_size):
        part = split[start + own.start : start + own.stop]
        empty = len(own) - len(part)
        yield {
            "image": np.pad(
                normalizer(part.images), ((0, empty), (0, 0), (0, 0), (0, 0))
            ),
            "label": np.pad(part.labels, (0, empty)),
            "mask": (np.arange(len(own)) < len(part)).astype(np.float32),
        }
