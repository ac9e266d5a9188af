"""Data: sources, splits, and batches.

`tfds` and image folders will be two more rows of `SOURCES`.
"""

from __future__ import annotations

import dataclasses

from ml_collections import ConfigDict

from difnas_jax.data.base import Dataset, Split, check_channels, fitted
from difnas_jax.data.batches import (
    Batch,
    Normalizer,
    TrainBatches,
    check_statistics,
    evaluation_batches,
)
from difnas_jax.data.prefetch import prefetch
from difnas_jax.data.sources import SOURCES


def check(config: ConfigDict) -> str:
    """Read the data of the config without bringing it into shape.

    Returns:
      A checksum of all images and labels.

    Raises:
      InputError: missing or malformed data.
    """
    dataset = SOURCES[config.data.source](config)
    check_channels(config.data.source, dataset.train, config.space.image_channels)
    check_statistics(config)
    return dataset.checksum


def load(config: ConfigDict) -> Dataset:
    """Load the data of the config in the shape of its space.

    Raises:
      InputError: missing or malformed data.
    """
    dataset = SOURCES[config.data.source](config)
    space = config.space
    return dataclasses.replace(
        dataset,
        **{
            field.name: fitted(
                f"{config.data.source} {field.name}",
                getattr(dataset, field.name),
                space.image_size,
                space.image_channels,
            )
            for field in dataclasses.fields(dataset)
        },
    )


__all__ = [
    "SOURCES",
    "Batch",
    "Dataset",
    "Normalizer",
    "Split",
    "TrainBatches",
    "check",
    "evaluation_batches",
    "load",
    "prefetch",
]
