"""What a stage depends on, reads and writes, and scores that need no supernet."""

import numpy as np
import pytest

import difnas_jax
from difnas_jax import checks, pipeline, spaces
from difnas_jax.config import default
from difnas_jax.config.stages import HARMLESS, STAGES, maker_of
from difnas_jax.errors import InputError
from difnas_jax.report.comparison import search_cost
from difnas_jax.runtime.markers import read_marker, write_marker
from difnas_jax.scoring.scorers import SCORERS, Scorer, ScorerRow, stage_of
from difnas_jax.spaces.costs import cost_table
from difnas_jax.stages.chosen import check_inputs
from difnas_jax.stages.dependencies import dependencies

OF_A_SUPERNET = ("space", "data", "method", "supernet")


@pytest.fixture
def config(monkeypatch, tiny):
    monkeypatch.setitem(spaces.SPACES, "tiny", lambda **_: tiny)
    config = default()
    config.space.update(name="tiny", image_size=8, image_channels=1, num_classes=10)
    config.data.source = "digits"
    for section in (config.supernet, config.retrain):
        section.update(epochs=0.0, steps=2, batch_size=12)
    config.search.update(generations=2, population=4, mutations=2, crossovers=2)
    return config


def test_every_stage_can_run():
    assert list(pipeline.RUN) == list(STAGES)


def test_harmless_fields_exist(config):
    for name in HARMLESS:
        section, field = name.split(".")
        assert field in config[section]
    for stage in STAGES.values():
        for name in stage.harmless:
            section, field = name.split(".")
            assert field in config[section] and section in stage.sections


@pytest.mark.parametrize("section", OF_A_SUPERNET)
def test_a_new_field_makes_a_supernet_stale(config, section):
    """A field that nobody has heard of counts, and a workdir without it is refused."""
    before = dependencies("supernet", config, "")
    with config.unlocked():
        config[section].invented = 1
    after = dependencies("supernet", config, "")
    assert after.keys() - before.keys() == {f"{section}.invented"}


@pytest.mark.parametrize("section", OF_A_SUPERNET)
def test_every_field_counts_unless_it_is_named(config, section):
    counted = dependencies("supernet", config, "")
    named = {*HARMLESS, *STAGES["supernet"].harmless, "data.path"}
    for field in config[section]:
        name = f"{section}.{field}"
        assert (name in counted) != (name in named)


def test_a_workdir_of_another_version_is_refused_and_kept(config, tmp_path):
    config.stages = ("retrain",)
    config.retrain.architecture = "k3e3,identity,identity"
    difnas_jax.run(config, tmp_path)
    marker = read_marker(tmp_path, "retrain")
    marker["config"]["retrain.of_old"] = 1
    marker["versions"]["difnas_jax"] = "0.0.9"
    write_marker(tmp_path, {**marker, "stage": "retrain"})
    files = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(InputError) as caught:
        difnas_jax.run(config, tmp_path)
    message = str(caught.value)
    assert "retrain.of_old" in message and "0.0.9" in message and "\n" not in message
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == files


def fewest_parameters(config, workdir, space):
    """A score that needs nothing."""
    table = cost_table(space)
    return Scorer(lambda paths: {"score": -table.of(paths)["params"].astype(float)})


@pytest.mark.parametrize("needs", [frozenset(), frozenset({"data"})])
def test_a_score_without_supernet_needs_no_supernet(
    config, tmp_path, monkeypatch, tiny, needs
):
    monkeypatch.setitem(SCORERS, "cheap", ScorerRow(fewest_parameters, needs, "", ""))
    config.method.score = "cheap"
    config.search.references = ()
    config.stages = ("search", "retrain", "report")
    results = difnas_jax.run(config, tmp_path)
    assert results.architecture is not None and results.test_accuracy is not None
    best = cost_table(tiny).of(np.array(results.architecture))["params"]
    assert results.score == -best
    assert not (tmp_path / "supernet").exists()
    stage = stage_of("search", config)
    assert stage.reads == () and stage.reads_data == bool(needs)
    assert "supernet" not in stage.sections
    # What no search looks at does not matter to it; what it looks at does.
    config.supernet.learning_rate *= 2
    config.stages = ("search",)
    check_inputs(config, tmp_path)
    cost = search_cost(config, tmp_path, results.values["seconds"])
    assert cost["images"] == 0


def test_what_needs_a_validation_split_is_named(config):
    config.search.keep = config.retrain.networks = 2
    config.method.score = "accuracy"
    score, networks = "method.score = 'accuracy'", "retrain.networks = 2"
    assert checks.needing_validation(config) == [score, networks]
    config.data.validation_fraction = 0.0
    for stages, named in ((("search", "retrain"), score), (("retrain",), networks)):
        config.stages = stages
        with pytest.raises(InputError, match=f"validation_fraction.*{named}; got 0"):
            checks.check_data(config)
    # Nothing else needs one, nor what does not run.
    config.stages = ("supernet", "indicator", "report")
    assert checks.check_data(config)
    config.stages = tuple(STAGES)
    config.method.score, config.retrain.networks = "sum", 1
    assert checks.needing_validation(config) == [] and checks.check_data(config)


def test_several_retrained_networks_have_folders_of_their_own(config):
    one = stage_of("retrain", config)
    assert one == STAGES["retrain"]
    config.retrain.networks = 2
    several = stage_of("retrain", config)
    assert one.reads == several.reads and one.sections == several.sections
    assert set(several.writes) & set(one.writes) == {"retrain/result.json"}
    assert "retrain/networks" in several.writes


def test_what_a_score_needs_must_run_before(config, tmp_path):
    config.stages = ("search",)
    with pytest.raises(InputError, match="indicator.npz.*expected indicator"):
        check_inputs(config, tmp_path)
    config.method.update(score="accuracy", layer_indicator="plain")
    with pytest.raises(InputError, match="trained.json.*expected supernet"):
        check_inputs(config, tmp_path)
    assert maker_of("search/best.json") == "search"
