"""Config: typed overrides, strict arguments, files that load and lock."""

import importlib.util
import re
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from difnas_jax import checks
from difnas_jax.config import build as config_lib
from difnas_jax.config import comments, default, files, parse_arg
from difnas_jax.config.files import override
from difnas_jax.errors import InputError
from difnas_jax.stages import search
from difnas_jax.stages.chosen import chosen_stages

ROOT = Path(__file__).parents[1]
CONFIG_FOLDER = ROOT / "configs"
CONFIGS = sorted(CONFIG_FOLDER.rglob("*.py"))


def test_a_field_that_nothing_reads_is_refused():
    config = default()
    config.unlock()
    config.note, config.method.note, config.own = "mine", "mine", ConfigDict()
    says = "config: expected .* got also method.note, note, own"
    with pytest.raises(InputError, match=says):
        checks.check(config)
    assert comments.described(config)  # by `--help-config`, which checks nothing


def load(path):
    spec = importlib.util.spec_from_file_location("experiment", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("arg", [None, "smoke", "smoke,seed=3"])
def test_the_documented_command_of_every_config_file_passes_the_checks(path, arg):
    """Also with the arguments of the experiment; a space may need another method."""
    module = load(path)
    name = path.relative_to(CONFIG_FOLDER).with_suffix("").as_posix()
    command = re.search(r"difnas-jax --config=(\S+)", module.__doc__ or "")
    assert command and name in re.split("[:,]", command[1])
    separator = "," if ":" in command[1] else ":"
    config = files.load_config(separator.join(filter(None, (command[1], arg))))
    assert config.seed == (3 if arg and "seed" in arg else 0)
    if config.data.source == "arrays":  # users bring the file
        config.stages = ("search", "report")
    checks.check(config)
    with pytest.raises(InputError, match="unknown"):
        module.get_config("nonsense")


def test_shipped_configs_have_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [path.relative_to(CONFIG_FOLDER).with_suffix("") for path in CONFIGS]
    assert list(files.shipped_configs()) == [name.as_posix() for name in names]
    smoke = files.load_config(f"{CONFIG_FOLDER}/baselines/spos.py:digits,smoke")
    for name in ("spos:digits,smoke", "baselines/spos:digits,smoke"):
        assert files.load_config(name).to_dict() == smoke.to_dict()
    with pytest.raises(
        InputError,
        match="expected .* digits, frozen_effect, .*; got 'nothing'",
    ):
        files.load_config("nothing:smoke")


def test_the_searches_of_teg_nas_differ_in_the_algorithm_alone():
    """And random search beside each evaluates about as many networks."""
    evolution, reinforce, gumbel = (
        files.load_config(f"teg_{name}:digits").to_dict()
        for name in ("evolution", "reinforce", "gumbel")
    )
    for config in (evolution, reinforce, gumbel):
        search = config.pop("search")
        own = search["population"] if config is evolution else 0  # its first networks
        visited, random = own + search["steps"], search["generations"]
        assert visited <= random * search["population"] <= 1.1 * visited
    assert evolution == reinforce == gumbel


def test_a_file_is_taken_before_a_name_and_an_ambiguous_name_is_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(files, "PACKAGE", tmp_path)
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("configs/a/x", "configs/b/x", "configs/y")):
        write_config(tmp_path / f"{name}.py", seed)
    assert files.load_config("a/x").seed == 0 and files.load_config("y").seed == 2
    with pytest.raises(InputError, match="expected .* a/x, b/x, y; got 'x'"):
        files.load_config("x")
    write_config(tmp_path / "b" / "x.py", 3)
    assert files.load_config("b/x").seed == 1 and files.load_config("b/x.py").seed == 3


def write_config(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["from difnas_jax.config import default", "def get_config(arg):"]
    lines += [
        "    config = default()",
        f"    config.seed = {seed}",
        "    return config",
    ]
    path.write_text("\n".join(lines))


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
    assert chosen_stages(config) == ["search", "report"]
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
            chosen_stages(config)


def test_a_number_is_checked_by_the_algorithm_that_uses_it():
    """A population of ten has no room for the 25 + 25 children of evolution."""
    config = default()
    config.search.population = 10
    with pytest.raises(InputError, match=r"search.population: .*50 .*got 10"):
        search.check_algorithms(config)
    config.search.algorithm = "exact"
    search.check_algorithms(config)


@pytest.mark.parametrize(
    "bounds",
    [
        {"min_macs": 1_991_553, "max_macs": 1_991_554},
        # Each of them alone is met by some network, both by none.
        {"max_macs": 1_300_000, "min_params": 150_000},
    ],
)
def test_a_budget_without_a_network_is_found_before_training(bounds):
    config = files.load_config("digits")
    config.search.update(bounds)
    with pytest.raises(InputError, match="found no architecture within the budget"):
        checks.check(config)


def test_narrow_budgets_on_a_large_space_are_checked_quickly():
    """Two bounds there are too many costs to count; a population is drawn instead."""
    config = files.load_config("mbv2")
    config.search.update(population=4, mutations=2, crossovers=2)
    config.search.update(max_macs=300_000_000, max_params=4_000_000)
    checks.check(config)
    config.search.update(max_macs=190_000_000, max_params=0, min_params=8_300_000)
    with pytest.raises(InputError, match="found no architecture within the budget"):
        checks.check(config)


def test_exact_needs_an_additive_score():
    """As a reference it is left out instead."""
    config = load(CONFIG_FOLDER / "digits.py").get_config()
    config.method.update(score="accuracy", layer_indicator="plain")
    checks.check(config)
    assert search.algorithms(config) == ["evolution", "random"]
    config.search.algorithm = "exact"
    with pytest.raises(InputError, match="search.algorithm.*'exact'.*'accuracy'"):
        checks.check(config)


def test_architecture_by_name_and_by_index():
    config = load(CONFIG_FOLDER / "digits.py").get_config()
    assert config_lib.given_architecture(config) is None
    config.retrain.architecture = "k3e3, identity, k5e6, k3e3, identity, k7e6, k3e3"
    by_name = config_lib.given_architecture(config)
    config.retrain.architecture = "0,6,3,0,6,5,0"
    assert by_name == config_lib.given_architecture(config) == (0, 6, 3, 0, 6, 5, 0)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("method", "layer_indicator", "parallel"),
        ("search", "recalibration_batch_size", 63),
        ("search", "recalibration_batches", 0),
    ],
)
def test_scores_by_accuracy_are_checked_before_the_run(section, name, value):
    config = load(CONFIG_FOLDER / "digits.py").get_config()
    config.method.update(score="accuracy", layer_indicator="plain")
    checks.check(config)
    config[section][name] = value
    with pytest.raises(InputError, match=rf"{section}.{name}.*\b{value}\b"):
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
