"""Convert data sets between the forms that the sources read.

    difnas-jax prepare folder:/data/imagenet tfds:/data/tfds/imagenet2012
    difnas-jax prepare tfds:/data/tfds/cifar10 arrays:cifar10.npz
    difnas-jax prepare jpegs:cifar10_jpeg.npz tfds:/data/tfds/cifar10

SOURCE and TARGET are KIND:PATH:
  arrays:FILE.npz
  folder:ROOT, which holds <split>/<class>/<image>, the images also in deeper folders
  tfds:DATA_DIR/NAME[/CONFIG][/VERSION], as a target without CONFIG
  jpegs:FILE.npz, a source alone: JPEG streams in train_bytes, train_offsets and
    train_labels, the same for test, and the names of the classes in classes

With --size images are squeezed to squares of this many pixels; without it they keep
their size, and arrays need images of one size. --rename renames a split, such as
val=validation or val=test, and may be repeated.

Images keep their order; JPEG and PNG files are copied byte by byte where the target
holds files, all others become PNG files of 8 bits, upright. Pixels of 16 bits are
scaled, EXIF orientations followed and transparency left out, as when a run reads them;
of several frames the first one counts. What is no image is counted and left out.

The target gets its name only when it is complete and its images have been counted for
every split and class.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from difnas_jax.data.base import NamedSplits
from difnas_jax.data.convert import READERS, WRITERS
from difnas_jax.data.tfds import VERSION, prepared_versions
from difnas_jax.errors import InputError, require
from difnas_jax.runtime.disk_errors import FULL_DISK, library_errors
from difnas_jax.runtime.given_paths import given_path
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.progress import working
from difnas_jax.runtime.shutdown import Parser, exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Convert as the arguments say.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    return exit_code(
        lambda: convert(*parse_arguments(argv)), "the incomplete target is deleted"
    )


def parse_arguments(
    argv: Sequence[str] | None,
) -> tuple[Location, Location, int, dict[str, str]]:
    """The arguments of `convert`.

    Raises:
      InputError: an unknown kind, or a malformed value.
    """
    parser = Parser("difnas-jax prepare", __doc__)
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("target", metavar="TARGET")
    parser.add_argument("--size", type=int, default=0, metavar="PIXELS")
    parser.add_argument("--rename", action="append", default=[], metavar="OLD=NEW")
    known = parser.parse_args(argv)
    require(known.size >= 0, "--size", "0 or more pixels", known.size)
    source = Location.of(known.source, READERS)
    target = Location.of(known.target, WRITERS)
    for pair in known.rename:
        require(pair.count("=") == 1, "--rename", "OLD=NEW", repr(pair))
    return source, target, known.size, dict(pair.split("=") for pair in known.rename)


@dataclasses.dataclass(frozen=True)
class Location:
    """Where a data set is on disk, and in which form.

    Attributes:
      kind: key of `READERS` or `WRITERS`.
      path: file or folder.
    """

    kind: str
    path: Path

    @classmethod
    def of(cls, text: str, kinds: Iterable[str]) -> Location:
        """From `KIND:PATH`; of TFDS the newest version, or 1.0.0 where there is none.

        Raises:
          InputError: another form, or a kind that is not one of `kinds`.
        """
        kind, _, path = text.partition(":")
        expected = f"KIND:PATH with a kind among {', '.join(kinds)}"
        require(kind in kinds and path != "", "SOURCE, TARGET", expected, repr(text))
        absolute = Path(os.path.abspath(given_path("SOURCE, TARGET", path)))
        if kind == "tfds" and not VERSION.fullmatch(absolute.name):
            absolute /= (prepared_versions(absolute) or ["1.0.0"])[-1]
        return cls(kind, absolute)

    def __str__(self) -> str:
        """`KIND:PATH`."""
        return f"{self.kind}:{self.path}"


@working("converting")
def convert(
    source: Location,
    target: Location,
    size: int = 0,
    renamed: Mapping[str, str] | None = None,
) -> None:
    """Write a data set in another form.

    Args:
      source: what to read.
      target: what to write; must not exist.
      size: side to which images are squeezed; 0 leaves them as they are.
      renamed: old -> new names of splits.

    Raises:
      InputError: a source that cannot be read, a target that exists, or images that are
        missing in what was written.
    """
    got = "one that exists; delete it first"
    require(not target.path.exists(), str(target), "a new target", got)
    data = _renamed(read(source), renamed or {}, source)
    for note in data.notes:
        say(note)
    check_folder_names("classes", data.classes)
    incomplete = target.path.parent / f".{target.path.name}.incomplete"
    # A data set of TFDS takes its name and version from the folders that it is in.
    temporary = incomplete / target.path.parent.name / target.path.name
    shutil.rmtree(incomplete, ignore_errors=True)
    try:
        with library_errors(target.path):
            _make(temporary.parent, target)
            WRITERS[target.kind](temporary, data, size)
            say("counting what was written")
            check_counts(data, read(Location(target.kind, temporary)), target)
            os.replace(temporary, target.path)
    finally:
        shutil.rmtree(incomplete, ignore_errors=True)
    say(f"{target}: complete")


def read(location: Location) -> NamedSplits:
    """All splits of a data set.

    Raises:
      InputError: it does not exist or cannot be read.
    """
    require(location.path.exists(), str(location), "a data set", "no such path")
    return READERS[location.kind](location.path)


def _renamed(
    data: NamedSplits, renamed: Mapping[str, str], source: Location
) -> NamedSplits:
    unknown = renamed.keys() - data.splits.keys()
    expected = f"some of {', '.join(data.splits)} (the splits of {source})"
    require(not unknown, "--rename", expected, ", ".join(sorted(unknown)))
    names = [renamed.get(name, name) for name in data.splits]
    check_folder_names("splits", names)
    splits = dict(zip(names, data.splits.values(), strict=True))
    return dataclasses.replace(data, splits=splits)


def check_folder_names(kind: str, names: Sequence[str]) -> None:
    """Raise `InputError` unless the names are distinct and can be names of folders."""
    bad = any(name in ("", ".", "..") or set(name) & {"/", "\0"} for name in names)
    got = ", ".join(map(repr, names[:20]))
    fits = not bad and len(set(names)) == len(names)
    require(fits, f"names of {kind}", "distinct ones that can be folders", got)


def _make(folder: Path, target: Location) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        if error.errno in FULL_DISK:
            raise
        text = f"expected a folder that can be written, it cannot ({error.strerror})"
        raise InputError(f"{target}: {text}") from error


def check_counts(data: NamedSplits, written: NamedSplits, target: Location) -> None:
    """Count the images that were written.

    Raises:
      InputError: a split or a class has not as many images as in the source.
    """
    for split, records in data.splits.items():
        expected = Counter(data.classes[label] for label in records.all_labels())
        there = written.splits[split].all_labels() if split in written.splits else ()
        found = Counter(written.classes[label] for label in there)
        for name in data.classes:
            text = f"{expected[name]} images of class {name} in {split}"
            got = f"{found[name]} after writing; convert again"
            require(expected[name] == found[name], str(target), text, got)
        say(f"{split}: {len(records)} images of {len(expected)} classes")
