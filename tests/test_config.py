"""Config: typed overrides, strict arguments, files that load and lock."""

import importlib.util
from pathlib import Path

import pytest

from difnas_jax import checks
from difnas_jax.config import build as config_lib
from difnas_jax.config import default, parse_arg
from difnas_jax.config.overrides import override
from difnas_jax.errors import InputError
from difnas_jax.stages import search

CONFIG_FOLDER = Path(__file__).parents[1] / "configs"
CONFIGS = sorted(CONFIG_FOLDER.rglob("*.py"))


def load(path):
    spec = importlib.util.spec_from_file_location("experiment", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("arg", [None, "smoke", "smoke,seed=3"])
def test_every_config_file_passes_the_checks(path, arg, tmp_path):
    module = load(path)
    name = path.relative_to(CONFIG_FOLDER)
    assert f"--config=configs/{name}" in (module.__doc__ or "")
    if arg and name.parent.name == "baselines":
        arg = f"digits,{arg}"
    config = module.get_config(arg)
    assert config.seed == (3 if arg and "seed" in arg else 0)
    if config.data.source == "arrays":  # users bring the file
        config.stages = ("search", "report")
    checks.check(config)
    with pytest.raises(InputError, match="unknown"):
        module.get_config("nonsense")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "7", 7),
        ("search.max_macs", "475e6", 475_000_000),
        ("supernet.learning_rate", "1", 1.0),
        ("compilation_cache", "", ""),
        ("compilation_cache", "/a/b", "/a/b"),
        ("supernet.rematerialize", "true", True),
        ("retrain.dtype", "bfloat16", "bfloat16"),
        ("data.flip", "True", True),
        ("data.flip", "false", False),
        ("data.path", "a b.npz", "a b.npz"),
        ("data.mean", "0.5,0.25", (0.5, 0.25)),
        ("data.mean", "(0.5, 0.25)", (0.5, 0.25)),
        ("data.mean", "", ()),
        ("stages", "search,report", ("search", "report")),
        ("stages", "('search',)", ("search",)),
    ],
)
def test_overrides_have_the_type_of_the_field(name, text, value):
    config = default()
    override(config, name, text)
    found = config_lib.field(config, name)
    assert found == value and type(found) is type(value)


def test_arguments_are_strict_and_typed():
    assert parse_arg(None, smoke=False, seed=1).to_dict() == {"smoke": False, "seed": 1}
    parsed = parse_arg("smoke,seed=4", smoke=False, seed=1)
    assert parsed.smoke is True and parsed.seed == 4
    for arg in ("seed", "seed=x", "smoke=1", "other", "other=1"):
        with pytest.raises(InputError, match="config argument"):
            parse_arg(arg, smoke=False, seed=1)


def test_stages_are_a_subset_in_order():
    config = default()
    config.stages = ("search", "report")
    assert checks.chosen_stages(config) == ["search", "report"]
    for stages in (
        (),
        (1.0,),
        ("search,report",),
        ("report", "search"),
        ("search", "search"),
        ("train",),
    ):
        config.stages = stages
        with pytest.raises(InputError, match="stages: expected some of supernet"):
            checks.chosen_stages(config)


def test_exact_needs_an_additive_score():
    """As a reference it is left out instead."""
    config = load(CONFIG_FOLDER / "digits.py").get_config()
    config.method.score = "accuracy"
    checks.check(config)
    assert search.algorithms(config) == ["evolution", "random"]
    config.search.algorithm = "exact"
    with pytest.raises(InputError, match="search.algorithm: 'exact' .*'accuracy'"):
        checks.check(config)


def test_architecture_by_name_and_by_index():
    config = load(CONFIG_FOLDER / "digits.py").get_config()
    assert config_lib.given_architecture(config) is None
    config.retrain.architecture = "k3e3, identity, k5e6, k3e3, identity, k7e6, k3e3"
    by_name = config_lib.given_architecture(config)
    config.retrain.architecture = "0,6,3,0,6,5,0"
    assert by_name == config_lib.given_architecture(config) == (0, 6, 3, 0, 6, 5, 0)


@pytest.mark.parametrize(
    ("section", "name", "value", "message"),
    [
        (
            "method",
            "layer_indicator",
            "parallel",
            "'parallel' it does not; use 'plain'",
        ),
        ("search", "recalibration_batch_size", 63, "multiple of the 2 devices, got 63"),
        (
            "search",
            "recalibration_batches",
            0,
            "search.recalibration_batches: expected",
        ),
    ],
)
def test_scores_by_accuracy_are_checked_at_the_door(section, name, value, message):
    config = load(CONFIG_FOLDER / "digits.py").get_config()
    config.method.score = "accuracy"
    checks.check(config)
    config[section][name] = value
    with pytest.raises(InputError, match=message):
        checks.check(config)


@pytest.mark.parametrize(
    ("cell", "connected"),
    [
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", False),
        ("|none~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|", False),
        ("|none~0|+|skip_connect~0|none~1|+|none~0|none~1|skip_connect~2|", True),
    ],
)
def test_a_cell_that_passes_nothing_on_is_refused(cell, connected):
    config = load(CONFIG_FOLDER / "digits.py").get_config()
    config.space.name = "nas_bench_201"
    config.retrain.architecture = cell
    if connected:
        assert config_lib.given_architecture(config) is not None
        return
    with pytest.raises(InputError, match="retrain.architecture: expected a network in"):
        config_lib.given_architecture(config)
