"""Every method the whole way on a tiny space, and the table that compares them."""

import dataclasses
import json
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from difnas_jax import spaces
from difnas_jax.commands import compare
from difnas_jax.config import experiment, load_config
from difnas_jax.errors import InputError
from difnas_jax.report import comparison
from difnas_jax.scoring.path_losses import SETS
from difnas_jax.training import timing

CONFIGS = Path(__file__).parents[1] / "configs"
BASELINES = sorted((CONFIGS / "baselines").glob("*.py"))
BASELINES += [
    CONFIGS / f"{n}.py" for n in ("frozen_effect", "logit_gamma", "main_effect")
]
METHODS = [f"{CONFIGS}/digits.py:smoke", *(f"{p}:digits,smoke" for p in BASELINES)]
TINY = {
    "space.name": "tiny",
    "space.image_size": 8,
    "search.max_macs": 0,
    "supernet.steps": 2,
    "supernet.batch_size": 12,
    "retrain.steps": 2,
    "retrain.batch_size": 12,
    # Cheap ones: what the columns are is tested elsewhere.
    "method.proxies": "linear_regions,nwot",
    "method.measured_batches": 2,
    "search.generations": 2,
    "search.population": 4,
    "search.mutations": 2,
    "search.crossovers": 2,
    "search.recalibration_batches": 2,
    "search.recalibration_batch_size": 12,
}
FLAGS = [f"--config.{name}={value}" for name, value in TINY.items()]
TRAIN = 1293  # training images of the digits
# What a method may change beside its row: how the supernet is trained, the stages, and
# whether random search runs beside a costly score.
RECIPE = {
    ("supernet", "optimizer"),
    ("supernet", "learning_rate"),
    ("supernet", "kernel_rate"),
    ("supernet", "logit_rate"),
    ("supernet", "reference_batch"),
    ("supernet", "schedule"),
    ("supernet", "weight_decay"),
    ("supernet", "clip_value"),
    ("supernet", "epochs"),
    ("search", "references"),
    ("search", "screening"),
    # The search algorithm of a method without training, and its numbers.
    ("search", "algorithm"),
    ("search", "population"),
    ("search", "tournament"),
    ("search", "steps"),
    ("search", "generations"),
}


@pytest.fixture(scope="module")
def short(tiny):
    """Two layers, of two and three ops: so few networks that methods find the same."""
    return dataclasses.replace(tiny, layers=tiny.layers[:2])


@pytest.fixture(scope="module")
def compared(tmp_path_factory, short):
    """(workdir, exit code) of all methods with one seed."""
    workdir = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(spaces.SPACES, "tiny", lambda **_: short)
        flags = ["--seeds=3", "--update-batch=0", f"--workdir={workdir}", *FLAGS]
        code = compare.main([*METHODS, *flags])
        again = compare.main([*METHODS, *flags])
    return workdir, code or again


def read_rows(workdir):
    return json.loads((workdir / "comparison.json").read_text())["rows"]


def test_every_method_runs_end_to_end(compared, short):
    workdir, code = compared
    assert code == 0
    rows = read_rows(workdir)
    labels = [f"{path.stem}:digits,smoke" for path in BASELINES]
    assert [row["method"] for row in rows] == ["digits:smoke", *labels]
    for row in rows:
        short.parse(row["architecture"].split())
        assert row["seed"] == 3
        assert 0 <= row["test_accuracy"] <= row["test_top5_accuracy"] <= 1
        assert row["macs"] > 0 and row["params"] > 0 and row["seconds"] > 0
        assert row["device_days"] == jax.device_count() * row["seconds"] / 86_400
    device, empty, *lines = (workdir / "comparison.md").read_text().splitlines()
    assert device.startswith(f"device: {jax.devices()[0].device_kind}") and not empty
    assert len(lines) == 2 + len(METHODS)
    assert len((workdir / "comparison.csv").read_text().splitlines()) == 1 + len(rows)


def test_cost_counts_images_of_training_and_of_scoring(compared):
    """Paths of an update times its images; indicators and scores read images, too."""
    rows = {row["method"].partition(":")[0]: row for row in read_rows(compared[0])}
    images = {method: row["images"] for method, row in rows.items()}
    one_path, fair = 2 * 12, 2 * 12 * 3
    scored = 2 * 4 * (2 * 12 + 144)  # recalibration and the validation split
    default = 2 * 12 * 2  # the identity is always on, and not sampled
    assert images["digits"] == default and images["bnnas"] == one_path
    assert one_path < images["spos"] <= one_path + scored
    assert fair < images["fairnas"] <= fair + scored
    assert images["frozen_effect"] == images["logit_gamma"] == fair
    assert images["main_effect"] == fair + 2 * SETS * 12 * 3  # measured afterwards
    # An epoch is the training split through one path.
    assert rows["digits"]["epochs"] * TRAIN == pytest.approx(default)
    assert rows["bnnas"]["epochs"] * TRAIN == pytest.approx(one_path)


@pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.stem)
@pytest.mark.parametrize("base", ["digits", "mbv2", "shufflenetv2"])
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
    with pytest.raises(
        InputError, match="argument 'smoke'.*digits, .*, logit_gamma, main_effect, mbv2"
    ):
        load_config(f"{path}:smoke")
    assert load_config(f"{path}:digits,seed=4").seed == 4


def test_the_default_experiment_is_mbv2():
    assert experiment(None).space.name == "mbv2"


def test_shufflenetv2_shares_all_but_its_space_with_mbv2():
    """With its budget, epochs and, where asked for, layer indicator."""
    for argument in ("", "smoke"):
        mine = load_config(f"shufflenetv2:{argument}").to_dict()
        other = load_config(f"mbv2:{argument}").to_dict()
        assert mine["space"].pop("name") != other["space"].pop("name")
        for section, name in (("search", "max_macs"), ("supernet", "epochs")):
            assert mine[section].pop(name) <= other[section].pop(name)
        assert mine == other
    config = load_config("shufflenetv2")
    assert (config.search.max_macs, config.supernet.epochs) == (330_000_000, 100)
    assert config.method.layer_indicator == experiment(None).method.layer_indicator
    off = load_config("shufflenetv2:layer_indicator=off")
    assert off.method.layer_indicator == "off"


def row(method, seed, accuracy):
    numbers = dict.fromkeys(comparison.NUMBERS, 1.0)
    return {
        "method": method,
        "seed": seed,
        "architecture": "a b",
        **numbers,
        "test_accuracy": accuracy,
    }


def test_table_has_mean_and_spread_over_seeds():
    rows = [row("one", 0, 0.5), row("one", 1, 0.7), row("two", 0, None)]
    lines = comparison.table(rows)
    assert len(lines) == 2 + 3 + 1
    assert "| one | mean ± sd | 2 seeds |" in lines[4] and "60.00% ± 14.14%" in lines[4]
    assert "| - |" in lines[5] and "not run" not in lines[5]  # it has no such number
    assert "not run" in comparison.table([row("two", 0, None) | {"macs": None}])[2]


@pytest.fixture
def fast_update(monkeypatch):
    """Configs whose update is timed; it takes 70 ms for 7 paths."""
    asked = []

    def measure(config):
        asked.append(config)
        return timing.UpdateTime(milliseconds=70.0, paths=7)

    monkeypatch.setattr(compare, "time_update", measure)
    return asked


NO_DATA = ["mbv2", "shufflenetv2", "--config.data.path=/nowhere"]


def test_without_data_an_update_is_timed_once_and_the_rest_reads_not_run(
    tmp_path, fast_update, capsys
):
    flags = ["--seeds=0,1", "--update-batch=8", f"--workdir={tmp_path}"]
    assert compare.main([*NO_DATA, *flags]) == 0
    assert [config.space.name for config in fast_update] == ["mbv2", "shufflenetv2"]
    assert {config.supernet.batch_size for config in fast_update} == {8}
    rows = read_rows(tmp_path)
    assert [row["seed"] for row in rows] == [0, 1, 0, 1]
    for row in rows:
        assert row["architecture"] == "not run"
        numbers = {name: row[name] for name in comparison.NUMBERS}
        assert (numbers.pop("update_ms"), numbers.pop("path_ms")) == (70, 10)
        assert set(numbers.values()) == {None}
    output = capsys.readouterr().out
    assert output.count("not run: data.name: expected 'imagenet2012'") == 4
    cells = output.splitlines()[-1].split(" | ")
    assert cells[3:] == ["not run"] * 9 + ["70.0", "10.0 |"]  # measured once: no spread


def test_without_data_and_without_a_time_a_method_has_failed(tmp_path, fast_update):
    flags = ["--update-batch=0", f"--workdir={tmp_path}"]
    assert compare.main([*NO_DATA, *flags]) == 1
    assert not fast_update
    assert read_rows(tmp_path)[0]["update_ms"] is None


@pytest.mark.parametrize(("sampling", "paths"), [("strict_fair", 3), ("uniform", 1)])
def test_the_time_of_an_update_needs_no_data(monkeypatch, short, sampling, paths):
    monkeypatch.setitem(spaces.SPACES, "tiny", lambda **_: short)
    config = load_config(f"{CONFIGS}/digits.py:smoke")
    config.space.update(name="tiny", image_size=8)
    config.data.update(source="arrays", path="/nowhere.npz")
    config.supernet.batch_size, config.method.layer_indicator = 4, "plain"
    config.method.sampling = sampling
    before = config.to_json()
    update = timing.time_update(config)
    assert update.milliseconds > 0 and update.paths == paths
    assert config.to_json() == before


def test_compilation_is_no_part_of_the_time(monkeypatch):
    calls = []

    def train_step(state, batch, paths):
        time.sleep(0.5 if not calls else 0.01)
        calls.append(batch["image"].shape)
        return state, {}

    def begin(sampler, **_):
        state = SimpleNamespace(memory={})
        return state, train_step, lambda step, _: sampler(jax.random.key(step))

    monkeypatch.setattr(timing, "begin", begin)
    config = load_config(f"{CONFIGS}/digits.py:smoke")
    config.supernet.batch_size, config.method.layer_indicator = 4, "plain"
    update = timing.time_update(config)
    assert update.paths == 7 and 10 <= update.milliseconds < 250
    assert set(calls) == {(4, 16, 16, 1)}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds=1,01"], "--seeds: expected different whole numbers"),
        (["--seeds=a"], "--seeds: expected different whole numbers"),
        (["--config.seed=1"], "expected --seeds=N"),
        ([METHODS[0]], "configs: expected different ones, got digits:smoke digits"),
        (["--update-batch=-1"], "--update-batch: expected 0 or more"),
        (
            ["--config.method.batch_sharing=split", "--config.supernet.batch_size=60"],
            "--update-batch=32: supernet.batch_size: expected a multiple of the 6 p",
        ),
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
