"""Every method the whole way on a tiny space, and the table that compares them."""

import json
from pathlib import Path

import pytest

from difnas_jax import spaces
from difnas_jax.commands import compare
from difnas_jax.config import experiment, load_config
from difnas_jax.errors import InputError

CONFIGS = Path(__file__).parents[1] / "configs"
BASELINES = sorted((CONFIGS / "baselines").glob("*.py"))
METHODS = [f"{CONFIGS}/digits.py:smoke", *(f"{p}:digits,smoke" for p in BASELINES)]
TINY = {
    "space.name": "tiny",
    "space.image_size": 8,
    "search.max_macs": 0,
    "supernet.steps": 2,
    "supernet.batch_size": 12,
    "retrain.steps": 2,
    "retrain.batch_size": 12,
    "search.generations": 2,
    "search.population": 4,
    "search.mutations": 2,
    "search.crossovers": 2,
    "search.recalibration_batches": 2,
    "search.recalibration_batch_size": 12,
}
FLAGS = [f"--config.{name}={value}" for name, value in TINY.items()]
# What a method may change beside its row: how the supernet is trained, the stages, and
# whether random search runs beside a costly score.
RECIPE = {
    ("supernet", "optimizer"),
    ("supernet", "learning_rate"),
    ("supernet", "reference_batch"),
    ("supernet", "schedule"),
    ("supernet", "weight_decay"),
    ("supernet", "clip_value"),
    ("supernet", "epochs"),
    ("search", "references"),
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory, tiny):
    """(workdir, exit code) of all methods with one seed."""
    workdir = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(spaces.SPACES, "tiny", lambda **_: tiny)
        code = compare.main([*METHODS, "--seeds=3", f"--workdir={workdir}", *FLAGS])
        again = compare.main([*METHODS, "--seeds=3", f"--workdir={workdir}", *FLAGS])
    return workdir, code or again


def test_every_method_runs_end_to_end(compared, tiny):
    workdir, code = compared
    assert code == 0
    rows = json.loads((workdir / "comparison.json").read_text())["rows"]
    labels = ["digits", *(path.stem for path in BASELINES)]
    assert [row["method"] for row in rows] == labels
    for row in rows:
        tiny.parse(row["architecture"].split())
        assert row["seed"] == 3 and 0 <= row["test_accuracy"] <= 1
        assert row["macs"] > 0 and row["params"] > 0 and row["seconds"] > 0
    lines = (workdir / "comparison.md").read_text().splitlines()
    assert len(lines) == 2 + len(METHODS)
    assert len((workdir / "comparison.csv").read_text().splitlines()) == 1 + len(rows)


def test_cost_counts_images_of_training_and_of_scoring(compared):
    """Paths of an update times its images; scores by accuracy read images too."""
    rows = json.loads((compared[0] / "comparison.json").read_text())["rows"]
    images = {row["method"]: row["images"] for row in rows}
    one_path, fair = 2 * 12, 2 * 12 * 3
    scored = 2 * 4 * (2 * 12 + 180)  # recalibration and the validation split
    assert images["digits"] == fair and images["bnnas"] == one_path
    assert one_path < images["spos"] <= one_path + scored
    assert fair < images["fairnas"] <= fair + scored


@pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.stem)
@pytest.mark.parametrize("base", ["digits", "mbv2"])
def test_a_method_differs_in_its_row_only(path, base):
    """Same space, data, search and retraining as the experiment."""
    config, other = load_config(f"{path}:{base}"), load_config(f"{CONFIGS}/{base}.py")
    changed = {
        (section, name)
        for section, values in config.to_dict().items()
        if isinstance(values, dict)
        for name, value in values.items()
        if value != other[section][name]
    }
    for section, name in changed:
        assert section == "method" or (section, name) in RECIPE
    assert any(section == "method" for section, _ in changed)


@pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.stem)
def test_an_unknown_experiment_is_named(path):
    with pytest.raises(InputError, match="config argument 'smoke'.*digits, mbv2"):
        load_config(f"{path}:smoke")
    assert load_config(f"{path}:digits,seed=4").seed == 4


def test_the_default_experiment_is_mbv2():
    assert experiment(None).space.name == "mbv2"


def row(method, seed, accuracy):
    numbers = dict.fromkeys(compare.NUMBERS, 1.0)
    return {
        "method": method,
        "seed": seed,
        "architecture": "a b",
        **numbers,
        "test_accuracy": accuracy,
    }


def test_table_has_mean_and_spread_over_seeds():
    rows = [row("one", 0, 0.5), row("one", 1, 0.7), row("two", 0, None)]
    lines = compare.table(rows)
    assert len(lines) == 2 + 3 + 1
    assert "| one | mean ± sd | 2 seeds |" in lines[4] and "60.00% ± 14.14%" in lines[4]
    assert "not run" in lines[5]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds=1,01"], "--seeds: expected different whole numbers"),
        (["--seeds=a"], "--seeds: expected different whole numbers"),
        (["--config.seed=1"], "expected --seeds=N"),
        ([METHODS[0]], "configs: expected files of different names"),
        (["--config.search.nothing=1"], "unknown field"),
        (["--config.search.max_macs=1"], "search.max_macs"),
        (["nowhere.py"], "got 'nowhere.py'"),
    ],
)
def test_bad_input_is_an_error_before_any_run(flags, message, tmp_path, capsys):
    workdir = tmp_path / "compare"
    assert compare.main([METHODS[0], f"--workdir={workdir}", *flags]) == 2
    assert message in capsys.readouterr().err
    assert not workdir.exists()
