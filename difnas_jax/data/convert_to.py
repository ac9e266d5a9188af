"""Writing data sets: what the sources of this package read."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from difnas_jax.data.base import Images, Stored
from difnas_jax.data.crops import CROP_DRAWS, whole
from difnas_jax.data.decode import CORRUPT, is_grey, opened, resized
from difnas_jax.data.tfds import FORMAT, library
from difnas_jax.errors import InputError, one_line

# Formats of image files that are written as they are.
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png"}


@dataclasses.dataclass(frozen=True)
class Collection:
    """Splits of labelled images that belong together.

    Attributes:
      splits: name -> images.
      classes: names of the classes in the order of their labels.
    """

    splits: Mapping[str, Images]
    classes: list[str]


# (split, its images) -> (image, label) of each; shows how far it is.
Walk = Callable[[str, Images], Iterator[tuple[Stored, int]]]


def write_arrays(path: Path, data: Collection, size: int, walk: Walk) -> None:
    """Write an .npz file of uint8 images [N, H, W, C] and int32 labels [N].

    Args:
      path: the file.
      data: what to write.
      size: side to which images are squeezed; 0 leaves them as they are.
      walk: see `Walk`.

    Raises:
      InputError: splits of other names; images of several sizes, and no side is given.
    """
    if not {"train", "test"} <= data.splits.keys() <= {"train", "validation", "test"}:
        raise InputError(
            "expected splits train, test and perhaps validation for arrays, got "
            f"{', '.join(data.splits)}; --rename gives them these names"
        )
    first = _first(data)
    mode = _mode(first)
    width, height = (size, size) if size else first.size
    values = {}
    for split, records in data.splits.items():
        shape = (len(records), height, width, len(Image.new(mode, (1, 1)).getbands()))
        images = np.empty(shape, np.uint8)
        labels = np.empty(len(records), np.int32)
        for place, (stored, label) in enumerate(walk(split, records)):
            with _named(records, place):
                image = _squeezed(stored, size) if size else opened(stored)
                _check_colours(image, mode)
                image = image.convert(mode)
            if image.size != (width, height):
                raise InputError(
                    f"expected images of one size for arrays, {records.name(place)} "
                    f"has {image.size[0]} x {image.size[1]}, the first one {width} x "
                    f"{height}; give --size"
                )
            images[place] = np.asarray(image).reshape(shape[1:])
            labels[place] = label
        values |= {f"x_{split}": images, f"y_{split}": labels}
    with open(path, "wb") as file:
        np.savez(file, allow_pickle=False, **values)


def write_folder(path: Path, data: Collection, size: int, walk: Walk) -> None:
    """Write a tree `<split>/<class>/<image>`; see `write_arrays`.

    JPEG and PNG files are written as they are unless a size is given, all others as
    PNG.
    """
    for split, records in data.splits.items():
        for name in data.classes:
            (path / split / name).mkdir(parents=True)
        for place, (stored, label) in enumerate(walk(split, records)):
            with _named(records, place):
                content = encoded(stored, size)
            suffix = SUFFIXES[Image.open(io.BytesIO(content)).format or ""]
            name = f"{place:08d}{suffix}"
            (path / split / data.classes[label] / name).write_bytes(content)
        for name in data.classes:
            if not os.listdir(path / split / name):
                (path / split / name).rmdir()


def write_tfds(path: Path, data: Collection, size: int, walk: Walk) -> None:
    """Write a data set of TFDS in array_record, without TensorFlow.

    The images are encoded as in `write_folder` and keep their order.

    Args:
      path: `NAME/VERSION` below the folder of all data sets.
      data: see `write_arrays`.
      size: see `write_arrays`.
      walk: see `Walk`.
    """
    tfds = library()
    mode = _mode(_first(data))
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, {"RGB": 3, "L": 1}[mode])),
            "label": tfds.features.ClassLabel(names=data.classes),
        }
    )

    def examples(split: str, records: Images) -> Iterable[tuple[int, Any]]:
        for place, (stored, label) in enumerate(walk(split, records)):
            with _named(records, place):
                _check_colours(opened(stored), mode)
                image = io.BytesIO(encoded(stored, size))
            yield place, {"image": image, "label": label}

    base = tfds.dataset_builders.AdhocBuilder

    # Pyright does not know that the base takes this word.
    class Written(base, skip_registration=True):  # pyright: ignore
        """The builder of TFDS for data at hand, which itself needs TensorFlow."""

        pkg_dir_path = Path(__file__).parent

        def _info(self) -> Any:
            return tfds.core.DatasetInfo(
                builder=self,
                features=features,
                supervised_keys=("image", "label"),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager: Any) -> Any:
            return {name: examples(name, data.splits[name]) for name in data.splits}

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


def encoded(stored: Stored, size: int) -> bytes:
    """The file of an image: as it is, or a PNG.

    Args:
      stored: the image.
      size: side to which it is squeezed; 0 leaves it as it is.
    """
    image = opened(stored)
    if isinstance(stored, bytes) and image.format in SUFFIXES and not size:
        return stored
    file = io.BytesIO()
    (_squeezed(stored, size) if size else image).save(file, "PNG")
    return file.getvalue()


def _squeezed(stored: Stored, size: int) -> Image.Image:
    image = opened(stored)
    box = whole(*image.size, np.zeros(CROP_DRAWS))
    return resized(image, box, size, _mode(image))


def _check_colours(image: Image.Image, mode: str) -> None:
    if mode == "L" and not is_grey(image):
        raise ValueError("it has colours, the first image is grey")


def _first(data: Collection) -> Image.Image:
    records = next(iter(data.splits.values()))
    with _named(records, 0):
        return opened(records.read(0)[0])


@contextlib.contextmanager
def _named(records: Images, place: int) -> Iterator[None]:
    try:
        yield
    except CORRUPT as error:
        raise InputError(
            f"expected an image that can be converted, {records.name(place)} cannot "
            f"({one_line(error)}); replace it or take it out of the source"
        ) from error


def _mode(image: Image.Image) -> str:
    return "L" if is_grey(image) else "RGB"


WRITERS: dict[str, Callable[[Path, Collection, int, Walk], None]] = {
    "arrays": write_arrays,
    "folder": write_folder,
    "tfds": write_tfds,
}
