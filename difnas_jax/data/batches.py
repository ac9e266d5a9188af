"""Batches: each is a function of its step, on any number of hosts and workers."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from difnas_jax.data.base import Examples
from difnas_jax.data.crops import CROP_DRAWS
from difnas_jax.data.loader import Reader
from difnas_jax.data.pixels import Normalizer, lighting, random_crop

Batch = dict[str, Any]
# Uniform numbers for an example: its crop, the padded crop, the mirror.
DRAWS = CROP_DRAWS + 3


@dataclasses.dataclass(frozen=True)
class TrainBatches:
    """The endless stream of shuffled, augmented training batches.

    `batches[step]` depends on (seed, step) alone: the whole state of this iterator is
    the step, which is in the checkpoint, so a resumed run continues the same stream
    with nothing else stored. Every epoch is a new permutation; a batch may span two.

    Each of several processes reads its own rows of what one alone would read.

    Attributes:
      split: the training examples.
      batch_size: B, of all processes together.
      seed: of the order and the augmentation.
      normalizer: applied to the pixels.
      crop_padding: see `random_crop`.
      flip: mirror with probability 1/2.
      lighting: standard deviation of the shift along the principal components of the
        colours, in units of their eigenvalues; 0 is off.
      rows: the part of each batch that this process reads.
    """

    split: Examples
    batch_size: int
    seed: int
    normalizer: Normalizer
    crop_padding: int = 0
    flip: bool = False
    lighting: float = 0.0
    rows: slice = dataclasses.field(default_factory=lambda: slice(None))

    @classmethod
    def of(
        cls,
        config: ConfigDict,
        train: Examples,
        normalizer: Normalizer,
        batch_size: int,
    ) -> TrainBatches:
        """The stream that the config describes."""
        fields = {name: config.data[name] for name in AUGMENTED_BY}
        return cls(train, batch_size, config.seed, normalizer, **fields)

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step, or the rows of it that this process reads.

        Returns:
          {"image": float32[B, H, W, C], "label": int32[B]}, and, where other examples
          stand in for unreadable ones, "corrupt": {row: reason}; `Reader` takes it out.
        """
        rows = self.rows
        # Drawn for all rows, so that a row has its numbers on any number of processes.
        rng = np.random.default_rng([self.seed, zlib.crc32(b"augment"), step])
        draws = rng.random((self.batch_size, DRAWS))[rows]
        alphas = rng.normal(0, self.lighting, (self.batch_size, 3))[rows]
        crops, places, mirror = np.split(draws, [CROP_DRAWS, CROP_DRAWS + 2], axis=1)
        split, corrupt = self.split.take(self._order(step)[rows], crops)
        images = random_crop(split.images, self.crop_padding, places)
        if self.flip:
            mirrored = mirror[:, 0] < 0.5
            images[mirrored] = images[mirrored, :, ::-1]
        images = self.normalizer(images)
        if self.lighting:
            shifts = (lighting(alphas) / self.normalizer.std).astype(np.float32)
            images += shifts[:, None, None]
        batch = {"image": images, "label": split.labels}
        return {**batch, "corrupt": corrupt} if corrupt else batch

    def _order(self, step: int) -> np.ndarray:
        """int[B]: which examples the batch of a step has."""
        positions = step * self.batch_size + np.arange(self.batch_size)
        epochs, places = np.divmod(positions, len(self.split))
        return np.concatenate(
            [
                _permutation(self.seed, int(epoch), len(self.split))[
                    places[epochs == epoch]
                ]
                for epoch in np.unique(epochs)
            ]
        )


AUGMENTED_BY = ("crop_padding", "flip", "lighting")


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    rng = np.random.default_rng([seed, zlib.crc32(b"shuffle"), epoch])
    return rng.permutation(size)


@dataclasses.dataclass(frozen=True)
class EvaluationBatches:
    """Every example once, in order; the last batch is padded and masked.

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
        """How many batches there are."""
        return -(-len(self.split) // self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        """The batch of a step, or the rows of it that this process reads.

        An example that cannot be read is masked, not replaced.

        Returns:
          {"image": float32[B, H, W, C], "label": int32[B], "mask": float32[B]}, and
          "corrupt" as in `TrainBatches`.
        """
        places = np.arange(self.batch_size)[self.rows] + step * self.batch_size
        index = places[places < len(self.split)]
        empty = len(places) - len(index)
        split, corrupt = self.split.take(index, np.zeros((len(index), CROP_DRAWS)))
        mask = np.pad(np.ones(len(index), np.float32), (0, empty))
        mask[list(corrupt)] = 0
        images = self.normalizer(split.images)
        batch = {
            "image": np.pad(images, ((0, empty), (0, 0), (0, 0), (0, 0))),
            "label": np.pad(split.labels, (0, empty)),
            "mask": mask,
        }
        return {**batch, "corrupt": corrupt} if corrupt else batch


def evaluation_batches(
    split: Examples,
    batch_size: int,
    normalizer: Normalizer,
    rows: slice = slice(None),
) -> Iterator[Batch]:
    """The batches of `EvaluationBatches` in order, made ahead."""
    batches = EvaluationBatches(split, batch_size, normalizer, rows)
    with Reader(batches, range(len(batches))) as reader:
        yield from reader
