"""Batches of normalised images.

Each is a function of its step, for any number of hosts and workers.
"""

import abc
import dataclasses
import functools
import math
import zlib
from typing import Any, Self

import numpy as np
from ml_collections import ConfigDict

from difnas_jax.data.examples import Examples
from difnas_jax.data.images import CROP_DRAWS, lighting, random_crop
from difnas_jax.errors import require

Batch = dict[str, Any]
# Uniform random numbers of an example: crop, position of the padded crop, flip.
DRAWS = CROP_DRAWS + 3


@dataclasses.dataclass(frozen=True)
class Normalizer:
    """(pixel / 255 - mean) / std per channel.

    Attributes:
      mean, std: float32[C] on the 0-1 scale.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, config: ConfigDict, train: Examples) -> Self:
        """The statistics of the config or, where it has none, of the training split.

        Raises:
          InputError: a statistic that is not one number for each channel.
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
        fits = not values or len(values) == channels and all(numbers)
        expected = f"{channels} number(s), one per channel, std above 0, or none"
        require(fits, f"data.{name}", expected, values)


def check_lighting(config: ConfigDict) -> None:
    """Raise `InputError` where colours are to be shifted and there are none."""
    channels, shift = config.space.image_channels, config.data.lighting
    expected = f"0 where space.image_channels is {channels}, not 3"
    require(not shift or channels == 3, "data.lighting", expected, shift)


class Batches(abc.ABC):
    """Step -> batch, in two parts, the first of which another process may do.

    Attributes:
      split: the examples.
      batch_size: B, of all processes together.
      normalizer: applied to the pixels.
      rows: the part of each batch that this process makes.
    """

    split: Examples
    batch_size: int
    normalizer: Normalizer
    rows: slice

    @abc.abstractmethod
    def raw(self, step: int) -> Batch:
        """What takes long: images decoded and augmented.

        Returns:
          {"image": uint8[B, H, W, C], "label": int32[B]}, what `finished` needs, and
          "corrupt": {row: reason} where examples cannot be read; `Loader` removes that.
        """

    @property
    def image_bytes(self) -> int:
        """Of the raw images of a batch."""
        count = len(range(self.batch_size)[self.rows])
        return count * self.split.image_bytes

    def finished(self, raw: Batch) -> Batch:
        """The same with normalised images, float32[B, H, W, C]."""
        return {**raw, "image": self.normalizer(raw["image"])}

    def __getitem__(self, step: int) -> Batch:
        """The rows of this process of the batch of a step."""
        return self.finished(self.raw(step))


@dataclasses.dataclass(frozen=True)
class TrainBatches(Batches):
    """The endless stream of shuffled, augmented training batches.

    `batches[step]` depends on (seed, step) alone. The step is in the checkpoint, so a
    resumed run continues the same stream and stores nothing else. Every epoch is a new
    permutation; a batch may span two.

    With several processes each makes its own rows of the batch that one alone would
    make.

    Attributes:
      split: the training examples.
      batch_size: B, of all processes together.
      seed: of the order and the augmentation.
      normalizer: applied to the pixels.
      crop_padding: see `random_crop`.
      flip: mirror with probability 1/2.
      lighting: standard deviation of the shift along the principal components of the
        colours, in units of their eigenvalues; 0 is off.
      rows: the part of each batch that this process makes.
    """

    split: Examples
    batch_size: int
    seed: int
    normalizer: Normalizer
    crop_padding: int
    flip: bool
    lighting: float
    rows: slice = dataclasses.field(default_factory=lambda: slice(None))

    @classmethod
    def of(cls, config: ConfigDict, train: Examples, batch_size: int) -> Self:
        """The stream that the config describes, of the training split."""
        fields, normalizer = config.data, Normalizer.of(config, train)
        augmentation = fields.crop_padding, fields.flip, fields.lighting
        return cls(train, batch_size, config.seed, normalizer, *augmentation)

    def raw(self, step: int) -> Batch:
        """See `Batches`; other examples replace unreadable ones.

        Returns:
          Also "shift": float32[B, C], what lighting adds to normalised images.
        """
        rows = self.rows
        # Drawn for all rows, so that a row has the same numbers in any process.
        rng = np.random.default_rng([self.seed, zlib.crc32(b"augment"), step])
        draws = rng.random((self.batch_size, DRAWS))[rows]
        alphas = rng.normal(0, self.lighting, (self.batch_size, 3))[rows]
        crops, positions, flips = np.split(draws, [CROP_DRAWS, CROP_DRAWS + 2], axis=1)
        taken, corrupt = self.split.take(self._order(step)[rows], crops)
        images = random_crop(taken.images, self.crop_padding, positions)
        if self.flip:
            flipped = flips[:, 0] < 0.5
            images[flipped] = images[flipped, :, ::-1]
        batch = {"image": images, "label": taken.labels}
        if self.lighting:
            shifts = (lighting(alphas) / self.normalizer.std).astype(np.float32)
            batch["shift"] = shifts
        return {**batch, "corrupt": corrupt} if corrupt else batch

    def finished(self, raw: Batch) -> Batch:
        """See `Batches`."""
        batch = super().finished(raw)
        if self.lighting:
            batch["image"] += batch.pop("shift")[:, None, None]
        return batch

    def _order(self, step: int) -> np.ndarray:
        """int[B]: which examples the batch of a step has."""
        positions = step * self.batch_size + np.arange(self.batch_size)
        epochs, order = np.divmod(positions, len(self.split))
        for epoch in np.unique(epochs):
            now, size = epochs == epoch, len(self.split)
            order[now] = _permutation(self.seed, int(epoch), size)[order[now]]
        return order


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """int[size]: the order of the examples in an epoch."""
    rng = np.random.default_rng([seed, zlib.crc32(b"shuffle"), epoch])
    return rng.permutation(size)


@dataclasses.dataclass(frozen=True)
class EvaluationBatches(Batches):
    """Every example once, in order; the last batch is filled up with masked ones.

    It is filled with examples from the start, so that the statistics of a batch are
    those of images.

    Attributes:
      split: the examples.
      batch_size: B, of all processes together.
      normalizer: applied to the images.
      rows: see `TrainBatches`.
    """

    split: Examples
    batch_size: int
    normalizer: Normalizer
    rows: slice = dataclasses.field(default_factory=lambda: slice(None))

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.split) // self.batch_size)

    def raw(self, step: int) -> Batch:
        """See `Batches`; an example that cannot be read is masked, not replaced.

        Returns:
          Also "mask": float32[B].
        """
        positions = np.arange(self.batch_size)[self.rows] + step * self.batch_size
        draws = np.zeros((len(positions), CROP_DRAWS))
        taken, corrupt = self.split.take(positions % len(self.split), draws)
        mask = (positions < len(self.split)).astype(np.float32)
        mask[list(corrupt)] = 0
        batch = {"image": taken.images, "label": taken.labels, "mask": mask}
        return {**batch, "corrupt": corrupt} if corrupt else batch
