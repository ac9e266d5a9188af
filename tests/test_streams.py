"""Images that are not in memory: folders, TFDS, crops, workers, hosts, conversion."""

import dataclasses
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import difnas_jax
from difnas_jax import data, spaces
from difnas_jax.commands import prepare
from difnas_jax.config import default
from difnas_jax.data import examples, tfds
from difnas_jax.data.base import Arrays
from difnas_jax.data.decoding import opened, resized
from difnas_jax.data.images import (
    COLOUR_VALUES,
    COLOUR_VECTORS,
    CROP_DRAWS,
    RandomArea,
    centre,
    lighting,
    whole,
)
from difnas_jax.errors import InputError
from difnas_jax.runtime import files
from difnas_jax.runtime.shutdown import exit_code

ROOT = Path(__file__).parents[1]
TRAIN, TEST = 60, 20


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """60 + 20 CIFAR-10 images as JPEG streams; digits where there are none."""
    folder = tmp_path_factory.mktemp("originals")
    cifar = ROOT.parent / "shared" / "data" / "cifar10_jpeg.npz"
    if not cifar.exists():
        return f"arrays:{digits_file(folder)}"
    with np.load(cifar, allow_pickle=False) as values:
        kept = {"classes": values["classes"]}
        for split, count in (("train", TRAIN), ("test", TEST)):
            offsets = values[f"{split}_offsets"][: count + 1]
            kept[f"{split}_offsets"] = offsets
            kept[f"{split}_bytes"] = values[f"{split}_bytes"][: offsets[-1]]
            kept[f"{split}_labels"] = values[f"{split}_labels"][:count]
    np.savez(folder / "few.npz", **kept)
    return f"jpegs:{folder / 'few.npz'}"


def digits_file(folder):
    config = default()
    config.data.source = "digits"
    config.space.update(image_size=8, image_channels=1, num_classes=10)
    train = data.load(config).train
    np.savez(
        folder / "few.npz",
        x_train=train.images[:TRAIN],
        y_train=train.labels[:TRAIN],
        x_test=train.images[TRAIN : TRAIN + TEST],
        y_test=train.labels[TRAIN : TRAIN + TEST],
    )
    return folder / "few.npz"


@pytest.fixture(scope="module")
def tfds_dir(originals, tmp_path_factory):
    """The images as a data set of TFDS; its name is one that TFDS knows."""
    folder = tmp_path_factory.mktemp("tfds")
    assert prepare.main([originals, f"tfds:{folder}/cifar10/3.0.2"]) == 0
    return folder


@pytest.fixture(scope="module")
def tree(originals, tmp_path_factory):
    """The images as files in class folders."""
    folder = tmp_path_factory.mktemp("tree") / "cifar"
    assert prepare.main([originals, f"folder:{folder}"]) == 0
    return folder


def config_of(source, folder, **fields):
    config = default()
    config.space.update(image_size=32, image_channels=3, num_classes=10)
    config.data.update(source=source, path=str(folder), name="cifar10")
    config.data.update(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    config.data.update(fields)
    return config


def stream(config, batch_size=8):
    train = data.load(config).train
    return data.TrainBatches.of(config, train, batch_size)


def equal(one, other):
    return all(one[name].tobytes() == other[name].tobytes() for name in other)


def test_statistics_of_files_are_those_of_their_pixels(tree, monkeypatch):
    """Of all images where they are few, of as many evenly spaced ones elsewhere."""
    config = config_of("folder", tree, mean=(), std=())
    assert data.check(config).images["train"]
    train = data.load(config).train
    pixels, _ = train.take(np.arange(len(train)), np.zeros((len(train), CROP_DRAWS)))
    for some, every in ((1000, 1), (-(-len(train) // 3), 3)):
        monkeypatch.setattr(examples, "STATISTICS_OF", some)
        found = data.Normalizer.of(config, train)
        expected = data.Normalizer.of(config, pixels[::every])
        np.testing.assert_array_equal(found.mean, expected.mean)
        np.testing.assert_array_equal(found.std, expected.std)


AUGMENTED = {"augmentation": "imagenet", "flip": True, "lighting": 0.1}


def test_tfds_gives_back_every_image_in_order(originals, tfds_dir):
    source = prepare.read(prepare.Location.of(originals, prepare.READERS))
    config = config_of("tfds", tfds_dir, validation_fraction=0.5)
    records = data.SOURCES["tfds"](config)
    validation = records.validation_for("this test")
    original = source.splits["test"]
    assert len(records.test) == TEST
    for place in range(TEST):
        (ours, label), (theirs, its_label) = (
            records.test.read(place),
            original.read(place),
        )
        assert label == its_label
        if isinstance(theirs, bytes):
            assert ours == theirs
        assert np.array_equal(np.asarray(opened(ours)), np.asarray(opened(theirs)))
    assert len(records.train) == len(validation) == TRAIN // 2
    kept, held = (
        {bytes(split.read(place)[0]) for place in range(len(split))}
        for split in (records.train, validation)
    )
    assert not kept & held
    for part in (records.train, validation, records.test):
        expected = [part.read(place)[1] for place in range(len(part))]
        assert part.all_labels().tolist() == expected


def test_labels_of_tfds_are_read_once_and_again_if_files_change(tfds_dir, tmp_path):
    folder = shutil.copytree(tfds_dir / "cifar10", tmp_path / "cifar10") / "3.0.2"

    def records():
        split = tfds.read_prepared(folder).splits["test"]
        assert isinstance(split, tfds.TfdsRecords)
        return split

    first = records().all_labels()
    unreadable = dataclasses.replace(records(), source=None)
    assert unreadable.all_labels().tolist() == first.tolist()
    assert unreadable[5:7].all_labels().tolist() == first[5:7].tolist()
    (changed,) = folder.glob("*test*record*")
    changed.write_bytes(b"")
    with pytest.raises(InputError, match="data.path.*cifar10"):
        records().all_labels()


@pytest.mark.parametrize("source", ["tfds", "folder"])
def test_nothing_is_held_out_with_a_fraction_of_0(source, tfds_dir, tree):
    path = tfds_dir if source == "tfds" else tree
    config = config_of(source, path, validation_fraction=0.0)
    dataset = data.load(config)
    assert len(dataset.train) == TRAIN and dataset.validation is None
    data.check(config)


@pytest.mark.parametrize("fields", [{"crop_padding": 4, "flip": True}, AUGMENTED])
def test_a_folder_and_tfds_replay_from_seed_and_step(tfds_dir, tree, fields):
    for source, path in (("tfds", tfds_dir), ("folder", tree)):
        config = config_of(source, path, **fields)
        data.check(config)
        first = stream(config)[9]
        assert equal(first, stream(config)[9])
        config.seed = 1
        assert not equal(first, stream(config)[9])


def test_workers_change_nothing_and_start_at_any_step(tfds_dir):
    config = config_of("tfds", tfds_dir, **AUGMENTED)
    alone = stream(config)
    config.data.workers = 2
    with data.Loader(stream(config), range(5, 9)) as reader:
        together = list(reader)
    assert len(together) == 4
    for step, batch in zip(range(5, 9), together, strict=True):
        assert equal(batch, alone[step])


SCRIPT = """
import sys
from difnas_jax import data
from difnas_jax.config import default

def main():
    config = default()
    config.space.update(image_size=32, image_channels=3, num_classes=10)
    config.data.update(source="tfds", name="cifar10", path=sys.argv[1], workers=1)
    config.data.update(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    data.check(config)
    train = data.load(config).train
    batches = data.TrainBatches.of(config, train, 8)
    with data.Loader(batches, range(10**6)) as reader:
        next(reader)
        assert "tensorflow" not in sys.modules
        import multiprocessing
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        for _ in reader:
            pass

if __name__ == "__main__":
    main()
"""


def test_no_tensorflow_and_no_orphans(tfds_dir, tmp_path):
    """The workers of a run that is killed end by themselves."""
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py", tfds_dir],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # where it says what the kill left
        text=True,
    )
    assert process.stdout is not None
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert workers
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 60
    while any(runs(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(pid):
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False


@pytest.mark.parametrize("fields", [{"crop_padding": 4, "flip": True}, AUGMENTED])
def test_hosts_read_their_rows_of_the_same_batch(tree, fields):
    batches = stream(config_of("folder", tree, **fields))
    normalizer, whole_batch = batches.normalizer, batches[5]
    size = batches.batch_size // 4
    rows = [slice(start, start + size) for start in range(0, 4 * size, size)]
    parts = [dataclasses.replace(batches, rows=part)[5] for part in rows]
    for name, values in whole_batch.items():
        assert np.array_equal(np.concatenate([part[name] for part in parts]), values)
    split = data.load(config_of("folder", tree)).test
    alone = list(data.evaluation_batches(split, 8, normalizer))
    halves = slice(0, 4), slice(4, 8)
    parts = [list(data.evaluation_batches(split, 8, normalizer, h)) for h in halves]
    for batch, *halves in zip(alone, *parts, strict=True):
        for name, values in batch.items():
            assert np.array_equal(np.concatenate([h[name] for h in halves]), values)
    assert sum(batch["mask"].sum() for batch in alone) == TEST


def test_arrays_and_files_give_the_same_batches(originals, tree, tmp_path):
    """Also through the random crops: pixels in memory are decoded like files."""
    path = tmp_path / "cifar.npz"
    assert prepare.main([f"folder:{tree}", f"arrays:{path}"]) == 0
    for fields in ({"crop_padding": 2}, AUGMENTED):
        fields = {**fields, "validation_fraction": 0.2}
        ours = stream(config_of("arrays", path, **fields))
        assert equal(ours[3], stream(config_of("folder", tree, **fields))[3])


def break_image(tree):
    """Cut the file of one training image in half; its path."""
    path = sorted((tree / "train").rglob("*.*"))[7]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def test_a_corrupt_image_is_named_or_skipped(tree, tmp_path):
    broken_tree = shutil.copytree(tree, tmp_path / "broken")
    broken = break_image(broken_tree)
    config = config_of("folder", broken_tree, test_split="train")
    normalizer = stream(config).normalizer
    split = data.load(config).test
    with pytest.raises(InputError, match=broken.name) as error:
        list(data.evaluation_batches(split, 8, normalizer))
    assert "\n" not in str(error.value) and "data.corrupt = 'skip'" in str(error.value)
    config.data.corrupt = "skip"
    split = data.load(config).test
    with pytest.warns(UserWarning, match=broken.name):
        batches = list(data.evaluation_batches(split, 8, normalizer))
    assert sum(batch["mask"].sum() for batch in batches) == TRAIN - 1
    examples, replaced = split.take(np.array([6, 7, 8]), np.zeros((3, 4)))
    assert list(replaced) == [1]
    assert np.array_equal(examples.images[1], examples.images[2])
    everything = np.unique([*(tree / "train").rglob("*.*")])
    for path in (broken_tree / "train").rglob("*.*"):
        path.write_bytes(b"no image")
    assert len(everything) == TRAIN
    with pytest.raises(InputError, match="broken/train"):
        split.take(np.array([0]), np.zeros((1, 4)))


def test_a_run_counts_corrupt_images(tree, tmp_path, tiny, monkeypatch):
    fields = {"image_size": 8, "image_channels": 3}
    space = dataclasses.replace(tiny, **fields)
    monkeypatch.setitem(spaces.SPACES, "tiny", lambda *_, **__: space)
    broken_tree = shutil.copytree(tree, tmp_path / "broken")
    broken = break_image(broken_tree)
    config = config_of("folder", broken_tree, corrupt="skip")
    config.space.update(name="tiny", **fields)
    config.stages = ("supernet",)
    config.method.trainable = "indicator"  # is compiled soonest
    config.supernet.update(epochs=0.0, steps=6, batch_size=30, log_every=2)
    with pytest.warns(UserWarning, match=broken.name):
        difnas_jax.run(config, tmp_path / "run")
    rows = files.read_json_lines(tmp_path / "run" / "supernet" / "metrics.jsonl")
    assert rows[-1]["corrupt_images"] >= 1


def folder_with(tree, tmp_path, change):
    root = shutil.copytree(tree, tmp_path / "root")
    change(root)
    return config_of("folder", root)


@pytest.fixture
def refused(tmp_path, capsys):
    """Check that a run is refused in one line, before anything is written."""

    def check(config, *parts):
        workdir = tmp_path / "run"
        assert exit_code(lambda: difnas_jax.run(config, workdir) and None) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and all(part in line for part in parts), line
        assert not workdir.exists()

    return check


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        (lambda root: shutil.rmtree(root / "test"), "data.test_split", "root/test "),
        (lambda root: shutil.rmtree(root), "data.path", "/root: no such folder"),
        (lambda root: (root / "test" / "yeti").mkdir(), "data.path", "yeti"),
        (
            lambda root: [
                p.unlink() for p in sorted((root / "train").iterdir())[0].iterdir()
            ],
            "data.path",
            "root/train/",
        ),
        (
            lambda root: (root / "train" / "yeti").mkdir(),
            "data.path",
            "root/train/yeti",
        ),
        (
            lambda root: shutil.copytree(
                sorted((root / "train").iterdir())[0], root / "train" / "yeti"
            ),
            "space.num_classes",
            "11",
        ),
        (
            lambda root: [
                p.write_bytes(b"x") for p in sorted((root / "train").rglob("*.*"))
            ],
            "data.corrupt",
            "root/train/",
        ),
    ],
)
def test_malformed_folders(tree, tmp_path, change, field, value, refused):
    config = folder_with(tree, tmp_path, change)
    refused(config, field, value)


@pytest.mark.parametrize(
    ("fields", "field", "value"),
    [
        ({"name": ""}, "data.name", "''"),
        ({"name": "imagenet2012"}, "data.name", "tfds build imagenet2012 "),
        ({"name": "cifar10:1.0.0"}, "data.name", "version 3.0.2"),
        ({"test_split": "val"}, "data.test_split", "'val'"),
        ({"train_split": ""}, "data.train_split", "''"),
        ({"workers": 1, "path": "/nowhere"}, "data.name", "/nowhere/cifar10 "),
    ],
)
def test_tfds_that_is_not_there(tfds_dir, fields, field, value, refused):
    config = config_of("tfds", tfds_dir, **fields)
    refused(config, field, value)


def test_tfds_in_another_format_or_of_something_else(tfds_dir, tmp_path, refused):
    for key, value, shown in (
        ("fileFormat", "tfrecord", "tfrecord"),
        ("supervisedKeys", None, "supervised_keys"),
    ):
        other = shutil.copytree(tfds_dir, tmp_path / key)
        path = other / "cifar10" / "3.0.2" / "dataset_info.json"
        info = json.loads(path.read_text())
        info[key] = value
        path.write_text(json.dumps({k: v for k, v in info.items() if v is not None}))
        refused(config_of("tfds", other), "data.name", shown)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cifar10-train.array_record-00000-of-00001", None),
        ("cifar10-train.array_record-00000-of-00001", b"half"),
        ("dataset_info.json", b"{"),
        ("features.json", b"{"),
    ],
)
def test_damaged_tfds(tfds_dir, tmp_path, name, content, refused):
    other = shutil.copytree(tfds_dir, tmp_path / "other")
    path = other / "cifar10" / "3.0.2" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    refused(config_of("tfds", other), "data.path", "cifar10", "prepare it again")


def test_a_split_without_labels(tfds_dir, monkeypatch):
    config = config_of("tfds", tfds_dir)
    kind = type(data.SOURCES["tfds"](config).test)
    image = data.SOURCES["tfds"](config).test.read(0)[0]
    monkeypatch.setattr(kind, "read", lambda self, index: (image, -1))
    with pytest.raises(InputError, match="data.train_split.*train example"):
        data.check(config)


def test_the_centre_is_that_of_the_resized_image(rng):
    """Short side 256, centre 224, scaled to other sizes."""
    colours = Image.fromarray(rng.integers(256, size=(6, 8, 3), dtype=np.uint8))
    image = colours.resize((576, 384), Image.Resampling.BICUBIC)
    ours = np.asarray(
        resized(image, centre(*image.size, np.zeros(4)), 56, "RGB"), float
    )
    small = image.resize((96, 64), Image.Resampling.BILINEAR)
    theirs = np.asarray(small.crop((20, 4, 76, 60)), float)
    assert np.abs(ours - theirs).mean() < 1
    assert whole(*image.size, np.zeros(4)) == (0, 0, 576, 384)


@pytest.mark.parametrize("aspect", [1.0, 4 / 3])
def test_random_areas_are_uniform_and_inside(rng, aspect):
    crop = RandomArea(0.08, aspect)
    boxes = np.array([crop(500, 375, draws) for draws in rng.random((4000, 4))])
    left, upper, right, lower = boxes.T
    assert (boxes >= -1e-9).all() and (right <= 500 + 1e-9).all()
    assert (lower <= 375 + 1e-9).all()
    ratio = (right - left) / (lower - upper)
    assert ratio.min() >= 1 / aspect - 1e-9 and ratio.max() <= aspect + 1e-9
    shares = (right - left) * (lower - upper) / (500 * 375)
    assert shares.min() == pytest.approx(0.08, abs=0.01)
    if aspect == 1:  # the largest square has 3/4 of the area
        quartiles = np.quantile(shares, (0.25, 0.5, 0.75, 1))
        assert quartiles == pytest.approx([0.2475, 0.415, 0.5825, 0.75], abs=0.02)
    left, upper, right, lower = crop(5000, 10, np.full(4, 0.5))  # nothing so large fits
    assert lower - upper <= 10 and right - left <= 10 * aspect


def test_lighting_has_the_covariance_of_the_colours(rng):
    assert COLOUR_VECTORS.T @ COLOUR_VECTORS == pytest.approx(np.eye(3), abs=1e-3)
    shifts = lighting(rng.normal(0, 0.1, (20_000, 3)))
    expected = COLOUR_VECTORS @ np.diag((0.1 * COLOUR_VALUES) ** 2) @ COLOUR_VECTORS.T
    assert np.cov(shifts.T) == pytest.approx(expected, rel=0.1, abs=1e-7)


def test_a_large_jpeg_is_decoded_small(rng):
    colours = Image.fromarray(rng.integers(256, size=(6, 8, 3), dtype=np.uint8))
    image = colours.resize((1600, 1200), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    stored = opened(file.getvalue())
    box = (100.0, 60.0, 1300.0, 1100.0)
    small = np.asarray(resized(stored, box, 64, "RGB"), float)
    assert stored.size == (200, 150)
    whole_image = np.asarray(resized(image, box, 64, "RGB"), float)
    assert np.abs(small - whole_image).mean() < 2


def test_conversion_counts_and_leaves_nothing_half(tree, tmp_path, capsys, monkeypatch):
    """An interrupted one, one that loses an image, and one that works."""
    target = tmp_path / "out" / "copy"
    command = [f"folder:{tree}", f"folder:{target}"]

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(prepare.WRITERS, "folder", stopped)
        assert prepare.main(command) == 130

    original = prepare.WRITERS["folder"]

    def lossy(path, *rest):
        original(path, *rest)
        files_by_class = [sorted(f.iterdir()) for f in (path / "test").iterdir()]
        max(files_by_class, key=len)[0].unlink()

    with monkeypatch.context() as patch:
        patch.setitem(prepare.WRITERS, "folder", lossy)
        assert prepare.main(command) == 2
    assert f"folder:{target}: " in capsys.readouterr().err
    assert list(target.parent.iterdir()) == []
    assert prepare.main(command) == 0
    copies, originals = sorted(target.rglob("*.*")), sorted(tree.rglob("*.*"))
    assert len(copies) == TRAIN + TEST
    pairs = zip(copies, originals, strict=True)
    assert sum(c.read_bytes() == o.read_bytes() for c, o in pairs) == TRAIN + TEST
    assert prepare.main(command) == 2
    assert f"folder:{target}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "target", "value"),
    [
        ("folder:{tree}", "arrays", "'arrays'"),
        ("zip:{tree}", "arrays:x.npz", "'zip:{tree}'"),
        ("folder:/nowhere", "arrays:{tmp}/x.npz", "folder:/nowhere"),
        ("jpegs:{tree}/../x", "arrays:{tmp}/x.npz", "jpegs:{tree.parent}/x:"),
        ("arrays:{script}", "folder:{tmp}/x", "data.path: {script}"),
        ("jpegs:{script}", "folder:{tmp}/x", "jpegs:{script}"),
        ("folder:{tmp}", "arrays:{tmp}/x.npz", "data.path: {tmp}"),
    ],
)
def test_bad_conversions(tree, tmp_path, capsys, source, target, value):
    names = {"tree": tree, "tmp": tmp_path, "script": __file__}
    assert prepare.main([source.format(**names), target.format(**names)]) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in value.format(**names).split(": "))


def jpegs(path, labels, classes, modes=("RGB", "RGB")):
    """A file of two tiny train images as JPEG streams, and the same as test."""
    streams = []
    for mode in modes:
        file = io.BytesIO()
        Image.new(mode, (10, 10), "red").save(file, "JPEG")
        streams.append(file.getvalue())
    values = {"classes": np.array(classes)}
    for split in ("train", "test"):
        values |= {
            f"{split}_bytes": np.frombuffer(b"".join(streams), np.uint8),
            f"{split}_offsets": np.cumsum([0, *map(len, streams)]),
            f"{split}_labels": np.array(labels),
        }
    np.savez(path, allow_pickle=False, **values)
    return f"jpegs:{path}"


def test_jpeg_streams_are_records(tmp_path):
    source = jpegs(tmp_path / "in.npz", [0, 1], ["a", "b"], ("L", "RGB"))
    location = prepare.Location.of(source, prepare.READERS)
    train = prepare.read(location).splits["train"]
    second = train[np.array([1])]
    assert len(second) == 1 and second.read(0) == train.read(1) != train.read(0)
    assert (
        second.checksum(0) != train.checksum(0) == train[np.array([0, 1])].checksum(0)
    )


@pytest.mark.parametrize(
    ("given", "target", "flags", "value"),
    [
        (([0, 1], ["../../a", "b"]), "folder:{}/x", [], "'../../a', 'b'"),
        (([0, 1], ["a", "a"]), "folder:{}/x", [], "'a', 'a'"),
        (([0, 1], ["a", "b"]), "folder:{}/x", ["--rename=train=../y"], "'../y'"),
        (
            ([0, 1], ["a", "b"]),
            "folder:{}/x",
            ["--rename=train=test"],
            "'test', 'test'",
        ),
        (([0, -1], ["a", "b"]), "folder:{}/x", [], "got -1"),
        (([0, 7], ["a", "b"]), "folder:{}/x", [], "got 7"),
        (([0, 1], ["a", "b"], ("L", "RGB")), "arrays:{}/x.npz", [], "image 1"),
        (([0, 1], ["a", "b"]), "folder:{}/in.npz/x", [], "/in.npz/x"),
    ],
)
def test_conversions_that_would_lose_or_leak(
    tmp_path, capsys, given, target, flags, value
):
    """Nothing is written, here or elsewhere."""
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    source = jpegs(folder / "in.npz", *given)
    assert prepare.main([source, target.format(folder), *flags]) == 2
    error = capsys.readouterr().err
    assert value in error and error.count("\n") == 1
    files_left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files_left == [folder / "in.npz"]


@pytest.mark.parametrize(
    "target", ["arrays:{}/x.npz", "folder:{}/x", "tfds:{}/x/1.0.0"]
)
def test_an_image_that_cannot_be_converted_is_named(tree, tmp_path, capsys, target):
    root = shutil.copytree(tree, tmp_path / "broken")
    path = sorted((root / "test").rglob("*.*"))[3]
    path.write_bytes(b"no image")
    assert prepare.main([f"folder:{root}", target.format(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert path.name in error
    written = (path for path in tmp_path.rglob("*") if root not in path.parents)
    assert not [path for path in written if path.is_file()]


def test_arrays_need_one_size_or_get_one(tree, tmp_path, capsys):
    root = shutil.copytree(tree, tmp_path / "mixed")
    path = sorted((root / "test").rglob("*.*"))[3]
    Image.open(path).resize((40, 20)).save(path)
    command = [f"folder:{root}", f"arrays:{tmp_path / 'mixed.npz'}"]
    assert prepare.main(command) == 2
    assert "--size" in capsys.readouterr().err
    assert prepare.main([*command, "--size=16"]) == 0
    with np.load(tmp_path / "mixed.npz", allow_pickle=False) as values:
        assert values["x_test"].shape[:3] == (TEST, 16, 16)


def test_splits_get_the_names_that_a_source_knows(tree, tmp_path, capsys):
    root = shutil.copytree(tree, tmp_path / "imagenet")
    (root / "test").rename(root / "val")
    command = [f"folder:{root}", f"arrays:{tmp_path / 'x.npz'}"]
    assert prepare.main(command) == 2
    assert "train, val; --rename" in capsys.readouterr().err
    assert prepare.main([*command, "--rename=dev=test"]) == 2
    error = capsys.readouterr().err
    assert "--rename: " in error and "dev" in error
    assert prepare.main([*command, "--rename=val=test"]) == 0
    config = config_of("arrays", tmp_path / "x.npz")
    assert len(data.SOURCES["arrays"](config).test) == TEST


def test_channels_that_cannot_be_decoded(tmp_path):
    config = config_of("arrays", tmp_path / "two.npz", augmentation="imagenet")
    config.space.image_channels = 2
    config.data.mean = config.data.std = ()
    images = np.zeros((20, 8, 8, 2), np.uint8)
    labels = np.zeros(20, int)
    np.savez(
        config.data.path, x_train=images, y_train=labels, x_test=images, y_test=labels
    )
    with pytest.raises(InputError, match="space.image_channels.*2$"):
        data.check(config)
    config.data.lighting = 0.1
    with pytest.raises(InputError, match="data.lighting.*0.1"):
        data.check(config)
    config.data.update(augmentation="crop", lighting=0.0)
    data.check(config)
    assert isinstance(data.load(config).train, Arrays)
