"""The benchmark of performance disturbance: its rows, numbers and who runs what."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks import result_files
from benchmarks.disturbance import alignment, command, costs, measure, page
from benchmarks.disturbance.figure import disturbance_figure
from benchmarks.disturbance.kinds import EXCHANGED, exchanged
from benchmarks.disturbance.leakage import leakage
from benchmarks.disturbance.measure import arguments, disturbances
from benchmarks.disturbance.rows import ROWS, UPDATES, row_of
from benchmarks.disturbance.states import kind_of_weights, params_at
from benchmarks.disturbance.summary import moments, pooled, verdicts
from benchmarks.evidence.judge import parse_flags
from benchmarks.evidence.method_scores import method_config
from difnas_jax import checks
from difnas_jax.runtime import locks
from difnas_jax.training.fates import leaves_of, tree_of
from difnas_jax.training.recipe import build_supernet


def test_every_row_is_a_config_that_can_run():
    for row in ROWS.values():
        flags, fields = parse_flags(["--data=a", "--table=t", *arguments(row, seed=1)])
        config = method_config(flags, fields)
        checks.check(config)
        every, after = (
            getattr(config.supernet, f"disturbance_{name}")
            for name in ("every", "after")
        )
        paths = 1 if config.method.sampling == "uniform" else 3
        measured = (config.supernet.steps - after // paths) // every
        assert measured == pytest.approx(measure.PATHS // paths, abs=1)
        assert config.search.recalibration_batches == measure.BATCHES


def test_pooled_moments_are_those_of_all_values(rng):
    parts = [rng.normal(size=n) for n in (3, 1, 7)]
    values = np.concatenate(parts)
    found = pooled([moments(list(part)) for part in parts])
    assert found.mean == pytest.approx(values.mean())
    assert found.error == pytest.approx(values.std(ddof=1) / len(values) ** 0.5)
    assert math.isnan(pooled([]).mean) and math.isnan(pooled([moments([1.0])]).error)


def run(disturbance, loss=1.0, tau=0.5):
    row = {
        name: {"mean": disturbance + noise, "parts": {"entry": 0.0}}
        for name, noise in (("loss", 0.0), ("accuracy", 0.01))
    }
    rows = [row] * 6 + [{**row, "loss": {**row["loss"], "mean": disturbance * 1.1}}]
    return {
        **disturbances(rows),
        "loss": loss,
        "main_effects": {"n": 9, "tau_b": tau, "regret": 1.0},
        "accuracy": {"n": 9, "tau_b": tau, "regret": 1.0},
    }


@pytest.mark.parametrize(
    ("projected", "kept"),
    [
        (run(0.05), True),
        (run(0.06), False),
        (run(0.0, loss=1.03), False),
        (run(0.0, tau=0.4), False),
    ],
)
def test_a_projection_is_held_to_disturbance_loss_and_ranking(projected, kept):
    names = [row_of("spos", update) for update in ("plain", "orthogonal_inputs")]
    runs = {names[0]: {"runs": [run(0.1)]}, names[1]: {"runs": [projected]}}
    found = [one for one in verdicts(runs) if one.quantity == "loss"]
    assert len(found) == 3
    assert all(one.disturbs and one.kept == kept for one in found)


def test_nothing_is_asked_where_plain_updates_do_not_disturb():
    names = [row_of("spos", update) for update in ("plain", "orthogonal_inputs")]
    runs = {name: {"runs": [run(-0.1)]} for name in names}
    assert not any(one.disturbs for one in verdicts(runs))


def test_thirds_have_every_measurement_once():
    rows = [
        {
            quantity: {"mean": float(index), "parts": {"entry": 1.0}}
            for quantity in ("loss", "accuracy")
        }
        for index in range(8)
    ]
    found = disturbances(rows)["disturbance"]
    counts = [found[third]["loss"][0] for third in ("early", "middle", "late")]
    assert sum(counts) == 8 and max(counts) - min(counts) <= 1
    assert found["early"]["loss"][1] < found["late"]["loss"][1]


def test_cosines_are_of_modules_that_both_paths_pass():
    first = {"a": {"bn": {"scale": np.array([1.0, 0])}, "kernel": np.ones((2, 2))}}
    second = {"a": {"bn": {"scale": np.array([1.0, 1])}, "kernel": np.zeros((2, 2))}}
    found = list(alignment.shared_cosines(first, second))
    assert found == [("scales", pytest.approx(0.5**0.5))]


@pytest.mark.parametrize("row", ["affine_none", "affine_only"])
def test_kinds_are_of_all_weights_whether_or_not_they_train(row, tmp_path):
    words = ["--data=a", "--table=t", *arguments(ROWS[row], seed=1)]
    config = method_config(*parse_flags(words))
    params = params_at(config, build_supernet(config), tmp_path, step=0)
    kinds = {kind_of_weights(leaf) for leaf in leaves_of(params)}
    assert kinds == EXCHANGED["all weights"]


def test_each_weight_is_exchanged_with_one_kind():
    leaves = [("a", "bn", "scale"), ("a", "bn", "bias"), ("a", "kernel")]
    leaves += [("classifier", "kernel"), ("classifier", "bias")]
    earlier, later = (tree_of(dict.fromkeys(leaves, value)) for value in (0, 1))
    assert exchanged(earlier, later, EXCHANGED["all weights"]) == later
    parts = [kinds for name, kinds in EXCHANGED.items() if name != "all weights"]
    moved = [leaves_of(exchanged(earlier, later, kinds)) for kinds in parts]
    assert all(sum(one[leaf] for one in moved) == 1 for leaf in leaves)


def test_the_recursion_leaks_as_the_law_says(rng):
    vectors = rng.normal(size=(12, 2, 9)).astype(np.float32)
    found = leakage(vectors)
    errors = {curve["alpha"]: curve["error"] for curve in found["curves"]}
    assert max(errors[alpha] for alpha in errors if alpha >= 0.01) < 1e-3
    values = np.array(found["eigenvalues"])
    assert values.sum() == pytest.approx(12, rel=1e-5)  # each update stores norm 1
    for curve in found["curves"]:
        assert curve["measured"] == sorted(curve["measured"], reverse=True)


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """Files of their own, and trainings that take no time; returns what was trained."""
    trained = []

    def measured(row, seed, inputs, folder):
        trained.append((row.title, seed))
        return run(0.1)

    for name in ("RESULTS", "PAGE", "FIGURE"):
        monkeypatch.setattr(page, name, tmp_path / name)
    monkeypatch.setattr(costs, "RESULTS", tmp_path / "costs")
    monkeypatch.setattr(command, "measured", measured)
    monkeypatch.setattr(command, "disturbance_figure", lambda results: Figure())
    return trained


def test_every_training_runs_once(pages, tmp_path):
    words = [f"--workdir={tmp_path}", "spos_plain", "fairnas_plain"]
    assert command.main(words) == 0
    assert [seed for _, seed in pages] == [0, 0, 1, 1, 2, 2]
    (tmp_path / "fairnas_plain-1" / command.RESULT).unlink()  # as if it had been killed
    with locks.locked(tmp_path / "spos_plain-0"):
        assert command.main([words[0], "fairnas_plain", "spos_plain"]) == 0
    assert len(pages) == 7 and pages[-1][1] == 1
    kept = result_files.load(page.RESULTS)
    assert {name: row["seed"] for name, row in kept.items()} == {
        "spos_plain": [0, 1, 2],
        "fairnas_plain": [0, 1, 2],
    }
    assert page.page(kept, {}) == page.PAGE.read_text()
    assert command.main([f"--workdir={tmp_path}", "none"]) == 2


def test_page_and_figure_of_all_rows():
    source = {"command": "c", "date": "d", "machine": "m", "versions": {}}
    results = {
        name: {**source, "seed": row.seeds, "runs": [run(0.1)] * len(row.seeds)}
        for name, row in ROWS.items()
    }
    text = page.page(results, {})
    assert all(f"| {row.title} |" in text for row in ROWS.values())
    assert all(axes.lines for axes in disturbance_figure(results).axes[:5])


def test_updates_are_timed_in_turns_and_only_projections_store(monkeypatch):
    turns = []

    def timed_update(config, space):
        def update(step):
            turns.append((step, config.method["update"]))
            return 2.0

        return update

    monkeypatch.setattr(costs, "timed_update", timed_update)
    found = costs.measured(costs.CASES["one"])
    warm_up = costs.WARM_UP * len(UPDATES)
    steps, kinds = zip(*turns[warm_up:], strict=True)
    assert steps == tuple(sorted(steps)) and set(kinds[: len(UPDATES)]) == set(UPDATES)
    firsts = kinds[:: len(UPDATES)]
    assert set(firsts[: len(UPDATES)]) == set(UPDATES)  # who goes first rotates
    assert costs.ratios(found, "orthogonal_inputs") == [1.0] * costs.ROUNDS
    for name in ("bytes", "bytes_of_whole"):
        plain, *projected = found[name].values()
        assert plain == 0 and min(projected) > 0
    assert found["bytes"]["orthogonal_inputs"] == projector_bytes(costs.first_layers())
    source = {"command": "c", "date": "d", "seed": 0, "machine": "m", "versions": {}}
    text = page.page({}, {"one": {**source, **found}})
    assert text.count(f"| {costs.CASES['one'].title} |") == len(UPDATES)


def projector_bytes(space):
    """Counted by hand: d x d float32 for the d inputs of each kernel."""
    fixed, classifier = space.fixed[0], space.head_channels
    squares = [27, fixed.in_channels, space.layers[-1].out_channels, classifier]
    total = sum(d * d for d in squares) + fixed.in_channels * 9**2
    for layer in space.layers:
        for op in (space.ops[index] for index in layer.ops):
            hidden = op.expansion * layer.in_channels
            total += layer.in_channels**2 + hidden**2 + hidden * op.kernel**4
    return 4 * total
