"""Data: sources, splits, and batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from ml_collections import ConfigDict

from difnas_jax.data.base import Dataset, Examples, Records, Split, checksum
from difnas_jax.data.batches import (
    Batch,
    EvaluationBatches,
    TrainBatches,
    evaluation_batches,
)
from difnas_jax.data.crops import AUGMENTATIONS, Crop, whole
from difnas_jax.data.decode import MODES, Decoded, stored_channels
from difnas_jax.data.fitting import check_channels, fitted
from difnas_jax.data.loader import Reader, check_workers
from difnas_jax.data.pixels import Normalizer, check_lighting
from difnas_jax.data.prefetch import prefetch
from difnas_jax.data.sources import SOURCES
from difnas_jax.errors import InputError


def check(config: ConfigDict) -> str:
    """Read the data of the config without bringing them into shape.

    Of images that are not in memory, the first of each split is looked at.

    Returns:
      A checksum of all images and labels; of image files, of their names and sizes.

    Raises:
      InputError: missing or malformed data.
    """
    check_workers(config.data.workers)
    check_lighting(config)
    dataset, channels = SOURCES[config.data.source](config), config.space.image_channels
    Normalizer.of(config, dataset.train)
    for role, records, crop in _roles(dataset, config):
        name = f"{config.data.source} {role}"
        check_channels(name, stored_channels(records, _skips(config)), channels)
        if records.read(0)[1] < 0:
            raise InputError(
                f"data.{role}_split: expected a split with labels, {records.name(0)} "
                "has none"
            )
        if not _fits_at_once(records, crop) and channels not in MODES:
            raise InputError(
                "space.image_channels: expected 1 or 3 for images that are decoded and "
                f"cut, got {channels}"
            )
    return checksum(dataset)


def load(config: ConfigDict) -> Dataset[Any]:
    """The data of the config in the shape of its space.

    Returns:
      Three splits of `Examples`: arrays that every epoch sees whole are fitted here and
      now, all others are decoded when they are asked for.

    Raises:
      InputError: missing or malformed data.
    """
    dataset, space = SOURCES[config.data.source](config), config.space
    size, channels = space.image_size, space.image_channels
    workers, skips = config.data.workers, _skips(config)
    examples: dict[str, Examples] = {}
    for role, records, crop in _roles(dataset, config):
        if _fits_at_once(records, crop):
            examples[role] = fitted(
                f"{config.data.source} {role}", cast(Split, records), size, channels
            )
        else:
            examples[role] = Decoded(records, crop, size, channels, skips, workers)
    return Dataset(**examples)


def _roles(
    dataset: Dataset[Records], config: ConfigDict
) -> Iterator[tuple[str, Records, Crop]]:
    """Each split with its name and its crop."""
    augmentation = AUGMENTATIONS[config.data.augmentation]
    yield "train", dataset.train, augmentation.train(config)
    yield "validation", dataset.validation, augmentation.evaluation
    yield "test", dataset.test, augmentation.evaluation


def _fits_at_once(records: Records, crop: Crop) -> bool:
    return isinstance(records, Split) and crop is whole


def _skips(config: ConfigDict) -> bool:
    return config.data.corrupt == "skip"


__all__ = [
    "AUGMENTATIONS",
    "SOURCES",
    "Batch",
    "Dataset",
    "EvaluationBatches",
    "Examples",
    "Normalizer",
    "Reader",
    "Split",
    "TrainBatches",
    "check",
    "evaluation_batches",
    "load",
    "prefetch",
]
