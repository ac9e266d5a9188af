"""Decoding and augmenting images of the size of ImageNet's, on one core.

The images are synthetic: mosaics of the shipped digits in random colours, 500 x 375
pixels as is usual in ImageNet, and as JPEG about as large as those (110 KB).
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from benchmarks.speed import network
from difnas_jax import data
from difnas_jax.config import default
from difnas_jax.data.decoding import opened
from difnas_jax.data.examples import DecodedExamples
from difnas_jax.data.image_files import FileRecords

WIDTH, HEIGHT = 500, 375
# Side of a pixel of a digit, and the quality of the JPEG: they make its size.
PIXEL, QUALITY = 5, 95
IMAGES, ROUNDS = 64, 9


def decoding() -> dict[str, Any]:
    """Processor seconds an image, by round, and the mean kilobytes of a file."""
    with tempfile.TemporaryDirectory() as folder:
        files = _written(Path(folder))
        sides, seconds = _sides(files), {}
        for step in range(ROUNDS):
            for name, make in sides.items():
                start = time.process_time()
                make(step)
                spent = (time.process_time() - start) / IMAGES
                seconds.setdefault(name, []).append(spent)
        sizes = [len(files.read(index)[0]) / 1000 for index in range(IMAGES)]
    return {**seconds, "kilobytes": statistics.mean(sizes)}


def _sides(files: FileRecords) -> dict[str, Callable[[int], object]]:
    """What is measured: name -> work on all images."""
    config = _config()
    crop, evaluation_crop = data.AUGMENTATIONS["imagenet"](config)
    shape = (config.space.image_size, 3, False, 0)
    seen = DecodedExamples(files, crop, *shape)
    centre = DecodedExamples(files, evaluation_crop, *shape)
    train = data.TrainBatches.of(config, seen, IMAGES)
    evaluation = data.EvaluationBatches(centre, IMAGES, train.normalizer)
    return {
        "decode": lambda step: [opened(files.read(n)[0]).load() for n in range(IMAGES)],
        "train": lambda step: train[step],
        "evaluate": lambda step: evaluation[0],
    }


def _written(folder: Path) -> FileRecords:
    digits = data.SOURCES["digits"](_config()).train
    assert isinstance(digits, data.Arrays)
    paths = [f"{index}.jpg".encode() for index in range(IMAGES)]
    for index, path in enumerate(paths):
        (folder / path.decode()).write_bytes(_mosaic(digits.images, index))
    return FileRecords(folder, np.array(paths), np.zeros(IMAGES, np.int32))


def _config() -> ConfigDict:
    config = default()
    config.seed = network.SEED
    config.space.num_classes = 10
    config.data.update(augmentation="imagenet", flip=True, lighting=0.1)
    config.data.update(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    return config


def _mosaic(digits: np.ndarray, seed: int) -> bytes:
    rng = np.random.default_rng([network.SEED, seed])
    rows, columns = -(-HEIGHT // (8 * PIXEL)), -(-WIDTH // (8 * PIXEL))
    chosen = digits[rng.integers(len(digits), size=(rows, columns))]
    colours = rng.random((rows, columns, 1, 1, 3))
    pixels = (chosen * colours).swapaxes(1, 2).reshape(8 * rows, 8 * columns, 3)
    image = Image.fromarray(pixels.astype(np.uint8))
    large = image.resize(
        (8 * columns * PIXEL, 8 * rows * PIXEL), Image.Resampling.BICUBIC
    )
    noise = rng.normal(0, 8, (HEIGHT, WIDTH, 3))  # that of a camera
    cut = np.asarray(large)[:HEIGHT, :WIDTH] + noise
    file = io.BytesIO()
    Image.fromarray(cut.clip(0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=QUALITY
    )
    return file.getvalue()
