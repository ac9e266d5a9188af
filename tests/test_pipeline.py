"""The stages together, in one process, on a tiny space: flow, skipping, damage."""

import dataclasses
import itertools
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import optax
import pytest

import difnas_jax
from difnas_jax import data, spaces
from difnas_jax.config import default
from difnas_jax.config.stages import BY_DEFAULT, STAGES
from difnas_jax.data import TrainBatches
from difnas_jax.errors import InputError, Stopped, TrainingError
from difnas_jax.models.initializers import KERNEL_RULES
from difnas_jax.report import numbers
from difnas_jax.runtime import artifacts, files, locks, markers
from difnas_jax.scoring.indicators import gamma
from difnas_jax.scoring.path_losses import SETS, measured_losses
from difnas_jax.scoring.trained_supernet import evidence_of, trained_supernet
from difnas_jax.search.additive import ADDITIVE_RULES
from difnas_jax.search.algorithms import ALGORITHMS
from difnas_jax.spaces.costs import cost_table
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS
from difnas_jax.stages import retrain, search
from difnas_jax.training.fates import TRAINABLE
from difnas_jax.training.paths import SAMPLERS, stream
from difnas_jax.training.recipe import build_sampler


@pytest.fixture(autouse=True)
def tiny_space(monkeypatch, tiny):
    """Registers the tiny space."""

    def build(**images):
        return dataclasses.replace(tiny, **images)

    monkeypatch.setitem(spaces.SPACES, "tiny", build)


def tiny_config(**method):
    config = default()
    config.space.update(
        {"name": "tiny", "image_size": 8, "image_channels": 1, "num_classes": 10}
    )
    config.data.source = "digits"
    config.method.memory = "path_losses"  # DI-NAS remembers nothing
    config.method.update(method)
    for section in (config.supernet, config.retrain):
        section.epochs, section.steps, section.batch_size = 0.0, 4, 12
        section.log_every, section.checkpoint_every = 2, 2
    config.search.generations, config.search.population = 3, 4
    config.search.mutations = config.search.crossovers = 2
    config.retrain.dropout = 0.2
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny):
    """A finished run: (config, workdir, results)."""
    workdir = tmp_path_factory.mktemp("run") / "workdir"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(spaces.SPACES, "tiny", lambda **_: tiny)
        return tiny_config(), workdir, difnas_jax.run(tiny_config(), workdir)


@pytest.fixture
def workdir(finished, tmp_path):
    """A copy of the finished run."""
    return shutil.copytree(finished[1], tmp_path / "workdir")


def test_a_run_leaves_every_artefact(finished, tiny):
    config, workdir, results = finished
    for stage in BY_DEFAULT:
        assert all((workdir / path).exists() for path in STAGES[stage].writes)
    best = artifacts.FoundNetwork.load(workdir / artifacts.BEST, tiny)
    assert results.architecture == best.architecture
    assert {"macs": results.macs, "params": results.params} == best.costs
    assert 0 <= results.test_accuracy <= 1
    assert json.loads((workdir / "config.json").read_text())["seed"] == config.seed
    assert best.ops[0] in results._repr_html_()
    assert any(line.startswith("test accuracy: ") for line in results.lines())
    assert not list(workdir.rglob("*.tmp"))


def test_metrics_have_one_row_a_window(finished):
    rows = files.read_json_lines(finished[1] / "retrain" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [2, 4]
    assert "validation_accuracy" in rows[-1] and rows[-1]["images_per_second"] > 0


def test_the_indicator_is_read_off_the_training(finished, tiny):
    config, workdir, _ = finished
    indicator = artifacts.Indicator.load(workdir / artifacts.INDICATOR, tiny)
    assert np.array_equal(np.isfinite(indicator.table), tiny.allowed)
    trained = trained_supernet(config, workdir)
    evidence = evidence_of(config, trained)
    assert trained.step == indicator.provenance["supernet_step"] == 4
    np.testing.assert_array_equal(gamma(evidence), indicator.table)
    assert np.ptp(indicator.table[tiny.allowed]) > 0
    # The paths drawn again are those that trained; each had a loss.
    sampler = build_sampler(config)
    for step, paths in enumerate(evidence.paths):
        expected = sampler(stream(config.seed, "paths", step))
        np.testing.assert_array_equal(paths, expected)
    losses = evidence.memory["path_losses"]
    assert (losses > 0.5).all() and losses.shape == (4, 2)
    scales = gamma(evidence)
    for name, values in indicator.gammas.items():
        layer, op = name.split("/")
        column = [op.name for op in tiny.ops].index(op)
        expected = np.abs(values).astype(np.float64).mean()
        assert scales[int(layer[-2:]), column] == pytest.approx(expected)
    assert np.ptp(scales[np.isfinite(scales)]) > 0


@pytest.mark.parametrize("size", [32, 33])
def test_losses_are_measured_on_the_batches_that_would_train_next(finished, size):
    """Those of the trained weights along each path, the same at every reading.

    Of all images that the config names and no others, also where devices do not divide
    them.
    """
    config, workdir, _ = finished
    config = config.copy_and_resolve_references()
    config.method.measured_batches = 2
    trained = trained_supernet(config, workdir)
    config.supernet.batch_size = size
    measured = measured_losses(config, trained)
    again = measured_losses(config, trained)
    np.testing.assert_array_equal(measured.losses, again.losses)
    np.testing.assert_array_equal(measured.paths, again.paths)
    assert measured.losses.shape == measured.paths.shape[:2] == (2 * SETS, 2)
    dataset = data.load(config)
    batches = data.TrainBatches.of(config, dataset.train, size)
    batch, path = batches[trained.step], measured.paths[0, 0]
    logits: Any = trained.model.apply(trained.variables, batch["image"], path, True)
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    assert measured.losses[0, 0] == pytest.approx(float(expected.mean()), rel=1e-4)


def _times(workdir):
    """When each artefact was written, but for what every run writes."""
    of_runs = ("config.json", artifacts.DATA, locks.LOCK)
    return {
        path: path.stat().st_mtime_ns
        for path in workdir.rglob("*")
        if path.is_file() and path.name not in of_runs
    }


def test_a_second_run_skips_everything(finished, workdir, capsys):
    before = _times(workdir)
    results = difnas_jax.run(finished[0], workdir)
    out = capsys.readouterr().out
    assert out.count("complete, skipped") == 5 and "running" not in out
    assert results.architecture == finished[2].architecture
    assert before == _times(workdir)


def test_a_deleted_artefact_is_made_again(finished, workdir, capsys):
    old = (workdir / artifacts.INDICATOR).read_bytes()
    (workdir / artifacts.INDICATOR).unlink()
    difnas_jax.run(finished[0], workdir)
    assert (workdir / artifacts.INDICATOR).read_bytes() == old
    out = capsys.readouterr().out
    assert "indicator: running" in out and "retrain: complete, skipped" in out


def test_a_finished_training_of_other_inputs_is_not_deleted(finished, workdir, tiny):
    """Nor is it shown as that of the new ones; moved away, it is done again."""
    best = artifacts.FoundNetwork.load(workdir / artifacts.BEST, tiny)
    other = (1, 1, 1) if best.architecture != (1, 1, 1) else (0, 0, 0)
    costs = cost_table(tiny).of_one(other)
    dataclasses.replace(
        best, architecture=other, ops=tiny.op_names(other), costs=costs
    ).save(workdir / artifacts.BEST)
    marker = markers.read_marker(workdir, "search")
    written = markers.outputs(workdir, STAGES["search"].writes)
    markers.write_marker(workdir, {**marker, "outputs": written})
    before = _times(workdir)
    with pytest.raises(InputError, match="search/best.json.*move or delete .*retrain"):
        difnas_jax.run(finished[0], workdir)
    assert before == _times(workdir)
    for path in STAGES["retrain"].writes:
        left = workdir / path
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    results = difnas_jax.run(finished[0], workdir)
    result = files.read_json(workdir / artifacts.RETRAIN_RESULT)
    assert tuple(result["architecture"]) == other == results.architecture


def test_another_config_is_refused_and_nothing_is_touched(workdir):
    files = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    config = tiny_config()
    config.supernet.learning_rate = 0.125
    with pytest.raises(
        InputError,
        match="holds the supernet stage of another config: "
        "supernet.learning_rate is 0.03 there .* and 0.125 here",
    ):
        difnas_jax.run(config, workdir)
    assert files == {
        path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()
    }


def test_housekeeping_fields_may_change(finished, workdir):
    config = tiny_config()
    config.supernet.log_every = 1
    assert difnas_jax.run(config, workdir).macs == finished[2].macs


def test_an_unfinished_supernet_gives_no_indicator(finished, workdir):
    """Neither before its end nor from an older checkpoint than the last."""
    config, folder = finished[0], workdir / "supernet"
    (workdir / artifacts.INDICATOR).unlink()
    shutil.rmtree(folder / "checkpoints" / "4")
    with pytest.raises(
        InputError, match="checkpoints/4: expected a .* delete .*trained.json"
    ):
        difnas_jax.run(config, workdir)
    (workdir / artifacts.SUPERNET_RESULT).unlink()
    indicator = tiny_config()
    indicator.stages = ("indicator",)
    with pytest.raises(InputError, match="trained.json, .* expected supernet among"):
        difnas_jax.run(indicator, workdir)
    difnas_jax.run(config, workdir)
    again = (workdir / artifacts.INDICATOR).read_bytes()
    assert again == (finished[1] / artifacts.INDICATOR).read_bytes()


def test_replaced_data_are_noticed_and_moved_data_are_not(tmp_path):
    rng = np.random.default_rng(0)
    config = tiny_config()
    config.stages = ("supernet",)
    config.data.source, config.data.path = "arrays", str(tmp_path / "a.npz")

    def save(name):
        values = {}
        for split in ("train", "test"):
            values[f"x_{split}"] = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
            values[f"y_{split}"] = rng.integers(0, 10, 40)
        np.savez(tmp_path / name, **values)

    save("a.npz")
    difnas_jax.run(config, tmp_path / "run")
    shutil.copy(tmp_path / "a.npz", tmp_path / "b.npz")
    config.data.path = str(tmp_path / "b.npz")
    difnas_jax.run(config, tmp_path / "run")
    save("b.npz")
    with pytest.raises(InputError, match="another config: data.checksum"):
        difnas_jax.run(config, tmp_path / "run")


def test_half_a_line_of_metrics_is_dropped(finished, workdir):
    path = workdir / "supernet" / "metrics.jsonl"
    with open(path, "a") as file:
        file.write('{"step": 5, "lo')
    (workdir / artifacts.SUPERNET_RESULT).unlink()
    marker = markers.read_marker(workdir, "supernet")
    markers.write_marker(workdir, {**marker, "complete": False, "outputs": {}})
    difnas_jax.run(finished[0], workdir)
    assert [row["step"] for row in files.read_json_lines(path)] == [2, 4]


def test_given_architecture_needs_no_search(tmp_path, tiny):
    config = tiny_config()
    config.stages = ("retrain",)
    config.retrain.architecture = "k5e6,identity,k3e3"
    results = difnas_jax.run(config, tmp_path / "given")
    assert results.architecture == (1, 2, 0)
    assert results.test_accuracy is not None


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    """The window of steps is named, and the checkpoint before it is kept."""
    config, workdir = tiny_config(), tmp_path / "broken"
    config.stages = ("supernet",)
    config.supernet.steps = 8
    original = TrainBatches.__getitem__

    def poisoned(self, step):
        batch = original(self, step)
        return {**batch, "image": batch["image"] * (np.nan if step == 4 else 1)}

    monkeypatch.setattr(TrainBatches, "__getitem__", poisoned)
    message = r"not finite in steps 5 to 6; .*: the last good one is 4; lower"
    with pytest.raises(TrainingError, match=message):
        difnas_jax.run(config, workdir)
    saved = {path.name for path in (workdir / "supernet/checkpoints").iterdir()}
    assert {"2", "4"} <= saved and "6" not in saved


def test_interrupted_equals_uninterrupted(tmp_path, stop_before, finished):
    """A run that is asked to leave, in a stage after the other, goes on bit for bit."""
    config, workdir = tiny_config(), tmp_path / "broken"
    stop_before(2, 6)  # before the third update, and later in retraining
    for stage in ("supernet", "retrain"):
        with pytest.raises(Stopped, match=f"{stage} is saved at step 3"):
            difnas_jax.run(config, workdir)
    difnas_jax.run(config, workdir)
    for name in (artifacts.INDICATOR, artifacts.BEST):
        assert (workdir / name).read_bytes() == (finished[1] / name).read_bytes()
    for stage in ("supernet", "retrain"):
        ours, theirs = (
            files.read_json_lines(run / stage / "metrics.jsonl")
            for run in (workdir, finished[1])
        )
        for row in ours + theirs:
            del row["images_per_second"], row["data_wait"]
        assert ours == theirs
    ours = files.read_json(workdir / artifacts.RETRAIN_RESULT)
    theirs = files.read_json(finished[1] / artifacts.RETRAIN_RESULT)
    timing = {"seconds"}
    assert {k: v for k, v in ours.items() if k not in timing} == {
        k: v for k, v in theirs.items() if k not in timing
    }


def search_again(workdir, **changes):
    """Search alone, from the indicator of a finished run."""
    config = tiny_config()
    config.search.update(changes)
    config.stages = ("search",)
    shutil.rmtree(workdir / "search", ignore_errors=True)
    for stage in ("search", "retrain", "report"):
        (workdir / "stages" / f"{stage}.json").unlink(missing_ok=True)
    for stage in ("retrain", "report"):
        for path in STAGES[stage].writes:
            left = workdir / path
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return config


OF_ARCHITECTURES = [n for n, row in ALGORITHMS.items() if not row.needs_subsets]


@pytest.mark.parametrize("name", OF_ARCHITECTURES)
def test_every_algorithm_finds_a_network(name, workdir, tiny):
    """The references run beside it, and none twice; it may have other answers."""
    config = search_again(workdir, algorithm=name, max_macs=80_000)
    results = difnas_jax.run(config, workdir)
    assert results.macs is not None and results.macs <= 80_000
    rows = artifacts.load_comparison(workdir / artifacts.COMPARISON)
    names = [row["algorithm"] for row in rows]
    assert names[0] == name and len(names) == len(set(names))
    assert {one.partition(",")[0] for one in names} == {name, "random", "exact"}
    assert rows[0]["score"] == results.score and rows[0]["macs"] == results.macs
    assert all(row["regret"] >= 0 for row in rows)
    front = artifacts.load_candidates(workdir / artifacts.EXACT_FRONT)
    found = artifacts.load_candidates(workdir / artifacts.PARETO)
    assert front.scores.max() >= found.scores.max()


def test_without_references(workdir):
    config = search_again(workdir, references=())
    difnas_jax.run(config, workdir)
    (row,) = artifacts.load_comparison(workdir / artifacts.COMPARISON)
    assert row["algorithm"] == "evolution" and row["regret"] is None
    assert not (workdir / artifacts.EXACT_FRONT).exists()


def test_bounds_on_parameters_leave_no_front(workdir, finished):
    config = search_again(workdir, max_params=finished[2].params)
    difnas_jax.run(config, workdir)
    assert not (workdir / artifacts.EXACT_FRONT).exists()


def test_interrupted_search_continues(workdir, monkeypatch):
    """After any generation of any of its algorithms, to the same bytes."""
    config = search_again(workdir)
    difnas_jax.run(config, workdir)
    names = artifacts.BEST, artifacts.CANDIDATES, artifacts.SEARCH_HISTORY
    expected = [(workdir / name).read_bytes() for name in names]
    saves = sum(
        len(state["history"])
        for state in files.read_checked_json(workdir / artifacts.SEARCH_STATE).values()
    )
    assert saves > 3
    step = search.Progress.step
    for last in range(saves):
        search_again(workdir)
        done = itertools.count()

        def dies(self, values, done=done, last=last):
            step(self, values=values)
            if next(done) == last:
                os.kill(os.getpid(), signal.SIGUSR1)

        with monkeypatch.context() as patch:
            patch.setattr(search.Progress, "step", dies)
            with pytest.raises(Stopped):
                difnas_jax.run(config, workdir)
        assert not (workdir / artifacts.BEST).exists()
        difnas_jax.run(config, workdir)
        assert [(workdir / name).read_bytes() for name in names] == expected


def test_a_reference_that_fails_is_left_out(workdir, monkeypatch, capsys):
    """The network is found all the same."""

    def fails(*_):
        raise InputError("cannot")

    config = search_again(workdir)
    monkeypatch.setattr(ALGORITHMS["exact"], "ask", fails)
    difnas_jax.run(config, workdir)
    rows = artifacts.load_comparison(workdir / artifacts.COMPARISON)
    assert [row["algorithm"] for row in rows] == ["evolution", "random"]
    assert "reference exact is left out (cannot)" in capsys.readouterr().out


def several_networks(workdir):
    """A config that retrains two networks, after the search of a finished run."""
    config = search_again(workdir, keep=3, distance=2)
    config.stages = ("search", "retrain", "report")
    config.retrain.networks = 2
    return config


@pytest.fixture(scope="module")
def several(finished, tmp_path_factory, tiny):
    """A finished run that retrained two networks: (config, workdir, results)."""
    workdir = tmp_path_factory.mktemp("several") / "workdir"
    shutil.copytree(finished[1], workdir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(spaces.SPACES, "tiny", lambda **_: tiny)
        config = several_networks(workdir)
        return config, workdir, difnas_jax.run(config, workdir)


def test_each_of_several_networks_is_loaded_by_its_rank(several):
    workdir = several[1]
    rows = artifacts.load_retrained(workdir / artifacts.RETRAIN_RESULT)
    for rank, row in enumerate(rows):
        network = difnas_jax.load(workdir, rank=rank)
        assert list(network.architecture) == row["architecture"]
        assert network.facts["test_accuracy"] == row["test_accuracy"]
        assert network.facts["found"]["score"] == row["score"]
    with pytest.raises(InputError, match="rank: expected 0 to 1, .* got 2"):
        difnas_jax.load(workdir, rank=2)


def timeless(result):
    return {name: value for name, value in result.items() if name != "seconds"}


def metrics_of(folder):
    times = ("images_per_second", "data_wait")
    rows = files.read_json_lines(folder / "metrics.jsonl")
    return [{n: v for n, v in row.items() if n not in times} for row in rows]


def test_kept_networks_are_the_best_that_differ(several, finished, tiny):
    _, workdir, _ = several
    kept = artifacts.FoundNetwork.load_kept(workdir / artifacts.BEST, tiny)
    networks = tiny.canonical(np.array([found.architecture for found in kept]))
    assert len(kept) == 3
    for one, other in itertools.combinations(networks, 2):
        assert (one != other).sum() >= 2
    scores = [found.score or 0.0 for found in kept]
    assert scores == sorted(scores, reverse=True)
    best = artifacts.FoundNetwork.load(finished[1] / artifacts.BEST, tiny)
    assert (
        kept[0] == best == artifacts.FoundNetwork.load(workdir / artifacts.BEST, tiny)
    )


def test_several_networks_are_retrained_and_the_best_on_validation_is_the_result(
    several, finished, tiny
):
    _, workdir, results = several
    kept = artifacts.FoundNetwork.load_kept(workdir / artifacts.BEST, tiny)
    result = files.read_json(workdir / artifacts.RETRAIN_RESULT)
    (other,) = result.pop("runners_up")
    assert result["validation_accuracy"] >= other["validation_accuracy"]
    both = sorted((result, other), key=lambda row: row["retrained_in"])
    for number, (row, found) in enumerate(zip(both, kept, strict=False), start=1):
        folder = workdir / f"retrain/networks/network-{number}"
        assert workdir / row.pop("retrained_in") == folder
        assert row.pop("score") == found.score
        assert tuple(row["architecture"]) == found.architecture
        assert row == files.read_json(folder / "result.json")
        assert (folder / "checkpoints").exists()
    # The same bits as those of the one network of a run without runners-up.
    alone = finished[1]
    one = files.read_json(alone / artifacts.RETRAIN_RESULT)
    assert timeless(both[0]) == timeless(one)
    assert metrics_of(workdir / "retrain/networks/network-1") == metrics_of(
        alone / "retrain"
    )
    assert results.architecture == tuple(result["architecture"])
    assert results.runners_up is not None and len(results.runners_up) == 1
    assert results.test_accuracy == result["test_accuracy"]
    assert 'class="retrained"' in (workdir / artifacts.REPORT).read_text()


def test_a_run_of_several_networks_that_is_interrupted_goes_on(
    several, finished, tmp_path, stop_before, capsys
):
    """In the second network, to the same bits; the first one is not trained again."""
    workdir = shutil.copytree(finished[1], tmp_path / "broken")
    config = several_networks(workdir)
    calls = stop_before(6)  # before the third update of the second network
    with pytest.raises(Stopped, match="network-2 is saved at step 3"):
        difnas_jax.run(config, workdir)
    assert not (workdir / artifacts.RETRAIN_RESULT).exists()
    capsys.readouterr()
    difnas_jax.run(config, workdir)
    assert "network-1 is complete, skipped" in capsys.readouterr().out
    assert next(calls) == 8  # one update was left
    for number in (1, 2):
        name = f"retrain/networks/network-{number}"
        ours, theirs = (
            timeless(files.read_json(run / name / "result.json"))
            for run in (workdir, several[1])
        )
        assert ours == theirs
        assert metrics_of(workdir / name) == metrics_of(several[1] / name)


@pytest.mark.parametrize(
    ("accuracies", "order"),
    [([0.5, 0.75], [1, 0]), ([0.75, 0.5], [0, 1]), ([0.5, 0.5], [0, 1])],
)
def test_the_result_has_the_best_validation_accuracy(
    several, tmp_path, monkeypatch, accuracies, order, tiny
):
    """Of equal ones the higher score; the test accuracy has no part in it."""
    workdir = shutil.copytree(several[1], tmp_path / "workdir")
    shutil.rmtree(workdir / artifacts.RETRAIN_NETWORKS)
    left = iter(accuracies)

    def trained(config, found, workdir, folder):
        accuracy = next(left)
        result = {"validation_accuracy": accuracy, "test_accuracy": 1 - accuracy}
        ops = {"architecture": list(found.architecture), "ops": found.ops}
        return {**ops, **found.costs, **result}

    monkeypatch.setattr(retrain, "retrain_network", trained)
    retrain.run(several[0], workdir)
    rows = artifacts.load_retrained(workdir / artifacts.RETRAIN_RESULT)
    kept = artifacts.FoundNetwork.load_kept(workdir / artifacts.BEST, tiny)
    expected = [list(kept[number].architecture) for number in order]
    assert [row["architecture"] for row in rows] == expected
    results = numbers.collect(several[0], workdir)
    assert results["architecture"] == kept[order[0]].architecture
    assert results["score"] == kept[order[0]].score
    assert results["costs"] == kept[order[0]].costs


def test_fewer_networks_than_asked_for_are_kept_and_said(workdir, tiny, capsys):
    config = search_again(workdir, keep=50, distance=3)
    difnas_jax.run(config, workdir)
    kept = artifacts.FoundNetwork.load_kept(workdir / artifacts.BEST, tiny)
    assert 0 < len(kept) <= 2  # of the two ops of the first layer
    said = f"search: keeps {len(kept)} of search.keep = 50 networks"
    assert said in capsys.readouterr().out


def test_without_a_validation_split_all_of_train_trains(tmp_path):
    """Retraining ends with the test alone; what needs validation is refused before."""
    config = tiny_config()
    config.data.validation_fraction = 0.0
    config.stages = ("retrain", "report")
    config.retrain.architecture = "k3e3,identity,identity"
    results = difnas_jax.run(config, tmp_path / "run")
    assert results.test_accuracy is not None and results.validation_accuracy is None
    assert results.test_top5_accuracy is not None
    assert results.test_accuracy <= results.test_top5_accuracy <= 1
    result = files.read_json(tmp_path / "run" / artifacts.RETRAIN_RESULT)
    rows = files.read_json_lines(tmp_path / "run" / artifacts.RETRAIN_METRICS)
    names = {*result, *(name for row in rows for name in row)}
    assert rows and not any(name.startswith("validation") for name in names)
    assert "Validation accuracy" not in (tmp_path / "run/report.html").read_text()


MEASURED = {
    "indicator": "measured_effect",
    "measured_batches": 2,
    "layer_indicator": "plain",
    "score": "sum",
}
METHODS = [
    {"kernels": kernels, "sampling": sampling, "trainable": trainable}
    | ({} if trainable != "kernels" else MEASURED)  # its gammas do not train
    for kernels, sampling, trainable in zip(
        itertools.cycle(KERNEL_RULES),
        itertools.cycle(SAMPLERS),
        TRAINABLE,
        strict=False,
    )
]
METHODS += [
    {"layer_indicator": wiring, "indicator": "gamma", "score": "ratio"}
    for wiring in LAYER_INDICATORS
]
METHODS += [
    {"score": score, "indicator": "gamma", "layer_indicator": "off"}
    for score in ADDITIVE_RULES
]
METHODS += [{"batch_sharing": "split", "score": "argmax", "train_classifier": False}]


@pytest.mark.parametrize(
    "method", METHODS, ids=lambda method: "-".join(map(str, method.values()))
)
def test_every_choice_of_a_method_finds_a_network(tmp_path, tiny, method):
    """Each column value takes one update and a search; wiring decides what is found."""
    config = tiny_config(**method)
    config.stages = ("supernet", "indicator", "search")
    config.supernet.steps = 1
    config.search.max_macs = 80_000
    results = difnas_jax.run(config, tmp_path / "run")
    assert results.architecture is not None and results.macs is not None
    assert results.macs <= 80_000
    tiny.validate(results.architecture)
    if method.get("layer_indicator") == "off":
        assert 2 not in results.architecture


def documented_space():
    """The example of a user's own space, as a module's contents."""
    text = (Path(__file__).parents[1] / "docs/spaces.md").read_text()
    namespace: dict[str, Any] = {}
    exec(text.split("```python")[1].split("```")[0], namespace)
    return namespace


def test_the_documented_space_walks_the_whole_way(tmp_path):
    config = tiny_config()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(spaces.SPACES, "mine", None)
        assert documented_space()["get_config"]().space.name == "mine"
        config.space.update(name="mine", image_size=8)
        results = difnas_jax.run(config, tmp_path)
    assert results.ops is not None and len(results.ops) == 2
    assert set(results.ops) <= {"small", "wide", "identity"}
    assert results.test_accuracy is not None


def test_cells_walk_the_whole_way(tmp_path, monkeypatch):
    """One cell a stage; the report and `best.json` have the official string."""
    space = dataclasses.replace(
        spaces.nas_bench_201(image_size=8, image_channels=1, num_classes=10),
        name="cells",
        cells=1,
        channels=(8, 8),
    )
    monkeypatch.setitem(spaces.SPACES, "cells", lambda **_: space)
    config = tiny_config(score="sum", indicator="gamma", layer_indicator="candidate")
    config.space.name = "cells"
    config.search.population = 16
    results = difnas_jax.run(config, tmp_path)
    assert results.text is not None and "none" not in results.text
    assert space.parse([results.text]) == results.architecture
    best = artifacts.FoundNetwork.load(tmp_path / artifacts.BEST, space)
    assert best.text == results.text and results.text in results.lines()[0]
    table = artifacts.Indicator.load(tmp_path / artifacts.INDICATOR, space).table
    assert np.isnan(table[:, 0]).all() and np.isfinite(table[:, 1:]).all()
