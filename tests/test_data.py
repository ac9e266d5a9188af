"""Data: splits, checks, streams that replay, exact evaluation."""

import contextlib
import io
import subprocess
import sys
import threading
import time

import jobs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_problems import quick

from difnas_jax import data
from difnas_jax.config import default
from difnas_jax.data.hold_out import hold_out, stratified_counts
from difnas_jax.data.images import random_crop
from difnas_jax.data.sources import checked_arrays
from difnas_jax.errors import InputError
from difnas_jax.training.log import TrainingLog


def digits_config(**space):
    config = default()
    config.data.source = "digits"
    config.space.update(
        {"image_size": 16, "image_channels": 1, "num_classes": 10, **space}
    )
    return config


def arrays_config(tmp_path, **arrays):
    config = digits_config(image_size=8, num_classes=3)
    config.data.source = "arrays"
    config.data.path = str(tmp_path / "data.npz")
    np.savez(config.data.path, **arrays)
    return config


def good_arrays(**changes):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (20, 8, 8, 1), dtype=np.uint8),
        "y_train": np.arange(20) % 3,
        "x_test": rng.integers(0, 256, (6, 8, 8, 1), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }
    arrays |= changes
    return {name: array for name, array in arrays.items() if array is not None}


def stream(config, split, batch_size=8):
    return data.TrainBatches.of(config, split, batch_size)


def held_out(dataset):
    assert dataset.validation is not None
    return dataset.validation


def splits_of(dataset):
    return dataset.train, held_out(dataset), dataset.test


def test_digits_splits_are_disjoint_and_complete():
    dataset = data.load(digits_config(image_size=8))
    sizes = [len(split) for split in splits_of(dataset)]
    assert sizes == [1293, 144, 360]
    raw = np.concatenate([split.images for split in splits_of(dataset)])
    assert len(np.unique(raw.reshape(len(raw), -1), axis=0)) == 1797
    assert data.check(digits_config(image_size=8)).checksum == "e6e7468c"
    for split in splits_of(dataset):
        shares = np.bincount(split.labels, minlength=10) / len(split)
        assert 0.07 < shares.min() and shares.max() < 0.13
    assert raw.max() == 255 and raw.min() == 0


def test_images_are_resized_and_grey_is_repeated():
    dataset = data.load(digits_config(image_size=16, image_channels=3))
    assert dataset.train.images.shape == (1293, 16, 16, 3)
    assert (dataset.train.images[..., 0] == dataset.train.images[..., 2]).all()
    small = data.load(digits_config(image_size=8)).train.images.astype(float)
    large = dataset.train.images[..., :1].astype(float)
    blocks = large.reshape(1293, 8, 2, 8, 2, 1).mean((2, 4))
    assert np.corrcoef(blocks.ravel(), small.ravel())[0, 1] > 0.97  # not scrambled


def test_arrays_hold_out_a_validation_split(tmp_path):
    dataset = data.load(arrays_config(tmp_path, **good_arrays()))
    assert (len(dataset.train), len(held_out(dataset)), len(dataset.test)) == (
        18,
        2,
        6,
    )
    both = np.concatenate([dataset.train.images, held_out(dataset).images])
    assert len(np.unique(both.reshape(20, -1), axis=0)) == 20


def test_arrays_keep_their_own_validation_split(tmp_path):
    own = {
        "x_validation": np.full((4, 8, 8, 1), 7, np.uint8),
        "y_validation": np.zeros(4, int),
    }
    dataset = data.load(arrays_config(tmp_path, **good_arrays(), **own))
    assert len(dataset.train) == 20 and (held_out(dataset).images == 7).all()


def test_grey_images_without_channel_axis(tmp_path):
    arrays = good_arrays(
        x_train=np.zeros((20, 8, 8), np.uint8), x_test=np.zeros((6, 8, 8), np.uint8)
    )
    assert data.load(arrays_config(tmp_path, **arrays)).train.images.shape == (
        18,
        8,
        8,
        1,
    )


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"x_train": None}, "data.path", "x_test, y_test, y_train$"),
        ({"x_train": None, "y_train": None}, "data.path", "x_test, y_test$"),
        ({"x_valid": np.zeros(3)}, "data.path", "x_valid, y_test, y_train$"),
        (
            {"x_validation": np.zeros((2, 8, 8, 1), np.uint8)},
            "data.path",
            "x_validation, y_test, y_train$",
        ),
        (
            {"x_test": np.zeros((6, 0, 0, 1), np.uint8)},
            "test images",
            r"\[6, 0, 0, 1\]",
        ),
        ({"y_test": None}, "data.path", "x_test, x_train, y_train$"),
        ({"x_train": np.zeros((20, 8, 8, 1), np.float32)}, "train images", "float32"),
        ({"x_train": np.zeros((20, 64), np.uint8)}, "train images", r"\[20, 64\]"),
        (
            {"x_train": np.zeros((19, 8, 8, 1), np.uint8)},
            "train labels",
            r"\[19\].* \[20\]",
        ),
        ({"y_train": np.zeros(20, np.float32)}, "train labels", "float32"),
        ({"y_train": np.full(20, 3)}, "train labels", "3 to 3"),
        ({"y_test": np.full(6, -1)}, "test labels", "-1 to -1"),
        (
            {"x_test": np.zeros((0, 8, 8, 1), np.uint8), "y_test": np.zeros(0, int)},
            "test images",
            r"\[0, 8, 8, 1\]",
        ),
        ({"x_train": np.zeros((20, 8, 8, 3), np.uint8)}, "space.image_channels", "3$"),
    ],
)
def test_malformed_arrays(tmp_path, changes, field, value):
    config = arrays_config(tmp_path, **good_arrays(**changes))
    with pytest.raises(InputError, match=f"{field}.*{value}") as error:
        data.check(config)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [None, b"", b"not a zip", "pickle", "truncated", "array"]
)
def test_files_that_are_no_arrays(tmp_path, content):
    path = tmp_path / "data.npz"
    config = digits_config()
    config.data.source, config.data.path = "arrays", str(path)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "pickle":
        np.savez(path, x_train=np.array([{}, 1], dtype=object))
    elif content == "truncated":
        buffer = io.BytesIO()
        np.savez(buffer, **good_arrays())
        path.write_bytes(buffer.getvalue()[:500])
    elif content == "array":
        with open(path, "wb") as file:
            np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="data.path.*data.npz") as error:
        data.check(config)
    assert "\n" not in str(error.value)


def test_mean_and_std_must_fit():
    config = digits_config()
    config.data.mean = (0.1, 0.2)
    with pytest.raises(InputError, match=r"data.mean.*\(0.1, 0.2\)"):
        data.check(config)


def test_arrays_may_name_their_classes(tmp_path):
    names = np.array(["cat", "dog", "owl"])
    config = arrays_config(tmp_path, **good_arrays(classes=names))
    assert data.check(config).classes == ("cat", "dog", "owl")
    config.space.num_classes = 4
    with pytest.raises(InputError, match="space.num_classes: expected 3, the classes"):
        data.check(config)
    for wrong in (names[[0, 0, 1]], np.arange(3), names[None]):
        config = arrays_config(tmp_path, **good_arrays(classes=wrong))
        with pytest.raises(InputError, match="classes: expected distinct names"):
            data.check(config)


def test_arrays_without_a_test_split_give_a_part_of_train(tmp_path):
    config = arrays_config(tmp_path, **good_arrays(x_test=None, y_test=None))
    config.data.test_fraction = 0.2
    assert data.check(config).images == {"train": 14, "validation": 2, "test": 4}


def test_hold_out_needs_examples_on_both_sides():
    split = checked_arrays("x", np.zeros((5, 2, 2), np.uint8), np.zeros(5, int), 2)
    with pytest.raises(InputError, match="data.validation_fraction.*0.01"):
        hold_out("data.validation_fraction", split, 0.01, 0)


@quick
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=40).map(np.array),
    st.floats(0.0, 0.9),
)
def test_every_class_gives_the_same_share(sizes, fraction):
    counts = stratified_counts(sizes, fraction)
    assert (abs(counts - fraction * sizes) < 1).all()
    assert (counts >= 0).all() and (counts < sizes).all()
    wanted = round(fraction * sizes.sum())
    # A class gives nothing beyond its share rounded up, and never its last image.
    most = np.minimum(np.ceil(fraction * sizes), sizes - 1)
    assert counts.sum() == min(wanted, most.sum())


def labelled(labels):
    """Arrays in which every image tells its position."""
    numbers = np.arange(len(labels), dtype=np.uint16)
    images = np.frombuffer(numbers.tobytes(), np.uint8).reshape(-1, 1, 2, 1)
    return checked_arrays("x", images, labels, int(labels.max()) + 1)


def positions(arrays):
    """int[N]: where the images of `labelled` were."""
    return np.ascontiguousarray(arrays.images).reshape(-1, 2).view(np.uint16)[:, 0]


@pytest.mark.parametrize("fraction", [0.1, 0.37, 0.9])
def test_a_hold_out_is_stratified_disjoint_and_complete(rng, fraction):
    labels = rng.choice(7, size=500, p=np.array([1, 1, 2, 4, 8, 16, 32]) / 64)
    labels = np.append(labels, [7, 7])  # two images of a rare class
    train, held = hold_out("f", labelled(labels), fraction, seed=3)
    both = np.concatenate([positions(train), positions(held)])
    assert np.array_equal(np.sort(both), np.arange(len(labels)))
    for part in (train, held):
        assert (np.diff(positions(part).astype(int)) > 0).all()
        assert np.array_equal(part.labels, labels[positions(part)])
    counts = np.bincount(held.labels, minlength=8)
    assert np.array_equal(counts, stratified_counts(np.bincount(labels), fraction))


def test_every_image_of_a_class_is_held_out_as_often():
    split = labelled(np.repeat([0, 1], [30, 10]))
    times = np.zeros(40)
    for seed in range(400):
        times[positions(hold_out("f", split, 0.2, seed)[1])] += 1
    assert times[:30].sum() == 6 * 400 and times[30:].sum() == 2 * 400
    # 80 of 400 expected, with a standard deviation of 8.
    assert abs(times - 80).max() < 32


HELD = """
import numpy as np
from difnas_jax.data.base import Arrays
from difnas_jax.data.hold_out import hold_out
labels = np.arange(90) % 7 % 4
split = Arrays(np.arange(90, dtype=np.uint8).reshape(90, 1, 1, 1), labels)
print(*hold_out("f", split, 0.3, 5)[1].images.ravel())
"""


def test_every_process_holds_out_the_same_images():
    command = [sys.executable, "-c", HELD]
    runs = [
        subprocess.run(
            command,
            env={**jobs.environment(), "PYTHONHASHSEED": seed},
            cwd=jobs.ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] and len(runs[0].split()) == 27


def test_nothing_is_held_out_with_a_fraction_of_0(tmp_path):
    config = arrays_config(tmp_path, **good_arrays())
    config.data.validation_fraction = 0.0
    dataset = data.load(config)
    assert len(dataset.train) == 20 and dataset.validation is None
    data.check(config)
    with pytest.raises(InputError, match="above 0.* for x.y; got 0"):
        data.check(config, ["x.y"])
    with pytest.raises(InputError, match="above 0.* for x.y; got 0"):
        dataset.validation_for("x.y")
    digits = digits_config(image_size=8)
    held = data.load(digits)
    digits.data.validation_fraction = 0.0
    whole = data.load(digits)
    assert len(whole.train) == 1437 and whole.validation is None
    assert whole.test.images.tobytes() == held.test.images.tobytes()
    assert held.validation_for("x.y") is held.validation


def test_a_split_of_its_own_stays_with_a_fraction_of_0(tmp_path):
    images, labels = np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, int)
    own = {"x_validation": images, "y_validation": labels}
    config = arrays_config(tmp_path, **good_arrays(), **own)
    config.data.validation_fraction = 0.0
    assert len(data.load(config).validation_for("x.y")) == 4


def test_normalised_pixels_have_mean_0_and_variance_1():
    config = digits_config()
    train = data.load(config).train
    pixels = data.Normalizer.of(config, train)(train.images)
    assert pixels.dtype == np.float32
    assert pixels.mean() == pytest.approx(0, abs=1e-4)
    assert pixels.std() == pytest.approx(1, abs=1e-4)


def test_an_epoch_shows_every_example_once():
    config = digits_config(image_size=8)
    train = data.load(config).train
    batches = stream(config, train, batch_size=100)
    epochs = np.concatenate([batches[step]["label"] for step in range(26)])[: 2 * 1293]
    images = np.concatenate([batches[step]["image"] for step in range(26)])[: 2 * 1293]
    for part in (slice(0, 1293), slice(1293, 2586)):
        assert len(np.unique(images[part].reshape(1293, -1), axis=0)) == 1293
    assert not np.array_equal(epochs[:1293], epochs[1293:])


def test_batches_replay_from_seed_and_step():
    config = digits_config()
    config.data.crop_padding, config.data.flip = 2, True
    train = data.load(config).train
    batches = stream(config, train)
    first = batches[300]["image"]
    assert first.tobytes() == stream(config, train)[300]["image"].tobytes()
    config.seed = 1
    assert first.tobytes() != stream(config, train)[300]["image"].tobytes()


def test_random_crop_shifts_and_pads_with_zeros(rng):
    images = rng.integers(1, 256, (64, 5, 5, 2), dtype=np.uint8)
    cropped = random_crop(images, 1, rng.random((64, 2)))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = [
        padded[:, top : top + 5, left : left + 5]
        for top in range(3)
        for left in range(3)
    ]
    matches = np.array([(cropped == window).all((1, 2, 3)) for window in windows])
    assert (matches.sum(0) == 1).all()
    assert (matches.sum(1) > 0).all()
    assert random_crop(images, 0, rng.random((64, 2))) is images


def test_flip_mirrors_about_half():
    config = digits_config()
    train = data.load(config).train
    plain = stream(config, train, 200)[0]["image"]
    config.data.flip = True
    flipped = stream(config, train, 200)[0]["image"]
    same = (plain == flipped).all((1, 2, 3))
    mirrored = (plain[:, :, ::-1] == flipped).all((1, 2, 3))
    assert (same | mirrored).all()
    assert 0.3 < mirrored.mean() < 0.7


def test_augmentation_leaves_the_data_alone():
    config = digits_config()
    config.data.crop_padding, config.data.flip = 2, True
    train = data.load(config).train
    before = train.images.tobytes()
    stream(config, train, 100)[0]
    assert train.images.tobytes() == before


def prefetching():
    return [t for t in threading.enumerate() if t.name.startswith("prefetch")]


def test_prefetched_batches_are_those_of_their_steps():
    config = digits_config()
    config.data.crop_padding, config.data.flip = 2, True
    batches = stream(config, data.load(config).train)
    ahead = list(data.prefetch(batches.__getitem__, range(3, 8)))
    assert len(ahead) == 5 and not prefetching()
    for step, batch in zip(range(3, 8), ahead, strict=True):
        assert batch["image"].tobytes() == batches[step]["image"].tobytes()
        assert batch["label"].tobytes() == batches[step]["label"].tobytes()
    assert not list(data.prefetch(batches.__getitem__, range(0)))


def test_prefetch_works_ahead_by_its_depth_and_ends_when_it_is_closed():
    begun = []
    with contextlib.closing(data.prefetch(begun.append, range(100), depth=2)) as ahead:
        next(ahead)
        deadline = time.monotonic() + 10
        while len(begun) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert begun == [0, 1, 2] and prefetching()
    assert begun == [0, 1, 2] and not prefetching()


@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt])
def test_prefetch_raises_what_the_thread_raised_at_its_step(error):
    def prepare(step):
        if step == 2:
            raise error("step 2")
        return step

    ahead = data.prefetch(prepare, range(9))
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(error, match="step 2"):
        next(ahead)
    assert not prefetching()


def test_waiting_for_batches_is_measured(tmp_path):
    def slow():
        time.sleep(1)
        yield "batch"

    log = TrainingLog(tmp_path, default().retrain, range(0, 5), images=10, unwritten=[])
    assert log.wait_for(slow()) == "batch"
    log.add({"loss": 1.0})
    row = log.row(1)
    assert 0.5 < row["data_wait"] <= 1 and 0 < row["images_per_second"] < 50


def test_evaluation_sees_every_example_once():
    config = digits_config()
    split = data.load(config).test
    normalizer = data.Normalizer.of(config, split)
    batches = list(data.evaluation_batches(split, 100, normalizer))
    assert [batch["mask"].sum() for batch in batches] == [100, 100, 100, 60]
    labels = np.concatenate([batch["label"][batch["mask"] > 0] for batch in batches])
    assert np.array_equal(labels, split.labels)
    assert all(len(batch["image"]) == 100 for batch in batches)
