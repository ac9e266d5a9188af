"""The search stage by scores that need no training, with a measure that is faked."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import difnas_jax
from difnas_jax import checks, spaces
from difnas_jax.config import default
from difnas_jax.errors import InputError, Stopped
from difnas_jax.report import figures
from difnas_jax.runtime import artifacts, files, shutdown
from difnas_jax.runtime.artifacts import FoundNetwork
from difnas_jax.scoring import parts, scorers
from difnas_jax.search.algorithms import ALGORITHMS
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.stages import search

PROXIES = ("ntk_condition", "linear_regions")
ALLOWED = [name for name, row in ALGORITHMS.items() if not row.needs_table]


class FakeMeasure:
    """The first columns are those of a sum over layers; sets of ops have their mean."""

    images = 3

    def __init__(self, config: ConfigDict, names: tuple[str, ...]) -> None:
        self.names, self.asked = names, 0

    def of_subsets(self, allowed: np.ndarray) -> dict[str, np.ndarray]:
        self.asked += len(allowed)
        worth = np.arange(allowed[0].size).reshape(allowed.shape[1:]) % 7 + 1.0
        kept = (allowed * worth).sum((1, 2)) / allowed.sum((1, 2))
        columns = {"ntk_condition": 100 / kept, "linear_regions": kept}
        return {n: np.stack((columns[n], columns[n]), axis=1) for n in self.names}

    def __call__(self, architectures: np.ndarray) -> dict[str, np.ndarray]:
        allowed = np.arange(3) == architectures[..., None]
        return {n: values[:, 0] for n, values in self.of_subsets(allowed).items()}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tiny: SearchSpace) -> ConfigDict:
    monkeypatch.setattr(scorers, "proxy_columns", FakeMeasure)
    monkeypatch.setitem(spaces.SPACES, "tiny", lambda **_: tiny)
    config = default()
    config.stages = ("search",)
    config.space.update(name="tiny", image_size=8, image_channels=1, num_classes=10)
    config.data.source = "digits"
    config.method.update(score="training_free", proxies=PROXIES)
    config.method.update(layer_indicator="plain")
    config.search.update(generations=3, population=4, mutations=2, crossovers=2)
    config.search.update(steps=12, tournament=2, references=("random", "pruning"))
    return config


@pytest.mark.parametrize("name", ALLOWED)
def test_every_algorithm_searches_by_proxies(config, tmp_path, tiny, name) -> None:
    config.search.algorithm = name
    difnas_jax.run(config, tmp_path)
    best = FoundNetwork.load(tmp_path / artifacts.BEST, tiny)
    found = artifacts.load_candidates(tmp_path / artifacts.CANDIDATES)
    assert list(found.columns) == ["score", *PROXIES, "macs", "params"]
    measured = FakeMeasure(config, PROXIES)(found.architectures)
    for column in PROXIES:
        np.testing.assert_allclose(found.columns[column], measured[column])
    assert tuple(found.architectures[0]) == best.architecture
    # Both columns agree, so that the best score is the best of either.
    assert found.columns["ntk_condition"].argmin() == 0
    lines = artifacts.load_comparison(tmp_path / artifacts.COMPARISON)
    names = [line["algorithm"].partition(",")[0] for line in lines]
    assert list(dict.fromkeys(names)) == list(
        dict.fromkeys((name, "random", "pruning"))
    )
    history = files.read_json_lines(tmp_path / artifacts.SEARCH_HISTORY)
    assert all(f"median_{column}" in row for row in history for column in PROXIES)
    assert history[-1]["evaluated"] == lines[0]["evaluated"]


@pytest.mark.parametrize("name", ALLOWED)
def test_an_interrupted_search_ends_with_the_same_files(
    config, tmp_path, monkeypatch, name
) -> None:
    config.search.algorithm = name
    difnas_jax.run(config, tmp_path / "whole")
    calls = iter(range(1000))

    def stop() -> None:
        if next(calls) == 2:
            raise shutdown.Stopped

    with monkeypatch.context() as patch:
        patch.setattr(shutdown, "raise_if_stop_requested", stop)
        with pytest.raises(shutdown.Stopped):
            difnas_jax.run(config, tmp_path / "cut")
    difnas_jax.run(config, tmp_path / "cut")
    for artefact in (artifacts.CANDIDATES, artifacts.BEST, artifacts.SEARCH_HISTORY):
        whole, cut = ((tmp_path / w / artefact).read_bytes() for w in ("whole", "cut"))
        assert whole == cut
    states = [
        files.read_checked_json(tmp_path / w / artifacts.SEARCH_STATE)
        for w in ("whole", "cut")
    ]
    for state in (each for states_of in states for each in states_of.values()):
        state.pop("seconds")
    assert states[0] == states[1]


def test_a_long_generation_stops_within_it_and_continues(
    config, tmp_path, monkeypatch, capsys
) -> None:
    """And says how far it is; the scores are those of a call for all at once."""
    config.search.references = ()
    with monkeypatch.context() as patch:
        patch.setattr(search, "in_parts", lambda score, size, title: score)
        difnas_jax.run(config, tmp_path / "whole")
    monkeypatch.setattr(parts, "BETWEEN_LINES", 0.0)
    most = jax.device_count()
    assert config.search.population > most
    asked, measured = [], FakeMeasure.__call__

    def stopping(self: FakeMeasure, architectures: np.ndarray) -> Any:
        asked.append(len(architectures))
        if len(asked) == 1:  # of a generation of several parts
            monkeypatch.setattr(shutdown, "_received", [15])
        return measured(self, architectures)

    with monkeypatch.context() as patch:
        patch.setattr(FakeMeasure, "__call__", stopping)
        with pytest.raises(Stopped):
            difnas_jax.run(config, tmp_path / "cut")
    assert asked == [most]
    monkeypatch.setattr(shutdown, "_received", [])
    difnas_jax.run(config, tmp_path / "cut")
    said = capsys.readouterr().out
    assert f"evolution: scored {most} of {config.search.population}" in said
    for artefact in (artifacts.CANDIDATES, artifacts.BEST, artifacts.SEARCH_HISTORY):
        whole, cut = ((tmp_path / w / artefact).read_bytes() for w in ("whole", "cut"))
        assert whole == cut


@pytest.mark.parametrize("name", ["random", "pruning"])
def test_doubts_about_the_scores_are_said_and_reported(
    config, tmp_path, monkeypatch, capsys, name
) -> None:
    """Every image has a region of its own, and one candidate of a call has no value."""
    of_subsets, lost = FakeMeasure.of_subsets, []

    def saturated(self: FakeMeasure, allowed: np.ndarray) -> dict[str, np.ndarray]:
        columns = of_subsets(self, allowed)
        columns["linear_regions"] = np.full_like(columns["linear_regions"], 1000.0)
        if len(allowed) > 1:
            columns["ntk_condition"][1] = np.nan
            lost.append(1)
        return columns

    config.search.update(algorithm=name, references=())
    config.stages = ("search", "report")
    difnas_jax.run(config, tmp_path / "believed")
    assert "Warning" not in (tmp_path / "believed" / artifacts.REPORT).read_text()
    monkeypatch.setattr(FakeMeasure, "of_subsets", saturated)
    difnas_jax.run(config, tmp_path / "doubted")
    first, second = files.read_json(tmp_path / "doubted" / artifacts.RESULTS)[
        "warnings"
    ]
    assert first.startswith("linear regions are saturated: in 100%")
    (row,) = artifacts.load_comparison(tmp_path / "doubted" / artifacts.COMPARISON)
    expected = f"{len(lost)} of {row['evaluated']} candidates have a value that is not"
    assert second.startswith(expected)
    said, page = capsys.readouterr().out, tmp_path / "doubted" / artifacts.REPORT
    for warning in (first, second):
        assert f"search: warning: {warning}" in said
        assert f"{warning}.</p>" in page.read_text()


def test_what_the_search_depends_on(config) -> None:
    stage = scorers.stage_of("search", config)
    assert stage.reads == () and stage.reads_data
    assert "supernet" not in stage.sections and "data" in stage.sections


@pytest.mark.parametrize(
    ("algorithm", "score", "message"),
    [
        ("exact", "training_free", "search.algorithm.*'exact'.*'training_free'"),
        ("pruning", "ratio", "'pruning', or method.score = training_free, got 'ratio'"),
        ("pruning", "accuracy", "search.algorithm.*'pruning'.*got 'accuracy'"),
    ],
)
def test_an_algorithm_that_does_not_fit_is_refused(
    config, algorithm, score, message
) -> None:
    config.search.algorithm, config.method.score = algorithm, score
    with pytest.raises(InputError, match=message):
        checks.check(config)


def test_a_count_of_an_architecture_is_none_of_a_supernet(config) -> None:
    config.method.proxies = ("linear_regions", "macs")
    checks.check(config)
    assert search.algorithms(config) == ["evolution", "random"]
    config.search.algorithm = "pruning"
    message = "method.proxies: expected columns of networks for .*'pruning'.*'macs'"
    with pytest.raises(InputError, match=message):
        checks.check(config)


def test_held_out_images_are_asked_for_before_the_run(config) -> None:
    config.data.validation_fraction = 0.0
    with pytest.raises(InputError, match="validation_fraction.*'training_free'; got 0"):
        checks.check_data(config)
    config.method.proxies = ("linear_regions",)
    assert checks.check_data(config)


def test_objectives_may_be_columns_of_the_score(config) -> None:
    config.search.update(algorithm="nsga2", objectives=("ntk_condition", "params"))
    checks.check(config)
    config.search.objectives = ("regression_error",)
    expected = "score, macs, params, ntk_condition, linear_regions; got 'regression_err"
    with pytest.raises(InputError, match=f"search.objectives: .*{expected}"):
        checks.check(config)


@pytest.mark.parametrize("names", [(), ("ntk_condition", "unknown"), (1.0,)])
def test_unknown_columns_are_refused(config, names) -> None:
    config.method.proxies = names
    with pytest.raises(InputError, match="^method.proxies: expected some of .*, got"):
        checks.check(config)


@pytest.mark.parametrize("name", ["reinforce", "pruning"])
def test_the_report_has_a_landscape_of_every_column(config, tmp_path, name) -> None:
    config.search.update(algorithm=name, references=())
    config.stages = ("search", "report")
    difnas_jax.run(config, tmp_path)
    page = (tmp_path / artifacts.REPORT).read_text()
    assert (tmp_path / artifacts.FIGURES / f"landscapes-{len(PROXIES)}.svg").exists()
    assert all(f"<th>{column}</th>" in page for column in PROXIES)
    history = files.read_json_lines(tmp_path / artifacts.SEARCH_HISTORY)
    drawn = figures.landscapes(history, PROXIES)
    for figure, column in zip(drawn, PROXIES, strict=True):
        (axes,) = figure.axes
        assert axes.get_ylabel() == column
        dots, best = (np.asarray(line.get_ydata(), float) for line in axes.lines)
        expected = [row[f"median_{column}"] for row in history]
        np.testing.assert_array_equal(dots, expected)
        last = artifacts.load_candidates(tmp_path / artifacts.CANDIDATES)
        assert best[-1] == last.columns[column][0]
