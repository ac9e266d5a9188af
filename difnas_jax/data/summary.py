"""What a run reads, in the few facts that its user must see."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from difnas_jax.data.base import Dataset, Records
from difnas_jax.errors import first_of

WORDS = {"train": "training", "validation": "validation", "test": "test"}


@dataclasses.dataclass(frozen=True)
class DataSummary:
    """What `data.check` found; the default is that of a run that reads no data.

    Attributes:
      checksum: of all images and labels, eight hexadecimal digits; see `check`.
      images: role (train, validation, test, in this order) -> number of images.
      classes: names in the order of the labels; numbers where the source has no names.
      stored: how the training images are stored, such as `8 x 8 grey` or `JPEG and PNG
        files, the first 500 x 375 colour`.
      notes: what a user may not expect of these data, one line each.
    """

    checksum: str = ""
    images: Mapping[str, int] = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] = ()
    stored: str = ""
    notes: tuple[str, ...] = ()


def notes_on(dataset: Dataset[Records]) -> Iterator[str]:
    """One line for each thing that a user may not expect of the data."""
    yield from dataset.notes
    for role, records in dataset.splits():
        labels = records.known_labels()
        if labels is not None:
            yield from _unused_classes(role, labels, dataset.classes)
    yield from _overlaps(dict(dataset.splits()))


def _unused_classes(
    role: str, labels: np.ndarray, classes: tuple[str, ...]
) -> Iterator[str]:
    """Classes that no image of a split shows."""
    counts = np.bincount(labels, minlength=len(classes))
    unused = [name for name, count in zip(classes, counts, strict=True) if not count]
    if unused:
        yield (
            f"{len(unused)} of {len(classes)} classes (space.num_classes) have no "
            f"{WORDS[role]} image: {first_of(unused)}"
        )


def _overlaps(splits: Mapping[str, Records]) -> Iterator[str]:
    """Images of two splits: their accuracy is not that of unseen images."""
    seen = {role: records.identities() for role, records in splits.items()}
    for earlier, later in itertools.combinations(splits, 2):
        known = set(seen[earlier])
        shared = sum(identity in known for identity in seen[later])
        if shared:
            yield (
                f"WARNING: {shared} of {len(seen[later])} {later} images are also "
                f"{earlier} images: accuracy on them is not that on unseen images"
            )
