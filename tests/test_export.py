"""The network of a run for other programs: command, stage and model card."""

import dataclasses
import itertools
import json
import os
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import ExifTags, Image
from safetensors import safe_open

import difnas_jax
from difnas_jax import data
from difnas_jax.commands import export
from difnas_jax.config.files import saved_config
from difnas_jax.data.images import EVALUATION_CROPS
from difnas_jax.deployment import exporters, model_card, torch_files
from difnas_jax.deployment.exporters import EXPORTERS
from difnas_jax.errors import InputError
from difnas_jax.main import main
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.markers import read_marker, write_marker

SMALL = "--config=benchmarks/kills/small_run.py"
STAGE = [SMALL, "--config.stages=export"]
WRITTEN = {"model.safetensors", "model.stablehlo", "model_card.md", "network.py"}
pytestmark = pytest.mark.usefixtures("at_the_root")


def is_folded(folder):
    with safe_open(folder / torch_files.WEIGHTS, framework="numpy") as weights:
        return json.loads(weights.metadata()["structure"])["blocks"][0]["folded"]


def installed():
    """The forms that can be written and read back here."""
    return [
        name
        for name, row in EXPORTERS.items()
        if not exporters.missing((*row.writes_with, *row.runs_with))
    ]


@pytest.fixture(scope="module")
def exported(small_run, tmp_path_factory):
    """A folder with all forms that can be read back here."""
    folder = tmp_path_factory.mktemp("exported") / "new" / "model"
    formats = f"--formats={','.join(installed())}"
    assert export.main([str(small_run), f"--to={folder}", formats, "--fold"]) == 0
    return folder


def test_every_form_says_of_the_test_split_what_the_network_says(exported, small_run):
    images = data.load(saved_config(small_run / "config.json")).test.images
    net = difnas_jax.load(small_run)
    expected = net.predict(images)
    for name in installed():
        found = EXPORTERS[name].run(exported, images)
        np.testing.assert_allclose(found, expected.logits, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(found.argmax(-1), expected.labels)


def test_the_code_of_the_card_runs(exported, monkeypatch):
    """As a user would, in that folder; the card is of this network."""
    monkeypatch.chdir(exported)
    monkeypatch.syspath_prepend(str(exported))
    pixels, *blocks = code_of((exported / model_card.FILE).read_text())
    assert len(blocks) == len(installed()) and "pixels = " in pixels
    for block in blocks:
        names = {}
        exec(block, names)
        assert tuple(names["logits"].shape) == (1, 10)
    sys.modules.pop("network", None)
    module = exported / torch_files.MODULE
    if module.exists():
        assert module.read_bytes() == torch_files.SOURCE.read_bytes()


def code_of(card):
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


# Format, height and width; the large ones are decoded small.
FILES = [("PNG", 37, 29), ("PNG", 8, 8), ("JPEG", 64, 48), ("JPEG", 256, 160)]


@pytest.mark.parametrize("crop", EVALUATION_CROPS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_code_of_the_card_makes_the_pixels_of_the_run(
    small_run, tmp_path, monkeypatch, rng, crop, channels
):
    """Bit by bit, also of what EXIF turns."""
    monkeypatch.chdir(tmp_path)
    net = difnas_jax.load(small_run)
    known = dataclasses.replace(net.preprocessing, crop=crop, channels=channels)
    net = dataclasses.replace(net, preprocessing=known)
    (code,) = code_of(model_card.text(net, False, []))
    for (form, *shape), turn in itertools.product(FILES, (1, 3, 6)):
        values = rng.integers(0, 256, (*shape, 3), np.uint8)
        image, exif, names = Image.fromarray(values), Image.Exif(), {}
        exif[ExifTags.Base.Orientation] = turn
        image = image if channels == 3 else image.convert("L")
        image.save("image.png", format=form, exif=exif)
        exec(code, names)
        expected = known.pixels(["image.png"])
        np.testing.assert_array_equal(names["pixels"], expected)


def test_the_card_says_how_good_it_is_and_how_it_was_found(exported, small_run):
    card = (exported / model_card.FILE).read_text()
    net = difnas_jax.load(small_run)
    assert net.text in card and "`evolution`" in card and "folded into" in card
    assert all(f"{cost:,}" in card for cost in net.costs.values())
    assert f"| accuracy on test | {net.facts['test_accuracy']:.3g} |" in card
    assert all(f"- {n}: {n}\n" in card for n in range(10))
    assert "into 10 classes" in card and "8 x 8 pixels, one grey level" in card
    assert "1,293 images of train" in card and "`data.source = 'digits'`" in card
    assert "`retrain.weights = 'new'`" in card and "`retrain.steps = 16`" in card
    given = dict(net.facts, found={**net.facts["found"], "provenance": {}})
    object.__setattr__(net, "facts", given)
    assert "was given, not searched" in model_card.text(net, False, [])


def test_a_notebook_exports_a_network(small_run, tmp_path):
    net = difnas_jax.load(small_run)
    difnas_jax.export(net, tmp_path / "model", formats=["safetensors"], fold=True)
    assert is_folded(tmp_path / "model")
    for to, formats in ((tmp_path / "model", ["stablehlo"]), ("new", ["pickle"])):
        with pytest.raises(InputError, match="to: .* exists|formats: .*pickle"):
            difnas_jax.export(net, to, formats=formats)


def test_two_exports_at_once_write_one_of_them(small_run, tmp_path, monkeypatch):
    """Whole: the second one finds the name taken, and leaves nothing."""
    text = model_card.text

    def meanwhile(net, fold, usages):
        monkeypatch.setattr(model_card, "text", text)
        monkeypatch.setattr(os, "getpid", lambda: 1)  # another process
        assert export.main([str(small_run), "--to=model", "--fold"]) == 0
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        return text(net, fold, usages)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model_card, "text", meanwhile)
    assert export.main([str(small_run), "--to=model"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert is_folded(tmp_path / "model")


def test_a_form_of_other_logits_is_refused(small_run, tmp_path, monkeypatch):
    wrong = exporters.Exporter(
        lambda *_: None, lambda _, pixels: np.zeros((len(pixels), 10)), ""
    )
    monkeypatch.setitem(EXPORTERS, "wrong", wrong)
    with pytest.raises(RuntimeError, match="wrong: logits differ by"):
        exporters.write_forms(difnas_jax.load(small_run), tmp_path, ["wrong"], False)
    assert not any(tmp_path.iterdir())


# (flags, what the line names); RUN is a finished run.
REFUSED = [
    (("RUN", "--to=file"), "--to", "file"),
    (("RUN", "--to=file/below"), "--to", "file/below"),
    (("RUN", "--to=full"), "--to", "full"),
    (("RUN", "--to=empty"), "--to", "empty"),
    (("RUN", "--to=empty/."), "--to", "empty"),
    (("RUN", "--to=."), "--to", "."),
    (("RUN", "--to=nowhere"), "--to", "nowhere"),  # a link
    (("RUN", "--to=gs://b/c"), "--to", "gs://b/c"),
    (("RUN", "--to="), "--to", "''"),
    (("RUN",), "--to"),
    (("none", "--to=new"), "run", "none"),
    (("RUN", "--to=new", "--formats=tflite"), "--formats", "tflite"),
    (("RUN", "--to=new", "--formats="), "--formats", "''"),
    (("RUN", "--to=new", "--formats=onnx,onnx"), "--formats", "onnx,onnx"),
    (("RUN", "--to=new", "--formats=needy"), "--formats", "no_such_package"),
    (("RUN", "--to=new", "--rank=1"), "rank", "1"),
    (("RUN", "--to=new", "--search=small"), "search", "small"),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: " ".join(row[0][1:]))
def test_bad_input_is_one_line(small_run, tmp_path, monkeypatch, capsys, row):
    flags, *named = row
    needy = dataclasses.replace(EXPORTERS["onnx"], writes_with=("no_such_package",))
    monkeypatch.setitem(EXPORTERS, "needy", needy)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "nowhere").symlink_to("absent")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    before = sorted(tmp_path.rglob("*"))
    assert export.main([f.replace("RUN", str(small_run)) for f in flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and all(text in line for text in named), line
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_that_is_not_trained_is_refused(small_run, tmp_path, capsys):
    workdir = shutil.copytree(small_run, tmp_path / "run")
    (workdir / artifacts.RETRAIN_RESULT).unlink()
    assert export.main([str(workdir), f"--to={tmp_path / 'new'}"]) == 2
    assert artifacts.RETRAIN_RESULT in capsys.readouterr().err
    (workdir / "stages" / "retrain.json").unlink()
    shutil.rmtree(workdir / artifacts.RETRAIN)
    assert main([*STAGE, f"--workdir={workdir}"]) == 2
    assert artifacts.RETRAIN_RESULT in capsys.readouterr().err
    flags = [*STAGE, "--config.export.formats=tflite", f"--workdir={tmp_path / 'b'}"]
    assert main(flags) == 2
    assert "export.formats" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_the_stage_is_complete_or_written_again(small_run, tmp_path, capsys):
    """Also after a kill, after another config, and after a file was changed."""
    workdir = shutil.copytree(small_run, tmp_path / "run")
    folder, flags = workdir / artifacts.EXPORT, [*STAGE, f"--workdir={workdir}"]

    def run(*more):
        capsys.readouterr()
        assert main([*flags, *more]) == 0
        assert not list(workdir.glob(".export*"))
        return capsys.readouterr().out

    assert "export: running" in run()
    assert {path.name for path in folder.iterdir()} == WRITTEN
    marker = read_marker(workdir, "export")
    assert marker["complete"] and set(marker["outputs"]) == {
        f"{artifacts.EXPORT}/{name}" for name in WRITTEN
    }
    assert "export: complete, skipped" in run()
    assert not is_folded(folder)
    # Killed while it wrote, with what it wrote and what was there before.
    write_marker(workdir, {**marker, "complete": False})
    left = workdir / ".export.1.tmp"
    left.mkdir()
    (left / "half").write_text("")
    (folder / "old").write_text("")
    assert "export: running" in run()
    assert {path.name for path in folder.iterdir()} == WRITTEN
    (folder / torch_files.WEIGHTS).write_bytes(b"")
    more = "--config.export.fold=True", "--config.export.formats=safetensors"
    assert "export: running" in run(*more)
    assert {path.name for path in folder.iterdir()} == WRITTEN - {"model.stablehlo"}
    assert is_folded(folder)
    assert files.read_json(workdir / "config.json")["export"]["fold"]
