"""Two processes of one run: stopped, killed, or one of them with a problem."""

import os
import signal
import time

import numpy as np
import pytest
from jobs import codes, ended, fill, free_port, start, start_two
from PIL import Image

from difnas_jax.runtime.artifacts import SUPERNET_METRICS, SUPERNET_RESULT
from difnas_jax.runtime.files import read_json_lines


def losses(workdir):
    return [row["loss"] for row in read_json_lines(workdir / SUPERNET_METRICS)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The losses of two processes that are not disturbed."""
    workdir = tmp_path_factory.mktemp("whole")
    assert codes(start_two(workdir)) == [0, 0]
    assert len(losses(workdir)) == 64
    return losses(workdir)


def at_work(workdir, updates=2, flags=()):
    """Two processes that have done some updates."""
    started = start_two(workdir, *flags, config="tests/slow_run.py")
    metrics = workdir / SUPERNET_METRICS
    while not (metrics.exists() and metrics.read_text().count("\n") >= updates):
        assert [process.poll() for process in started] == [None, None]
        time.sleep(0.01)
    return started


@pytest.mark.parametrize(
    ("process", "number"), [(0, signal.SIGUSR1), (1, signal.SIGTERM)]
)
def test_a_signal_to_one_stops_both_and_nothing_differs(
    tmp_path, unbroken, process, number
):
    started = at_work(tmp_path)
    started[process].send_signal(number)
    assert codes(started) == [os.EX_TEMPFAIL] * 2
    assert 2 <= len(losses(tmp_path)) < 64
    assert codes(start_two(tmp_path)) == [0, 0]
    assert losses(tmp_path) == unbroken


def test_processes_of_a_cluster_join_by_themselves(tmp_path, unbroken):
    """In an environment like that of `srun`, without --distributed."""
    slurm = {
        "JAX_NUM_PROCESSES": None,
        "JAX_COORDINATOR_PORT": str(free_port()),
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_LOCALID": "0",
    }
    started = [
        start(tmp_path, "--config.devices=2", SLURM_PROCID=str(number), **slurm)
        for number in range(2)
    ]
    assert codes(started) == [0, 0]
    assert losses(tmp_path) == unbroken


@pytest.mark.parametrize("process", [0, 1])
def test_the_death_of_one_ends_both_and_nothing_differs(tmp_path, unbroken, process):
    started = at_work(tmp_path, updates=40)
    started[process].kill()
    ends = ended(started)
    (code, _), (other, says) = ends[process], ends[1 - process]
    assert code == -signal.SIGKILL
    # No code that a scheduler would take for a final error.
    assert other == os.EX_TEMPFAIL or other < 0
    if other > 0:
        assert says[-1] == "another process has died; the same command continues"
    assert codes(start_two(tmp_path)) == [0, 0]
    assert losses(tmp_path) == unbroken


@pytest.fixture
def images(tmp_path):
    """A tree of class folders, and an image of it."""
    rng, root = np.random.default_rng(0), tmp_path / "tree"
    for split, count in (("train", 16), ("validation", 4), ("test", 4)):
        for label in range(10):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (8, 8), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root, root / "train" / "class3" / "7.png"


def test_bad_data_on_one_end_both_with_its_error(tmp_path, images):
    """Each update, one of them reads half of the images; one goes bad meanwhile."""
    root, bad = images
    flags = ["--config.data.source=folder", f"--config.data.path={root}"]
    flags += ["--config.data.mean=0.5", "--config.data.std=0.25"]
    started = at_work(tmp_path / "run", flags=flags)
    bad.write_bytes(bad.read_bytes()[:30])
    ends = ended(started)
    assert [code for code, _ in ends] == [2, 2]
    lines = [says[-1] for _, says in ends]
    assert all(
        f"error: expected a readable image, cannot decode {bad}" in line
        for line in lines
    )
    assert sorted(line.startswith("process ") for line in lines) == [False, True]
    assert not [line for _, says in ends for line in says if "Traceback" in line]
    workdir = tmp_path / "skipping"
    skipping = start_two(workdir, *flags, "--config.data.corrupt=skip")
    assert codes(skipping) == [0, 0]
    assert read_json_lines(workdir / SUPERNET_METRICS)[-1]["corrupt_images"] >= 1


def test_a_full_disk_ends_both_and_they_continue_after_space_is_made(
    small_disk, unbroken
):
    workdir, flags = small_disk / "run", ["--config.supernet.checkpoint_every=16"]
    folder = workdir / "supernet" / "checkpoints"
    started = at_work(workdir, updates=16, flags=flags)
    while not (folder / "16").exists():
        assert [process.poll() for process in started] == [None, None]
        time.sleep(0.01)
    filler = fill(small_disk)
    ends = ended(started)
    assert [code for code, _ in ends] == [1, 1]
    for _, says in ends:
        assert f"error: {workdir}/supernet/" in says[-1]
        assert "expected space to write, the disk is full" in says[-1]
    filler.unlink()
    assert any((folder / name).exists() for name in ("16", "32", "48"))
    assert codes(start_two(workdir, *flags)) == [0, 0]
    assert losses(workdir) == unbroken


@pytest.mark.parametrize(
    ("fault", "process", "ends", "says"),
    [
        ("write", 0, [1, 1], "supernet/checkpoints: expected space to write, the disk"),
        ("write", 1, [1, 1], "supernet/checkpoints: expected space to write, the disk"),
        ("finalize", 0, [1, 1], "supernet/checkpoints: expected space to write, the d"),
        ("checksums", 0, [1, 1], "supernet/checkpoints: expected space to write, the "),
        ("results", 0, [1, 1], "RuntimeError: a defect"),
        ("results", 1, [1, 1], "RuntimeError: a defect"),
        ("read", 1, [os.EX_TEMPFAIL, -signal.SIGKILL], "another process has died"),
    ],
)
def test_a_fault_of_one_ends_both(tmp_path, fault, process, ends, says):
    """While a checkpoint is written or read, and after the last stage."""
    flags = ["--config.supernet.steps=8", "--config.supernet.checkpoint_every=4"]
    if fault == "read":
        assert codes(start_two(tmp_path, *flags)) == [0, 0]
        (tmp_path / SUPERNET_RESULT).unlink()
    where = {"FAULT": fault, "WHERE": str(process)}
    both = ended(start_two(tmp_path, *flags, config="tests/faulty_run.py", **where))
    assert [code for code, _ in both] == ends
    for code, lines in both:
        assert code == -signal.SIGKILL or says in lines[-1]
