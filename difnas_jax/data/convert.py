"""Conversion: read a data set in one form, and write it in one that a source reads."""

import contextlib
import dataclasses
import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from difnas_jax.data.base import NamedSplits, Records, StoredImage
from difnas_jax.data.decoding import (
    CORRUPT,
    MODES,
    check_colours,
    converted,
    is_grey,
    opened,
    resized,
    upright_size,
)
from difnas_jax.data.folders import read_folder
from difnas_jax.data.image_files import read_jpegs
from difnas_jax.data.sources import read_arrays
from difnas_jax.data.tfds import FORMAT, library, read_prepared
from difnas_jax.errors import InputError, one_line, require
from difnas_jax.runtime.progress import Progress

# Formats of image files that are written as they are.
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png"}
CHANNELS = {mode: channels for channels, mode in MODES.items()}


def write_arrays(path: Path, data: NamedSplits, size: int) -> None:
    """Write an .npz file of uint8 images [N, H, W, C] and int32 labels [N].

    Args:
      path: the file.
      data: what to write.
      size: side to which images are squeezed; 0 leaves them as they are.

    Raises:
      InputError: splits of other names, or images of several sizes where `size` is 0.
    """
    fits = {"train"} <= data.splits.keys() <= {"train", "validation", "test"}
    got = f"{', '.join(data.splits)}; --rename gives them these names"
    require(fits, "splits", "train and perhaps validation and test for arrays", got)
    first = _first_image(data)
    mode = _mode(first)
    width, height = (size, size) if size else upright_size(first)
    values = {}
    for split, records in data.splits.items():
        shape = (len(records), height, width, CHANNELS[mode])
        images, labels = np.empty(shape, np.uint8), np.empty(len(records), np.int32)
        for index, (stored, label) in enumerate(_read_all(split, data)):
            with _naming_image(records, index):
                image = _squeezed(stored, size, mode)
            fits, expected = image.size == (width, height), f"{width} x {height} pixels"
            got = f"{image.size[0]} x {image.size[1]}; give --size"
            require(fits, records.name(index), f"{expected} as in the first image", got)
            images[index] = np.asarray(image).reshape(shape[1:])
            labels[index] = label
        values |= {f"x_{split}": images, f"y_{split}": labels}
    with open(path, "wb") as file:
        np.savez(file, allow_pickle=False, classes=np.array(data.classes), **values)


def write_folder(path: Path, data: NamedSplits, size: int) -> None:
    """Write a tree `<split>/<class>/<image>`; see `write_arrays`.

    JPEG and PNG files are written as they are unless a size is given, all others as
    PNG.
    """
    for split, records in data.splits.items():
        for name in data.classes:
            (path / split / name).mkdir(parents=True)
        for index, (stored, label) in enumerate(_read_all(split, data)):
            with _naming_image(records, index):
                content = _encoded(stored, size)
            suffix = SUFFIXES[Image.open(io.BytesIO(content)).format or ""]
            name = f"{index:08d}{suffix}"
            (path / split / data.classes[label] / name).write_bytes(content)
        for name in data.classes:
            if not os.listdir(path / split / name):
                (path / split / name).rmdir()


def write_tfds(path: Path, data: NamedSplits, size: int) -> None:
    """Write a data set of TFDS in array_record, without TensorFlow.

    The images are encoded as in `write_folder` and keep their order.

    Args:
      path: `NAME/VERSION` below the folder of all data sets.
      data: see `write_arrays`.
      size: see `write_arrays`.
    """
    tfds = library()
    mode = _mode(_first_image(data))
    image_feature = tfds.features.Image(shape=(None, None, CHANNELS[mode]))
    label_feature = tfds.features.ClassLabel(names=data.classes)
    features = tfds.features.FeaturesDict(
        {"image": image_feature, "label": label_feature}
    )

    def examples(split: str) -> Iterable[tuple[int, Any]]:
        for index, (stored, label) in enumerate(_read_all(split, data)):
            with _naming_image(data.splits[split], index):
                check_colours(opened(stored), mode)
                image = io.BytesIO(_encoded(stored, size))
            yield index, {"image": image, "label": label}

    base = tfds.dataset_builders.AdhocBuilder

    # Pyright does not know that the base takes this argument.
    class Written(base, skip_registration=True):  # pyright: ignore
        """The builder of TFDS for data in memory, without its need of TensorFlow."""

        pkg_dir_path = Path(__file__).parent

        def _info(self) -> Any:
            return tfds.core.DatasetInfo(
                builder=self,
                features=features,
                supervised_keys=("image", "label"),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager: Any) -> Any:
            return {split: examples(split) for split in data.splits}

    tfds.disable_progress_bar()
    builder = Written(
        name=path.parent.name,
        version=path.name,
        features=features,
        split_datasets={},
        data_dir=path.parents[1],
        file_format=FORMAT,
    )
    builder.download_and_prepare()


def _read_all(split: str, data: NamedSplits) -> Iterator[tuple[StoredImage, int]]:
    """Every image and label of a split in order; shows the progress."""
    records, classes = data.splits[split], len(data.classes)
    progress = Progress(split, len(records), 0, "images")
    for index in range(len(records)):
        stored, label = records.read(index)
        expected = f"a label from 0 to {classes - 1}"
        got = f"{label}; leave out splits without labels"
        require(0 <= label < classes, records.name(index), expected, got)
        yield stored, label
        progress.step()
    progress.finish()


def _encoded(stored: StoredImage, size: int) -> bytes:
    """The file of an image: as it is stored, or a PNG; see `write_arrays`."""
    if isinstance(stored, bytes) and opened(stored).format in SUFFIXES and not size:
        return stored
    file = io.BytesIO()
    _squeezed(stored, size, _mode(opened(stored))).save(file, "PNG")
    return file.getvalue()


def _squeezed(stored: StoredImage, size: int, mode: str) -> Image.Image:
    """In a mode, upright, and as a square where there is a size."""
    image = opened(stored)
    box = (0, 0, *upright_size(image))
    return resized(image, box, size, mode) if size else converted(image, mode)


def _first_image(data: NamedSplits) -> Image.Image:
    records = next(iter(data.splits.values()))
    with _naming_image(records, 0):
        return opened(records.read(0)[0])


@contextlib.contextmanager
def _naming_image(records: Records, index: int) -> Iterator[None]:
    """Turn what Pillow raises into an `InputError` that names the image."""
    try:
        yield
    except CORRUPT as error:
        raise InputError(
            f"expected an image that can be converted, {records.name(index)} cannot "
            f"({one_line(error)}); replace it or remove it from the source"
        ) from error


def _mode(image: Image.Image) -> str:
    return "L" if is_grey(image) else "RGB"


def _read_arrays(path: Path) -> NamedSplits:
    found = read_arrays(path, num_classes=2**31)
    if found.classes:
        return found
    count = 1 + max(int(split.all_labels().max()) for split in found.splits.values())
    # Padded with zeros, so that the order of the names is that of the labels.
    classes = [f"{label:0{len(str(count - 1))}d}" for label in range(count)]
    return dataclasses.replace(found, classes=classes)


READERS: dict[str, Callable[[Path], NamedSplits]] = {
    "arrays": _read_arrays,
    "folder": read_folder,
    "jpegs": read_jpegs,
    "tfds": read_prepared,
}
WRITERS: dict[str, Callable[[Path, NamedSplits, int], None]] = {
    "arrays": write_arrays,
    "folder": write_folder,
    "tfds": write_tfds,
}
