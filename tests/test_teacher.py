"""A trained network teaches another one: distillation in the retraining."""

import itertools
import json
import os
import shutil

import jax
import numpy as np
import optax
import pytest

import difnas_jax
from difnas_jax import data
from difnas_jax.config.files import saved_config
from difnas_jax.data import TrainBatches
from difnas_jax.deployment import model_card
from difnas_jax.deployment.teacher import teacher
from difnas_jax.main import main
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.mesh import data_mesh, shard_batch
from difnas_jax.training.log import TrainingLog

SMALL = "benchmarks/kills/small_run.py"
TAUGHT = "--config.retrain.teacher"


@pytest.fixture(scope="module")
def taught_run(small_run, tmp_path_factory):
    """The workdir of a network that the network of the small run taught."""
    workdir = tmp_path_factory.mktemp("taught") / "run"
    assert main(student(workdir, small_run)) == 0
    return workdir


@pytest.fixture(scope="module", autouse=True)
def _at_the_root(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(request.config.rootpath)
        yield


def student(workdir, teacher, *flags):
    return [
        f"--config={SMALL}",
        f"--workdir={workdir}",
        "--config.stages=retrain,report",
        "--config.retrain.architecture=0,0",
        f"{TAUGHT}={teacher}",
        *flags,
    ]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_target_has_the_probabilities_of_the_teacher(small_run, share):
    """Whatever the normalisation of the student: the teacher has its own."""
    config = saved_config(small_run / "config.json")
    config.retrain.teacher_share = share
    split = data.load(config).train
    config.data.mean, config.data.std = (0.1,), (0.7,)
    batches = TrainBatches.of(config, split, 32)
    batch, pixels = batches[0], batches.raw(0)["image"]
    teach = teacher(config, batches.normalizer, small_run / artifacts.RETRAIN)
    found = teach(shard_batch(batch, data_mesh()))
    net = difnas_jax.load(small_run)
    one_hot = np.asarray(jax.nn.one_hot(batch["label"], 10))
    smoothed = optax.smooth_labels(one_hot, config.retrain.label_smoothing)
    of_teacher = net.predict(pixels).probabilities
    expected = (1 - share) * smoothed + share * of_teacher
    np.testing.assert_allclose(found["target"], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found["image"], batch["image"])


def test_the_share_of_the_teacher_is_in_the_loss(taught_run, small_run, tmp_path):
    """Without a share the training is that of labels alone, and with one another."""
    runs = {"labels": ("", 0.5), "none": (small_run, 0.0)}
    losses = {"taught": losses_of(taught_run)}
    for name, (given, share) in runs.items():
        flags = student(tmp_path / name, given, f"{TAUGHT}_share={share}")
        assert main(flags) == 0
        losses[name] = losses_of(tmp_path / name)
    np.testing.assert_allclose(losses["none"], losses["labels"], rtol=1e-5)
    assert abs(np.subtract(losses["taught"], losses["labels"])).min() > 1e-4


def losses_of(workdir):
    rows = (workdir / artifacts.RETRAIN_METRICS).read_text().splitlines()
    return [json.loads(row)["loss"] for row in rows]


def test_who_taught_is_said(taught_run, small_run, capsys):
    teacher, net = difnas_jax.load(small_run), difnas_jax.load(taught_run)
    known = net.facts["teacher"]
    assert known["text"] == teacher.text
    assert known["test_accuracy"] == teacher.facts["test_accuracy"]
    report = (taught_run / artifacts.REPORT).read_text()
    card = model_card.text(net, False, [])
    assert "taught by" in report and "50% of the target" in card
    assert str(small_run) not in card  # a path of the machine
    assert main(student(taught_run, small_run, "--dry-run")) == 0
    assert f"{teacher.text} teaches 50% of the target" in capsys.readouterr().out


def test_a_teacher_that_may_know_the_validation_split_is_named(
    small_run, tmp_path, capsys
):
    """It is drawn by the seed, unless the data have one."""
    assert main(student(tmp_path, small_run, "--dry-run", "--config.seed=1")) == 0
    (warning,) = (
        line for line in capsys.readouterr().out.splitlines() if "warning" in line
    )
    assert "the teacher was trained with seed = 0, and may know images" in warning
    assert main(student(tmp_path, small_run, "--dry-run")) == 0
    assert "warning" not in capsys.readouterr().out


def test_a_teacher_may_move_but_not_change(taught_run, small_run, tmp_path, capsys):
    copy = shutil.copytree(small_run, tmp_path / "moved")
    assert main(student(taught_run, copy)) == 0
    assert "retrain: complete, skipped" in capsys.readouterr().out
    path = copy / artifacts.RETRAIN / artifacts.NETWORK
    values = files.read_checked_json(path)
    values["facts"]["test_accuracy"] = 0.5
    files.write_checked_json(path, values)
    assert main(student(taught_run, copy)) == 2
    assert "retrain.teacher.checksum is " in capsys.readouterr().err


def test_a_taught_run_outlives_its_teacher(taught_run, small_run, tmp_path, capsys):
    run = shutil.copytree(taught_run, tmp_path / "run")
    for flags in ((), ("--config.stages=report",), ("--dry-run",)):
        assert main(student(run, tmp_path / "gone", *flags)) == 0
    assert "teaches 50% of the target" in capsys.readouterr().out


def test_a_teacher_may_leave_while_it_is_not_needed(small_run, tmp_path, monkeypatch):
    """What is said of it at the end is known at the start."""
    teacher = shutil.copytree(small_run, tmp_path / "teacher")
    wait, calls = TrainingLog.wait_for, itertools.count()

    def without(self, batches):
        if next(calls) == 5:
            shutil.rmtree(teacher)
        return wait(self, batches)

    monkeypatch.setattr(TrainingLog, "wait_for", without)
    assert main(student(tmp_path / "run", teacher)) == 0
    assert "teacher" in difnas_jax.load(tmp_path / "run").facts


def changed(run, tmp_path, **preprocessing):
    """A copy of a run whose network says something else of its images."""
    copy = shutil.copytree(run, tmp_path / "other")
    path = copy / artifacts.RETRAIN / artifacts.NETWORK
    values = files.read_checked_json(path)
    values["preprocessing"].update(preprocessing)
    files.write_checked_json(path, values)
    return copy


@pytest.mark.parametrize(
    ("preprocessing", "words"),
    [
        ({"image_size": 16}, ("8 x 8 pixels", "16 x 16 pixels")),
        ({"channels": 3}, ("1 channel", "3 channel")),
        (
            {"classes": list("abcdefghij")},
            ("3, 4, ...", "a, b, c, d, e, ..."),
        ),
    ],
)
def test_a_teacher_of_other_images_is_refused(
    small_run, tmp_path, capsys, preprocessing, words
):
    copy = changed(small_run, tmp_path, **preprocessing)
    assert main(student(tmp_path / "run", copy)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "retrain.teacher: expected a network" in error
    assert all(word in error for word in words)
    assert not (tmp_path / "run").exists()


def test_an_interrupted_training_needs_its_teacher(
    small_run, tmp_path, capsys, stop_before
):
    teacher = shutil.copytree(small_run, tmp_path / "teacher")
    stop_before(0)
    flags = student(tmp_path / "run", teacher)
    assert main(flags) == os.EX_TEMPFAIL
    shutil.rmtree(teacher)
    assert main(flags) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert (
        error.startswith("error: retrain.teacher: expected") and str(teacher) in error
    )


def test_a_run_teaches_the_networks_of_its_named_search(small_run, tmp_path):
    run = shutil.copytree(small_run, tmp_path / "run")
    flags = [f"--config={SMALL}", f"--workdir={run}", f"{TAUGHT}={run}"]
    flags += ["--config.search.name=two", "--config.search.keep=2"]
    assert main([*flags, "--config.retrain.networks=2"]) == 0
    for rank in (0, 1):
        net = difnas_jax.load(run, search="two", rank=rank)
        assert net.facts["teacher"]["text"] == difnas_jax.load(run).text


def test_a_teacher_without_weights_is_refused_at_the_start(small_run, tmp_path, capsys):
    copy = shutil.copytree(small_run, tmp_path / "teacher")
    shutil.rmtree(copy / artifacts.RETRAIN_CHECKPOINTS)
    assert main(student(tmp_path / "run", copy, "--dry-run")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and artifacts.RETRAIN_CHECKPOINTS in error


def test_a_teacher_that_is_not_there_is_refused(small_run, tmp_path, capsys):
    unfinished = shutil.copytree(small_run, tmp_path / "unfinished")
    (unfinished / artifacts.RETRAIN_RESULT).unlink()
    for given in (tmp_path / "nowhere", unfinished):
        assert main(student(tmp_path / "run", given)) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"{given}/retrain/result.json" in error
        assert "retrain.teacher: expected the workdir of a run" in error


def test_a_taught_training_continues_to_the_same_bits(
    taught_run, small_run, tmp_path, stop_before
):
    stop_before(5)
    flags = student(tmp_path, small_run)
    assert [main(flags), main(flags)] == [os.EX_TEMPFAIL, 0]
    nets = [difnas_jax.load(run) for run in (tmp_path, taught_run)]
    jax.tree.map(np.testing.assert_array_equal, *(net.variables for net in nets))
