"""What a run says that it is about to do, before it does it."""

import dataclasses
import json
import re

import jax
import pytest
from jax import monitoring

from difnas_jax import pipeline, plan
from difnas_jax.config import load_config
from difnas_jax.config.build import flat
from difnas_jax.data import DataSummary
from difnas_jax.errors import InputError
from difnas_jax.main import main
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.runtime import artifacts, files
from difnas_jax.training.amount import Amount, trained_parameters
from difnas_jax.training.recipe import Recipe, build_supernet, initial_variables

DATA = DataSummary(
    checksum="0" * 8,
    images={"train": 1000, "validation": 100, "test": 10},
    classes=("a", "b"),
    stored="8 x 8 grey",
    notes=("class b has no training image",),
)


@pytest.fixture
def config():
    return load_config("digits")


def line_of(lines, title):
    (line,) = [line for line in lines if line.startswith(f"{title}: ")]
    return line.removeprefix(f"{title}: ")


def test_a_run_says_what_it_reads_searches_and_trains(config, tmp_path):
    lines = list(plan.lines(config, tmp_path, DATA))
    assert line_of(lines, "space").startswith("digits, 7 layers of 6 to 7 ops, 399,384")
    assert "953,600 to 4,905,728 MACs" in line_of(lines, "space")
    budget = "search.max_macs = 2,000,000; allows 10,307 networks"
    assert line_of(lines, "budget") == budget
    first, second = (line for line in lines if line.startswith("data: "))
    assert (
        "1,000 train, 100 validation, 10 test images of 2 classes (a, b), 8 x 8"
        in first
    )
    assert "16 x 16 x 1" in first and second == f"data: {DATA.notes[0]}"
    assert "x cpu" in line_of(lines, "device")
    supernet = "1,000 updates of 64 images and 6 paths; 384,000 images in all, 384 ep"
    assert line_of(lines, "supernet").startswith(supernet)
    assert line_of(lines, "search").startswith("evolution by the score ratio")
    assert line_of(lines, "retrain").startswith("600 updates of 64 images; 38,400")


def test_stages_that_do_not_run_are_not_announced(config, tmp_path):
    config.stages = ("report",)
    titles = {line.partition(":")[0] for line in plan.lines(config, tmp_path, DATA)}
    assert titles == {"space", "data", "device"}
    (line,) = [t for t in plan.lines(config, tmp_path, DataSummary()) if "data" in t]
    assert line == "data: no stage of this run reads any"


def test_how_long_it_takes_is_what_the_workdir_knows(config, tmp_path):
    def supernet():
        return line_of(plan.lines(config, tmp_path, DATA), "supernet")

    assert supernet().endswith(plan.UNKNOWN)
    rows = [{"step": 400, "images_per_second": 384.0}]
    files.write_json_lines(tmp_path / artifacts.SUPERNET_METRICS, rows)
    # 600 updates of 64 images through 6 paths at 384 images a second.
    assert supernet().endswith("400 updates done; 0:10:00 left at 384 images/s")
    marker = {"stage": "supernet", "config": {}, "inputs": {}, "complete": True}
    pipeline.write_marker(tmp_path, {**marker, "seconds": 61.4})
    assert supernet().endswith("complete, took 0:01:01")


def test_a_window_between_networks_is_said_to_be_empty(config, tmp_path):
    low = 953_600
    config.search.update(min_macs=low + 1, max_macs=low + 2)
    budget = line_of(plan.lines(config, tmp_path, DATA), "budget")
    assert budget.endswith("allows 0 networks")


def test_parameters_are_those_that_the_training_has(config):
    """Of shapes alone, and of the variables, where frozen kernels lie apart."""
    model, recipe = build_supernet(config), Recipe.of_supernet(config)
    shapes, variables = variable_shapes(model), initial_variables(config, model)
    text = trained_parameters(recipe, {"params": shapes["params"]})
    assert text == trained_parameters(recipe, variables)
    trained, total, rest = (
        int(n.replace(",", "")) for n in re.findall(r"[\d,]+", text)
    )
    assert trained + rest == total
    frozen = sum(leaf.size for leaf in jax.tree.leaves(variables["frozen"]))
    assert 0 < frozen <= rest


def test_all_parameters_train_where_all_do(config):
    config.method.trainable = "all"
    recipe = Recipe.of_supernet(config)
    shapes = variable_shapes(build_supernet(config))
    text = trained_parameters(recipe, {"params": shapes["params"]})
    assert re.fullmatch(r"trains ([\d,]+) of \1 parameters", text)


def test_epochs_are_those_of_the_config(config):
    config.supernet.update(epochs=12.0, steps=0)
    amount = Amount.of_supernet(config, 1280)
    assert amount.updates * amount.images == pytest.approx(12 * 1280, rel=0.02)
    split = dataclasses.replace(amount, passes=1)
    assert split.images == 64


@pytest.fixture
def compilations():
    """The programs that are compiled from now on."""
    found = []

    def listen(event, duration_secs, **_):
        if event.endswith("backend_compile_duration"):
            found.append(event)

    monitoring.register_event_duration_secs_listener(listen)
    return found


def test_a_dry_run_writes_and_compiles_nothing(
    tmp_path, monkeypatch, capsys, compilations
):
    monkeypatch.chdir(tmp_path)
    flags = ["--config=digits", "--config.search.max_macs=1500000", "--workdir=w"]
    assert main([*flags, "--dry-run"]) == 0
    assert not list(tmp_path.iterdir()) and not compilations
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "workdir: w"
    assert "  search.max_macs = 1500000 (default 0)" in lines
    changed = sum(line.startswith("  ") for line in lines)
    assert line_of(lines, "config") == f"{changed} fields differ from the default"
    assert any(re.match(r"supernet: trains [\d,]+ of [\d,]+ par", t) for t in lines)
    assert line_of(lines, "dry run") == "nothing was written, nothing compiled"


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--config.search.max_macs=7", "search.max_macs"),
        ("--config.data.source=arrays", "data.path"),
        ("--config.stages=report,search", "stages"),
        ("--config.devices=1000", "devices"),
    ],
)
def test_a_dry_run_refuses_what_the_run_refuses(flag, expected, tmp_path, capsys):
    flags = ["--config=digits", f"--workdir={tmp_path / 'w'}", flag]
    assert main([*flags, "--dry-run"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {expected}: ")


def test_a_dry_run_of_a_given_network_counts_its_parameters(config, tmp_path):
    config.stages = ("retrain",)
    config.retrain.architecture = "k3e3,k3e3,identity,k3e3,k3e3,k3e3,k3e3"
    lines = list(plan.dry_run(config, tmp_path))
    assert any(line.startswith("retrain: trains all ") for line in lines)


def test_a_dry_run_of_a_named_search_looks_into_its_own_folder(config, tmp_path):
    files.write_json(tmp_path / "search" / "best.json", {})
    with pytest.raises(InputError, match="search.json"):
        list(plan.dry_run(config, tmp_path))
    config.search.name = "small"
    assert list(plan.dry_run(config, tmp_path))
    config.search.name = "../small"
    with pytest.raises(InputError, match="search.name"):
        list(plan.dry_run(config, tmp_path))


def test_a_run_says_the_same(config, tmp_path, capsys):
    config.stages = ("report",)
    pipeline.run(config, tmp_path)
    shown = capsys.readouterr().out.splitlines()
    saved = json.loads((tmp_path / "config.json").read_text())
    assert flat(config, config).keys() and saved["stages"] == ["report"]
    for line in plan.lines(config, tmp_path, DataSummary()):
        assert line in shown
