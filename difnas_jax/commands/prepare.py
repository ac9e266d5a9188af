"""Convert data sets between the forms that the sources read.

    python -m difnas_jax prepare folder:/data/imagenet tfds:/data/tfds/imagenet2012
    python -m difnas_jax prepare tfds:/data/tfds/cifar10 arrays:cifar10.npz
    python -m difnas_jax prepare jpegs:cifar10_jpeg.npz tfds:/data/tfds/cifar10

Images keep their order; JPEG and PNG files are copied byte by byte where the target
holds files. The target appears under its name when it is complete and its images have
been counted, for every split and class.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from difnas_jax.data.base import Images, Stored
from difnas_jax.data.convert_from import READERS
from difnas_jax.data.convert_to import WRITERS, Collection
from difnas_jax.data.tfds import VERSION, prepared_versions
from difnas_jax.errors import InputError
from difnas_jax.runtime import files
from difnas_jax.runtime.command import Parser, exit_code
from difnas_jax.runtime.metrics import Progress, say

REPORT_SECONDS = 10.0


def main(argv: Sequence[str] | None = None) -> int:
    """Convert as the arguments say.

    Returns:
      The exit code, one of those of `command.py`.
    """
    return exit_code(lambda: convert(*parse_arguments(argv)), "nothing is left of it")


def parse_arguments(
    argv: Sequence[str] | None,
) -> tuple[Place, Place, int, dict[str, str]]:
    """What `convert` takes.

    Raises:
      InputError: a kind that there is not, or a value of another form.
    """
    parser = Parser(
        prog="python -m difnas_jax prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        help="KIND:PATH; arrays:FILE.npz, jpegs:FILE.npz (JPEG streams: TRAIN_bytes, "
        "TRAIN_offsets, TRAIN_labels, the same for test, and classes), folder:ROOT "
        "(ROOT/<split>/<class>/<image>), tfds:DATA_DIR/NAME[/CONFIG][/VERSION]",
    )
    parser.add_argument(
        "target",
        help="KIND:PATH; arrays:FILE.npz, folder:ROOT, tfds:DATA_DIR/NAME[/VERSION]",
    )
    parser.add_argument(
        "--size",
        type=int,
        default=0,
        help="squeeze images to squares of so many pixels; without it they are not "
        "touched, and arrays need images of one size",
    )
    parser.add_argument(
        "--rename",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="name a split anew: val=validation, val=test",
    )
    known = parser.parse_args(argv)
    if known.size < 0:
        raise InputError(f"--size: expected 0 or more pixels, got {known.size}")
    source, target = Place.of(known.source, READERS), Place.of(known.target, WRITERS)
    if wrong := [pair for pair in known.rename if pair.count("=") != 1]:
        raise InputError(f"--rename: expected OLD=NEW, got {wrong[0]!r}")
    return source, target, known.size, dict(pair.split("=") for pair in known.rename)


@dataclasses.dataclass(frozen=True)
class Place:
    """A data set on disk.

    Attributes:
      kind: key of `READERS`.
      path: file or folder.
    """

    kind: str
    path: Path

    @classmethod
    def of(cls, text: str, kinds: Iterable[str]) -> Place:
        """From `KIND:PATH`; the newest version of a TFDS data set, or 1.0.0."""
        kind, given, path = text.partition(":")
        if kind not in kinds or not path:
            raise InputError(
                f"{text!r}: expected KIND:PATH with a kind among {', '.join(kinds)}"
            )
        place = Path(os.path.abspath(os.path.expanduser(path)))
        if kind == "tfds" and not VERSION.fullmatch(place.name):
            place /= (prepared_versions(os.fspath(place)) or ["1.0.0"])[-1]
        return cls(kind, place)

    def __str__(self) -> str:
        """As it was given."""
        return f"{self.kind}:{self.path}"


def convert(
    source: Place,
    target: Place,
    size: int = 0,
    renamed: Mapping[str, str] | None = None,
) -> None:
    """Write a data set in another form.

    Args:
      source: what to read.
      target: what to write; must not be there.
      size: see `writers.write_arrays`.
      renamed: old -> new names of splits.

    Raises:
      InputError: a source that cannot be read, a target that is there, or images that
        are missing in what was written.
    """
    if target.path.exists():
        raise InputError(f"{target}: expected a place that is free; delete it first")
    data = read(source)
    if unknown := set(renamed or ()) - set(data.splits):
        raise InputError(
            f"--rename: expected some of {', '.join(data.splits)}, the splits of "
            f"{source}; got {', '.join(sorted(unknown))}"
        )
    names = {name: (renamed or {}).get(name, name) for name in data.splits}
    check_names("splits", list(names.values()))
    check_names("classes", data.classes)
    splits = {names[name]: images for name, images in data.splits.items()}
    data = Collection(splits, data.classes)
    walk = functools.partial(_walk, classes=len(data.classes))
    holder = target.path.parent / f".{target.path.name}.incomplete"
    # A data set of TFDS takes its name and version from the folders that it is in.
    temporary = holder / target.path.parent.name / target.path.name
    shutil.rmtree(holder, ignore_errors=True)
    try:
        with files.disk_full_as_oserror(target.path):
            _make(temporary.parent, target)
            WRITERS[target.kind](temporary, data, size, walk)
            say("counting what was written")
            check_counts(data, read(Place(target.kind, temporary)), target)
            os.replace(temporary, target.path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)
    say(f"{target}: complete")


def read(place: Place) -> Collection:
    """All splits of a data set.

    Raises:
      InputError: it cannot be read.
    """
    if not place.path.exists():
        raise InputError(f"{place}: expected a data set, there is nothing")
    return Collection(*READERS[place.kind](place.path))


def check_names(kind: str, names: Sequence[str]) -> None:
    """Names that become folders.

    Raises:
      InputError: two are equal, or one leads elsewhere.
    """
    for name, count in Counter(names).items():
        if count > 1 or name in ("", ".", "..") or "/" in name or "\0" in name:
            raise InputError(
                f"expected {kind} with names of their own that can be folders, got "
                + ", ".join(map(repr, names[:20]))
            )


def _make(folder: Path, target: Place) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        if error.errno in files.FULL_DISK:
            raise
        raise InputError(
            f"{target}: expected a place that can be written ({error.strerror})"
        ) from error


def _walk(split: str, records: Images, *, classes: int) -> Iterator[tuple[Stored, int]]:
    """Every image and label in order, with a line about it every ten seconds."""
    progress, said = Progress(split, len(records)), time.monotonic()
    for place in range(len(records)):
        stored, label = records.read(place)
        if not 0 <= label < classes:
            raise InputError(
                f"{records.name(place)}: expected a label from 0 to {classes - 1}, got "
                f"{label}; leave out splits without labels"
            )
        yield stored, label
        progress.step()
        if time.monotonic() - said > REPORT_SECONDS or place + 1 == len(records):
            progress.report(place + 1)
            said = time.monotonic()
    progress.close()


def check_counts(data: Collection, written: Collection, target: Place) -> None:
    """Count what was written.

    Raises:
      InputError: a split or a class has not as many images as it should.
    """
    # Arrays have no names: their labels are those of the source.
    named = set(written.classes) <= set(data.classes)
    classes = written.classes if named else data.classes
    for split, records in data.splits.items():
        expected = Counter(data.classes[label] for label in labels_of(records))
        there = labels_of(written.splits[split]) if split in written.splits else ()
        found = Counter(classes[label] for label in there)
        for name in data.classes:
            if expected[name] != found[name]:
                raise InputError(
                    f"{target}: expected {expected[name]} images of class {name} in "
                    f"{split}, found {found[name]} after writing"
                )
        say(f"{split}: {len(records)} images of {len(expected)} classes")


def labels_of(records: Images) -> np.ndarray:
    """int[N]; reads every record where the labels are with the images."""
    labels = getattr(records, "labels", None)
    if labels is None:
        labels = np.array([records.read(place)[1] for place in range(len(records))])
    return labels
