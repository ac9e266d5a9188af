"""A trained network in the user's hands: load it, and classify images with it."""

import dataclasses
import functools
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import difnas_jax
from difnas_jax import checks, data
from difnas_jax.commands import predict
from difnas_jax.config import default, load_config
from difnas_jax.config.files import saved_config
from difnas_jax.deployment.network import AT_ONCE
from difnas_jax.deployment.preprocessing import Preprocessing
from difnas_jax.errors import InputError
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.jax_settings import lenient_modes
from difnas_jax.scoring.accuracy import path_accuracy
from difnas_jax.spaces import SPACES, build
from difnas_jax.spaces.stored import KINDS, restored, stored

SMALL = "benchmarks/kills/small_run.py"


@pytest.fixture(scope="module")
def digits_test(small_run):
    """The test split of the small run, uint8[N, 8, 8, 1] and labels."""
    split = data.load(saved_config(small_run / "config.json")).test
    return split.images, split.labels


@pytest.fixture(scope="module")
def net(small_run):
    return difnas_jax.load(small_run)


def result_of(workdir):
    return files.read_json(workdir / artifacts.RETRAIN_RESULT)


def test_predictions_are_those_of_the_evaluation(net, small_run, digits_test):
    images, labels = digits_test
    assert len(images) > AT_ONCE and len(images) % AT_ONCE
    predictions = net.predict(images)
    result = result_of(small_run)
    assert (predictions.labels == labels).mean() == result["test_accuracy"]
    losses = -np.log(predictions.probabilities[np.arange(len(labels)), labels])
    np.testing.assert_allclose(losses.mean(), result["test_loss"], rtol=1e-5)
    assert predictions.classes == tuple(map(str, predictions.labels))
    assert list(net.architecture) == result["architecture"]
    assert net.costs == {name: result[name] for name in net.costs}
    assert net.facts["found"]["score"] is not None


def test_an_image_alone_has_the_logits_that_it_has_among_others(net, digits_test):
    images = digits_test[0][:5]
    together = net.predict(images).logits
    alone = [net.predict(image).logits for image in images]
    np.testing.assert_allclose(np.concatenate(alone), together, atol=1e-5)
    assert net.predict(images[:0]).logits.shape == (0, 10)
    grey = net.predict(images[..., 0]).logits  # [N, H, W]
    np.testing.assert_array_equal(grey, together)


@pytest.mark.parametrize("name", SPACES)
def test_a_space_is_the_same_after_it_was_stored(name):
    space = build(name, image_size=32, image_channels=3, num_classes=10)
    for each in (space, space.cut([layer.ops[-1] for layer in space.layers])):
        assert restored(json.loads(json.dumps(stored(each)))) == each


def test_a_space_that_cannot_be_stored_is_refused_before_anything_trains(monkeypatch):
    checks.check(load_config("digits"))
    monkeypatch.delitem(KINDS, "FixedBlock")
    with pytest.raises(InputError, match="space: expected parts .* got FixedBlock"):
        checks.check(load_config("digits"))


def test_what_is_no_space_is_not_restored():
    space = build("digits", image_size=8, image_channels=1, num_classes=10)
    with pytest.raises(ValueError, match="no space"):
        restored(stored(space)["ops"][0])
    with pytest.raises(KeyError):
        restored({**stored(space), "type": "Popen"})


@pytest.mark.parametrize("augmentation", data.AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_the_run(tmp_path, rng, augmentation, channels):
    """Of files and of arrays, of any size."""
    config, shape = default(), (21, 17, channels)
    config.space.update(image_size=12, image_channels=channels, num_classes=2)
    config.data.update(augmentation=augmentation, mean=(0.4,) * channels)
    config.data.update(std=(0.2,) * channels, validation_fraction=0.0)
    images = rng.integers(0, 256, (4, *shape), np.uint8)
    for number, image in enumerate(images):
        for split in ("train", "test"):
            path = tmp_path / split / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.squeeze()).save(path)
    config.data.update(source="folder", path=str(tmp_path))
    of_folders = data.load(config)
    (batch,) = data.evaluation_batches(
        of_folders.test,
        4,
        normalizer := data.Normalizer.of(config, of_folders.train),
        slice(0, 4),
    )
    preprocessing = Preprocessing.of(config, normalizer, of_folders.classes)
    again = Preprocessing.restored(json.loads(json.dumps(vars(preprocessing))))
    assert again == preprocessing
    paths = sorted((tmp_path / "test").rglob("*.png"))
    pixels = again.pixels(paths)
    np.testing.assert_array_equal(again.normalized(pixels), batch["image"])
    in_memory = again.pixels([images[int(path.stem)] for path in paths])
    np.testing.assert_array_equal(in_memory, pixels)


def test_a_path_of_the_supernet_has_the_accuracy_of_a_search(small_run, at_the_root):
    config = load_config(SMALL)  # which registers its space
    subnet = difnas_jax.load(small_run, path=("k3e6", "k3e3"))
    validation = data.load(config).validation_for("the test")
    found = subnet.predict(validation.images).labels == validation.labels
    (expected,) = path_accuracy(config, small_run)(np.array([subnet.architecture]))
    assert found.mean() == pytest.approx(expected, abs=1e-9)


def test_a_moved_run_of_another_user_needs_no_data_and_is_not_changed(
    small_run, digits_test
):
    """As the user `nobody`, who can write nothing and has no home."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    moved = shutil.copytree(small_run, place / "moved")
    (moved / "config.json").unlink()
    subprocess.run(["chmod", "-R", "a-w,a+rX", str(moved)], check=True)
    # Python may not find its own modules as that user, so they are imported before.
    program = (
        "import difnas_jax, numpy as np, os, sys\n"
        "run, images = f'{sys.argv[1]}/moved', np.load(f'{sys.argv[1]}/images.npy')\n"
        "difnas_jax.load(run).predict(images)\n"
        "os.setgid(65534), os.setuid(65534)\n"
        "print(difnas_jax.load(run).predict(images).labels.tolist())\n"
    )
    images = digits_test[0][:4]
    np.save(place / "images.npy", images)
    environment = {**os.environ, "HOME": "/nonexistent"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    before = sorted(moved.rglob("*"))
    run = subprocess.run(
        [sys.executable, "-c", program, str(place)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    expected = difnas_jax.load(small_run).predict(images).labels.tolist()
    assert json.loads(run.stdout) == expected
    assert sorted(moved.rglob("*")) == before
    shutil.rmtree(place)


def test_the_strict_modes_of_a_notebook_do_not_matter(net, small_run, digits_test):
    image = digits_test[0][0]
    strict_modes = {
        "jax_numpy_rank_promotion": "raise",
        "jax_transfer_guard": "disallow",
    }
    for name, value in strict_modes.items():
        jax.config.update(name, value)
    try:
        found = difnas_jax.load(small_run).predict(image)
        strict, top = found.logits, found.top(1)
    finally:
        for name in strict_modes:
            jax.config.update(name, "allow")
    np.testing.assert_array_equal(net.predict(image).logits, strict)
    assert net.predict(image).top(1) == top


def test_threads_leave_the_settings_of_jax_as_they_were(net, small_run, digits_test):
    """And those of other threads alone, while a network is at work."""
    image, seen = digits_test[0][0], []

    def use():
        difnas_jax.load(small_run)
        for _ in range(3):
            net.predict(image)

    jax.config.update("jax_numpy_rank_promotion", "raise")
    try:
        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        apply = lenient_modes()(lambda: seen.append(promotion()))
        apply()
        seen.append(promotion())
        with ThreadPoolExecutor(1) as pool, lenient_modes():
            seen.append(pool.submit(promotion).result())
    finally:
        jax.config.update("jax_numpy_rank_promotion", "allow")
    assert seen == ["allow", "raise", "raise"]


def promotion():
    """The setting of this thread."""
    return getattr(jax.config, "jax_numpy_rank_promotion")  # noqa: B009, for pyright


@pytest.mark.parametrize("platform", ["cuda", "bogus"])
def test_without_a_device_nothing_is_said_of_the_run(small_run, tmp_path, platform):
    image = tmp_path / "digit.png"
    Image.new("L", (8, 8)).save(image)
    run = subprocess.run(
        [sys.executable, "-m", "difnas_jax", "predict", small_run, image],
        env={**os.environ, "JAX_PLATFORMS": platform},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2 and run.stderr.count("\n") == 1
    assert run.stderr.startswith("error: devices: expected some, JAX has none")


def test_the_command_prints_a_line_for_each_file(
    small_run, net, digits_test, tmp_path, capsys
):
    images = digits_test[0][:3]
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image[..., 0]).save(path)
    assert predict.main([str(small_run), *paths, "--top=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shares = net.predict(images).probabilities
    for path, line, row in zip(paths, lines, shares, strict=True):
        best, second = np.argsort(-row)[:2]
        assert line == f"{path}: {best} {row[best]:.2%}, {second} {row[second]:.2%}"


def refused(call, *named):
    with pytest.raises(InputError) as error:
        call()
    for text in named:
        assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_the_command_names_what_it_cannot_read_and_goes_on(
    small_run, net, digits_test, tmp_path, capsys
):
    paths = [tmp_path / f"{n}.png" for n in range(4)]
    for path, image in zip(paths, digits_test[0], strict=False):
        Image.fromarray(image[..., 0]).save(path)
    paths[1].write_bytes(paths[0].read_bytes()[:60])
    paths[2].unlink()
    names = [str(path) for path in paths]
    assert predict.main([str(small_run), *names, names[0], "--json", "--top=3"]) == 2
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [row["file"] for row in rows] == [names[0], names[3], names[0]]
    expected = net.predict([names[0], names[3], names[0]]).top(3)
    assert [row["probabilities"] for row in rows] == expected
    first, second, last = printed.err.splitlines()
    assert names[1] in first and names[2] in second and "convert" not in first
    assert last == "error: FILE: expected 5 images, got 2 that cannot be read"


def test_the_command_refuses_with_one_line(small_run, tmp_path, capsys):
    for flags in ([str(tmp_path), "x.png"], [str(small_run), "x.png", "--top=0"]):
        assert predict.main(flags) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")


def test_what_cannot_be_loaded_is_one_line(small_run, tmp_path, monkeypatch):
    refused(lambda: difnas_jax.load(tmp_path / "none"), "run", "none")
    refused(lambda: difnas_jax.load(tmp_path), "retrain/result.json")
    refused(lambda: difnas_jax.load(small_run, rank=1), "rank", "0 to 0", "1")
    ranks: tuple[Any, ...] = ("1", 1.0, -1)
    for rank in ranks:
        load = functools.partial(difnas_jax.load, small_run, rank=rank)
        refused(load, "rank", "0 for the best", repr(rank))
    refused(lambda: difnas_jax.load(small_run, search="x"), "search", "no named")
    monkeypatch.delitem(SPACES, "kills", raising=False)
    refused(lambda: difnas_jax.load(small_run, path="0,0"), "path", "'kills'")
    load_config(SMALL)  # which registers its space
    refused(lambda: difnas_jax.load(small_run, path="k3e3"), "path", "2 op indices")
    refused(lambda: difnas_jax.load(small_run, path=(0, 0), rank=1), "rank", "path")
    for nothing in ((), "", []):
        load = functools.partial(difnas_jax.load, small_run, path=nothing)
        refused(load, "path", "unknown op ''")
    moved = shutil.copytree(small_run, tmp_path / "run")
    config = files.read_json(moved / "config.json")
    del config["search"]["keep"]
    files.write_json(moved / "config.json", config)
    refused(lambda: difnas_jax.load(moved, path="0,0"), "search.keep", "version")
    network = moved / artifacts.RETRAIN_NETWORK
    whole = network.read_text()
    network.write_text(whole.replace('"dtype": "float32"', '"dtype": "float64"'))
    refused(lambda: difnas_jax.load(moved), str(network), "checksum")
    for name, value in (("crop", "round"), ("classes", ["0"])):
        network.write_text(whole)
        values = files.read_checked_json(network)
        values["preprocessing"][name] = value
        files.write_checked_json(network, values)
        refused(lambda: difnas_jax.load(moved), str(network), "a network that")
    network.unlink()
    refused(lambda: difnas_jax.load(moved), str(network), "is missing")
    network.write_text(whole)
    shutil.rmtree(moved / artifacts.RETRAIN_CHECKPOINTS)
    refused(lambda: difnas_jax.load(moved), artifacts.RETRAIN_CHECKPOINTS)
    assert not (moved / artifacts.RETRAIN_CHECKPOINTS).exists()


def test_images_come_in_many_forms(net, digits_test, tmp_path):
    images = digits_test[0][:2]
    expected = net.predict(images).logits
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    pictures = [Image.fromarray(image[..., 0]) for image in images]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    forms = [jnp.asarray(images), iter(images), paths, map(str, paths), pictures]
    forms += [[paths[0], images[1]], (pictures[0], jnp.asarray(images[1]))]
    for form in forms:
        np.testing.assert_array_equal(net.predict(form).logits, expected)
    palette = pictures[0].convert("P")
    np.testing.assert_allclose(net.predict(palette).logits, expected[:1], atol=1e-6)


def test_a_file_comes_by_name_open_or_as_its_bytes(net, digits_test, tmp_path):
    path = tmp_path / "digit.png"
    Image.fromarray(digits_test[0][0, :, :, 0]).save(path)
    data, expected = path.read_bytes(), net.predict(path).logits
    with path.open("rb") as file:
        for given in (data, io.BytesIO(data), [str(path)], [data], file):
            np.testing.assert_array_equal(net.predict(given).logits, expected)
    refused(lambda: net.predict(io.StringIO("text")), "open for bytes", "str")


def test_predictions_are_listed_best_first(net, digits_test):
    found = net.predict(digits_test[0][:3])
    assert len(found) == 3 and len(net.predict([])) == 0
    for top, label, shares in zip(
        found.top(10), found.classes, found.probabilities, strict=True
    ):
        assert next(iter(top)) == label and sorted(top) == sorted(found.names)
        assert list(top.values()) == sorted(shares.tolist(), reverse=True)


def test_only_normalised_images_of_its_size_are_applied(net, digits_test):
    pixels = digits_test[0][:2]
    refused(lambda: net.apply(pixels), "float32[B, 8, 8, 1]", "uint8[2, 8, 8, 1]")
    large = np.zeros((1, 16, 16, 1), np.float32)
    refused(lambda: net.apply(large), "float32[B, 8, 8, 1]", "[1, 16, 16, 1]")
    images = net.preprocessing.normalized(pixels)
    found = jax.jit(net.apply)(images)  # in a program of the user's own
    np.testing.assert_allclose(found, net.predict(pixels).logits, rtol=0, atol=1e-5)


def test_the_latency_of_a_network_is_measured(net):
    found = net.latency(batch=2)
    assert 0 < found["low"] <= found["ms"] <= found["high"]


def test_a_predicted_latency_is_a_cost(net):
    costs = {**net.costs, "latency_ms": 0.25}
    facts = {**net.facts, "found": {**net.facts["found"], "costs": costs}}
    assert dataclasses.replace(net, facts=facts).costs == costs


def test_a_network_of_another_version_is_kept(small_run, tmp_path):
    copy = shutil.copytree(small_run, tmp_path / "run")
    path = copy / artifacts.RETRAIN_NETWORK
    values = files.read_checked_json(path)
    values["space"]["new_field"] = 1
    values["facts"]["versions"]["difnas_jax"] = "9.0"
    files.write_checked_json(path, values)
    refused(lambda: difnas_jax.load(copy), str(path), "got one of 9.0", "new_field")


def test_a_network_is_shown_in_a_line_or_two(net):
    assert "architecture" in repr(net) and len(repr(net)) < 500


def test_a_network_can_be_pickled_after_it_was_used(net, digits_test):
    before = net.predict(digits_test[0][:2]).logits
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict(digits_test[0][:2]).logits, before)


def test_what_is_no_image_is_one_line(net, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no image")
    colour = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    path = tmp_path / "colour.png"
    Image.fromarray(colour).save(path)
    refused(lambda: net.predict(tmp_path / "none.png"), "none.png", "No such file")
    refused(lambda: net.predict(text), str(text), "a grey image")
    refused(lambda: net.predict(path), str(path), "colours")
    refused(lambda: net.predict(colour), "image 0", "3")
    refused(lambda: net.predict(np.zeros((2, 8, 8), np.float32)), "uint8", "float32")
    refused(lambda: net.predict(np.zeros((1, 0, 0, 1), np.uint8)), "uint8[0, 0, 1]")
    refused(lambda: net.predict(np.zeros((8, 8, 4), np.uint8)), "alpha", "[8, 8, 4]")
    refused(lambda: net.predict(np.zeros(8, np.uint8)), "uint8[8]")
    for other in (None, 3, memoryview(b"bytes")):
        refused(lambda other=other: net.predict(other), "images", type(other).__name__)
    refused(lambda: net.predict(b"bytes"), "image 0", "no format that is read")
    coloured = dataclasses.replace(net.preprocessing, channels=3)
    in_front = np.zeros((3, 8, 8), np.uint8)
    refused(lambda: coloured.listed(in_front), "[3, 8, 8]")
