"""Data sets of TensorFlow Datasets, read without TensorFlow.

They must be prepared in a format that can be read in any order (`array_record`).
TensorFlow itself is needed only where TFDS prepares a data set from its originals;
`python -m difnas_jax prepare` does without.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from difnas_jax.data.pixels import no_statistics
from difnas_jax.errors import InputError

FORMAT = "array_record"
NAME = re.compile(r"(?P<folder>[\w-]+(/[\w.-]+)?)(:(?P<version>\d+\.\d+\.\d+))?")
VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclasses.dataclass(frozen=True)
class TfdsRecords:
    """Examples of one split.

    Attributes:
      title: of the split, for errors.
      source: place -> {feature: value}, images as encoded bytes.
      image: name of the image feature.
      label: name of the label feature.
      index: int[N], places in the source.
      fingerprint: of the files of the split.
    """

    title: str
    source: Sequence[Any]
    image: str
    label: str
    index: np.ndarray
    fingerprint: str

    def __len__(self) -> int:
        """N."""
        return len(self.index)

    def __getitem__(self, index: np.ndarray) -> TfdsRecords:
        """Select examples."""
        return dataclasses.replace(self, index=self.index[index])

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

    def name(self, index: int) -> str:
        """The split and the place in it."""
        return f"{self.title} example {self.index[index]}"

    def checksum(self, value: int) -> int:
        """Of names and sizes of the files, and of what was selected."""
        value = zlib.crc32(self.fingerprint.encode(), value)
        return zlib.crc32(self.index.tobytes(), value)

    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """None are known.

        Raises:
          InputError: always.
        """
        raise no_statistics()


def read_tfds(
    name: str, data_dir: str, names: list[str]
) -> tuple[dict[str, TfdsRecords], list[str]]:
    """Open splits of a prepared data set.

    Args:
      name: `NAME`, `NAME/CONFIG`, either with `:VERSION`; the newest one by default.
      data_dir: holds the data sets; empty is where TFDS puts them.
      names: of the splits.

    Returns:
      The splits, and the names of the classes in the order of their labels.

    Raises:
      InputError: TFDS is not installed; the data set is not prepared, cannot be read in
        any order, or is not of labelled images; no such split.
    """
    library()
    return read_prepared(_found(name, data_dir), names)


def read_prepared(
    folder: str, names: list[str] | None = None
) -> tuple[dict[str, TfdsRecords], list[str]]:
    """Open splits of the data set in a folder `NAME[/CONFIG]/VERSION`.

    Args:
      folder: holds `dataset_info.json`; the code that made it is not needed.
      names: of the splits; all by default.

    Returns:
      As `read_tfds`.

    Raises:
      InputError: as `read_tfds`.
    """
    try:
        return _opened(library(), folder, names)
    except InputError:
        raise
    except Exception as error:  # whatever damaged files make TFDS raise
        raise _damaged(folder, error) from error


def _damaged(name: str, error: Exception) -> InputError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return InputError(
        f"data.path: expected the complete files of {name}, they cannot be read "
        f"({reason[:200]}); delete the data set and prepare it again"
    )


def _opened(
    tfds: Any, folder: str, names: list[str] | None
) -> tuple[dict[str, TfdsRecords], list[str]]:
    builder = tfds.builder_from_directory(folder)
    info, there = builder.info, list(builder.info.splits)
    if info.file_format.value != FORMAT:
        raise InputError(
            f"data.name: expected the format {FORMAT}, {folder} is in "
            f"{info.file_format.value}; convert it with 'tfds convert_format "
            f"--dataset_dir={folder} --out_file_format={FORMAT}' or prepare it again "
            f"with 'tfds build {info.name} --file_format={FORMAT}' where TensorFlow is "
            "installed"
        )
    image, label = _features(tfds, info)
    splits = {}
    for split in names or there:
        if split not in there:
            raise InputError(
                f"data.train_split, data.validation_split, data.test_split: expected "
                f"some of {', '.join(there)}, the splits of {folder}; got {split!r}"
            )
        decoders = {image: tfds.decode.SkipDecoding()}
        source = builder.as_data_source(split=split, decoders=decoders)
        files = [
            (os.path.basename(path), os.path.getsize(path))
            for path in map(os.fspath, info.splits[split].filepaths)
        ]
        splits[split] = TfdsRecords(
            title=f"{info.full_name} {split}",
            source=source,
            image=image,
            label=label,
            index=np.arange(len(source)),
            fingerprint=json.dumps([info.full_name, split, files]),
        )
    return splits, info.features[label].names


def library() -> Any:
    """TFDS, which is an extra.

    Raises:
      InputError: it is not installed.
    """
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise InputError(
            "data.source: 'tfds' expected tensorflow-datasets to be installed "
            f"({error}); pip install 'difnas_jax[tfds]'"
        ) from error
    return tensorflow_datasets


def _found(name: str, data_dir: str) -> str:
    """The folder of a data set."""
    match = NAME.fullmatch(name)
    if match is None:
        raise InputError(
            "data.name: expected a data set of TFDS, NAME[/CONFIG][:VERSION], such as "
            f"imagenet2012; got {name!r}"
        )
    folder = os.path.join(_data_dir(data_dir), match["folder"])
    versions = prepared_versions(folder)
    version = match["version"] or (versions or [""])[-1]
    if version not in versions:
        there = f"has version {', '.join(versions)}" if versions else "holds none"
        raise InputError(
            f"data.name: expected {name!r} to be prepared, {folder} {there}; "
            + _how_to_prepare(name, data_dir)
        )
    return os.path.join(folder, version)


def _data_dir(given: str) -> str:
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return os.path.expanduser(given or default)


def prepared_versions(folder: str) -> list[str]:
    """The complete versions in a folder, oldest first."""
    entries = os.scandir(folder) if os.path.isdir(folder) else ()
    versions = [
        entry.name
        for entry in entries
        if VERSION.fullmatch(entry.name)
        and os.path.isfile(os.path.join(entry.path, "dataset_info.json"))
    ]
    return sorted(versions, key=lambda name: [int(part) for part in name.split(".")])


def _how_to_prepare(name: str, data_dir: str) -> str:
    target = os.path.join(_data_dir(data_dir), name.partition(":")[0])
    return (
        f"prepare it with 'tfds build {name} --file_format={FORMAT} --data_dir="
        f"{_data_dir(data_dir)}' where TensorFlow is installed, or without it from a "
        f"folder: 'python -m difnas_jax prepare folder:IMAGES tfds:{target}'"
    )


def _features(tfds: Any, info: Any) -> tuple[str, str]:
    """Names of the image and of the label."""
    keys, features = info.supervised_keys, info.features
    kinds = (tfds.features.Image, tfds.features.ClassLabel)
    if (
        not keys
        or len(keys) != 2
        or not all(isinstance(key, str) for key in keys)
        or not all(isinstance(features[k], t) for k, t in zip(keys, kinds, strict=True))
    ):
        raise InputError(
            "data.name: expected a data set whose supervised_keys are an image and a "
            f"class label, {info.full_name} has {keys}"
        )
    return keys
