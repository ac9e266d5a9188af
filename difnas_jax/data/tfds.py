"""Data sets of TensorFlow Datasets, read without TensorFlow.

They must be prepared in `array_record`, a format with random access. TensorFlow itself
is needed only where TFDS prepares a data set from its originals;
`difnas-jax prepare` does not need it.
"""

import dataclasses
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from difnas_jax.data.base import NamedSplits, Records, spread_by_bytes
from difnas_jax.errors import InputError, require
from difnas_jax.runtime.given_paths import given_path

FORMAT = "array_record"
NAME = re.compile(r"(?P<folder>[\w-]+(/[\w.-]+)?)(:(?P<version>\d+\.\d+\.\d+))?")
VERSION = re.compile(r"\d+\.\d+\.\d+")
# Of whole splits that were read, by folder and fingerprint.
LABELS: dict[tuple[Path, str], np.ndarray] = {}
LABELS_AT_ONCE = 32  # large images are slower by 256, small ones one by one


@dataclasses.dataclass(frozen=True)
class TfdsRecords(Records):
    """Examples of one split of a TFDS data set.

    Attributes:
      title: of the split, for errors.
      folder: of the data set.
      source: of TFDS, position -> {feature: value}, images as encoded bytes.
      image: name of the image feature.
      label: name of the label feature.
      index: int[N], positions in the source.
      fingerprint: names and sizes of the files of the split.
    """

    title: str
    folder: Path
    source: Any
    image: str
    label: str
    index: np.ndarray
    fingerprint: str

    per_image = ("index",)

    def read(self, index: int) -> tuple[bytes, int]:
        """The encoded image and its label.

        Raises:
          InputError: the files are damaged.
        """
        try:
            example = self.source[int(self.index[index])]
        except (OSError, RuntimeError, ValueError) as error:
            raise _damaged(self.title, error) from error
        return example[self.image], int(example[self.label])

    def all_labels(self) -> np.ndarray:
        """int32[N]; the first call in a process reads the whole split.

        TFDS stores a label in the record of its image. Images are not decoded.

        Raises:
          InputError: the files are damaged.
        """
        key = self.folder, self.fingerprint
        if key not in LABELS:
            LABELS[key] = self._labels_of_source()
        return LABELS[key][self.index]

    def _labels_of_source(self) -> np.ndarray:
        places, labels = range(len(self.source)), []
        try:
            for start in places[::LABELS_AT_ONCE]:
                part = places[start : start + LABELS_AT_ONCE]
                # Threads fetch the records of a batch.
                labels += [e[self.label] for e in self.source.__getitems__(list(part))]
        except (OSError, RuntimeError, ValueError) as error:
            raise _damaged(self.title, error) from error
        return np.array(labels, np.int32)

    def known_labels(self) -> np.ndarray | None:
        """Those of `all_labels` where they were read already, as for a hold-out."""
        known = (self.folder, self.fingerprint) in LABELS
        return self.all_labels() if known else None

    @property
    def container(self) -> str:
        """The format of TFDS."""
        return f"images in {FORMAT}, the first "

    def name(self, index: int) -> str:
        """The split and the position in it."""
        return f"{self.title} example {self.index[index]}"

    def sampled(self) -> range:
        """By the size of the files of the split."""
        *_, sizes = json.loads(self.fingerprint)
        share = len(self) / max(len(self.source), 1)
        return spread_by_bytes(len(self), round(share * sum(size for _, size in sizes)))

    def checksum(self, value: int) -> int:
        """Of names and sizes of the files, of what was selected, and of a sample."""
        value = super().checksum(zlib.crc32(self.fingerprint.encode(), value))
        for index in self.sampled():
            image, label = self.read(index)
            value = zlib.crc32(b"%s %d" % (image, label), value)
        return value


def read_prepared(folder: Path, names: list[str] | None = None) -> NamedSplits:
    """Open splits of the data set in a folder `NAME[/CONFIG]/VERSION`.

    Args:
      folder: holds `dataset_info.json`; the code that made it is not needed.
      names: of the splits; by default all.

    Raises:
      InputError: TFDS is not installed; the data set is damaged, has no random access
        or no labelled images; no such split.
    """
    try:
        return _open(library(), folder, names)
    except InputError:
        raise
    except Exception as error:  # TFDS raises many types for damaged files
        raise _damaged(str(folder), error) from error


def _damaged(name: str, error: Exception) -> InputError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return InputError(
        f"data.path: expected the complete files of {name}, they cannot be read "
        f"({reason[:200]}); delete the data set and prepare it again"
    )


def _open(tfds: Any, folder: Path, names: list[str] | None) -> NamedSplits:
    builder = tfds.builder_from_directory(os.fspath(folder))
    info, there = builder.info, list(builder.info.splits)
    got = (
        f"{info.file_format.value} in {folder}; convert it with 'tfds convert_format "
        f"--dataset_dir={folder} --out_file_format={FORMAT}' or prepare it again with "
        f"'tfds build {info.name} --file_format={FORMAT}' where TensorFlow is installed"
    )
    fits = info.file_format.value == FORMAT
    require(fits, "data.name", f"the format {FORMAT}", got)
    image, label = _features(tfds, info)
    splits = {}
    fields = "data.train_split, data.validation_split, data.test_split"
    expected = f"some of {', '.join(there)} (the splits of {folder})"
    for split in names or there:
        require(split in there, fields, expected, repr(split))
        decoders = {image: tfds.decode.SkipDecoding()}
        source = builder.as_data_source(split=split, decoders=decoders)
        paths = map(os.fspath, info.splits[split].filepaths)
        files = [(os.path.basename(path), os.path.getsize(path)) for path in paths]
        title, index = f"{info.full_name} {split}", np.arange(len(source))
        fingerprint = json.dumps([info.full_name, split, files])
        splits[split] = TfdsRecords(
            title, folder, source, image, label, index, fingerprint
        )
    return NamedSplits(splits, info.features[label].names)


def _features(tfds: Any, info: Any) -> tuple[str, str]:
    """Names of the image and of the label."""
    features, kinds = info.features, tfds.features
    match info.supervised_keys:
        case (str(image), str(label)) if isinstance(features[image], kinds.Image):
            if isinstance(features[label], kinds.ClassLabel):
                return image, label
    expected = "a data set whose supervised_keys are an image and a class label"
    got = f"{info.supervised_keys} in {info.full_name}"
    raise InputError(f"data.name: expected {expected}, got {got}")


def library() -> Any:
    """TFDS, imported only where it is needed, as that takes half a second.

    Raises:
      InputError: it cannot be imported.
    """
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise InputError(
            "data.source: expected tensorflow-datasets to be installed for 'tfds' "
            f"({error}); pip install --upgrade tensorflow-datasets"
        ) from error
    return tensorflow_datasets


def prepared_folder(name: str, data_dir: str) -> Path:
    """The folder of a prepared data set.

    Args:
      name: `NAME`, `NAME/CONFIG`, either with `:VERSION`; the newest one by default.
      data_dir: holds the data sets; empty is the default folder of TFDS.

    Raises:
      InputError: a malformed name, or a data set that is not prepared.
    """
    match = NAME.fullmatch(name)
    if match is None:
        expected = "NAME[/CONFIG][:VERSION] of TFDS, such as imagenet2012"
        raise InputError(f"data.name: expected {expected}; got {name!r}")
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    root = given_path("data.path", data_dir or default)
    folder = root / match["folder"]
    versions = prepared_versions(folder)
    version = match["version"] or (versions or [""])[-1]
    if version not in versions:
        there = f"has version {', '.join(versions)}" if versions else "holds none"
        raise InputError(
            f"data.name: expected {name!r} to be prepared, {folder} {there}; prepare "
            f"it with 'tfds build {name} --file_format={FORMAT} --data_dir={root}' "
            "where TensorFlow is installed, or without it from a folder: 'python -m "
            f"difnas_jax prepare folder:IMAGES tfds:{folder}'"
        )
    return folder / version


def prepared_versions(folder: Path) -> list[str]:
    """The complete versions in a folder, oldest first."""
    names = [path.parent.name for path in folder.glob("*/dataset_info.json")]
    versions = [name for name in names if VERSION.fullmatch(name)]
    return sorted(versions, key=lambda name: [int(part) for part in name.split(".")])
