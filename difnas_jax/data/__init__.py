"""Data: from the sources to batches.

`base` names the forms of data, `sources` reads them, `examples` brings them to the
shape of the space, `batches` and `loader` make batches of them.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import jax
from ml_collections import ConfigDict

from difnas_jax.data.base import Arrays as Arrays
from difnas_jax.data.base import Dataset, Records
from difnas_jax.data.batches import EvaluationBatches as EvaluationBatches
from difnas_jax.data.batches import Normalizer as Normalizer
from difnas_jax.data.batches import TrainBatches as TrainBatches
from difnas_jax.data.batches import check_lighting, check_statistics
from difnas_jax.data.examples import Examples as Examples
from difnas_jax.data.examples import check_records, fits_at_once, to_examples
from difnas_jax.data.examples import spread_over as spread_over
from difnas_jax.data.images import AUGMENTATIONS, Crop
from difnas_jax.data.loader import Loader as Loader
from difnas_jax.data.loader import evaluation_batches as evaluation_batches
from difnas_jax.data.loader import prefetch as prefetch
from difnas_jax.data.sources import SOURCES
from difnas_jax.data.summary import DataSummary as DataSummary
from difnas_jax.data.summary import notes_on
from difnas_jax.data.workers import check_shared_memory, check_workers
from difnas_jax.errors import require
from difnas_jax.runtime.progress import working


@working("checking the data")
def check(
    config: ConfigDict,
    validated: Iterable[str] = (),
    batch_sizes: Mapping[str, int] = MappingProxyType({}),
) -> DataSummary:
    """Check the data of the config without bringing them to the shape of the space.

    Of images that are not in memory, those of `Records.sampled` are read and decoded.

    Args:
      config: of the run.
      validated: config fields, with values, that need a validation split.
      batch_sizes: config field -> images of a batch in training.

    Returns:
      What was read. Its checksum is that of all images and labels; where the images are
      not in memory, of the names and sizes of all files and the bytes of those sampled.

    Raises:
      InputError: missing or malformed data, or a batch above the training split.
    """
    check_workers(config.data.workers)
    check_lighting(config)
    dataset, checksum = SOURCES[config.data.source](config), 0
    check_statistics(config)
    for reader in validated:
        dataset.validation_for(reader)
    stored = {}
    for role, records, crop in _splits(dataset, config):
        stored[role] = check_records(role, records, crop, config)
        checksum = records.checksum(checksum)
    _check_batches(config, dataset.train, batch_sizes)
    return DataSummary(
        checksum=f"{checksum:08x}",
        images={role: len(records) for role, records in dataset.splits()},
        classes=dataset.classes,
        stored=stored["train"],
        notes=tuple(notes_on(dataset)),
    )


def _check_batches(
    config: ConfigDict, train: Records, batch_sizes: Mapping[str, int]
) -> None:
    """Refuse batches above the training split, or above what workers can share."""
    crop, _ = AUGMENTATIONS[config.data.augmentation](config)
    workers = 0 if fits_at_once(train, crop) else config.data.workers
    image_bytes = config.space.image_size**2 * config.space.image_channels
    for field, size in batch_sizes.items():
        most = len(train)
        require(size <= most, field, f"at most {most}, the training images", size)
        check_shared_memory(workers, size // jax.process_count() * image_bytes)


@working("reading the data")
def load(config: ConfigDict) -> Dataset[Any]:
    """The data of the config in the shape of its space.

    Returns:
      Splits of `Examples`; those that need no decoding are `Arrays`.

    Raises:
      InputError: missing or malformed data.
    """
    dataset = SOURCES[config.data.source](config)
    splits = {
        role: to_examples(role, records, crop, config)
        for role, records, crop in _splits(dataset, config)
    }
    return dataclasses.replace(dataset, **splits)


def _splits(
    dataset: Dataset[Records], config: ConfigDict
) -> Iterator[tuple[str, Records, Crop]]:
    """Each split with its role and its crop."""
    crop, evaluation_crop = AUGMENTATIONS[config.data.augmentation](config)
    for role, records in dataset.splits():
        yield role, records, crop if role == "train" else evaluation_crop
