"""Worker processes: what travels, where, and how they end."""

import os
import subprocess
import sys
from types import SimpleNamespace

import jobs
import numpy as np
import pytest
from PIL import Image

from difnas_jax import data
from difnas_jax.config import default
from difnas_jax.data import workers
from difnas_jax.errors import InputError, TrainingError


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Images of two classes."""
    root, rng = tmp_path_factory.mktemp("tree"), np.random.default_rng(0)
    for split in ("train", "test"):
        for name in "ab":
            (root / split / name).mkdir(parents=True)
            for index in range(8):
                pixels = rng.integers(256, size=(9, 10, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{index}.png")
    return root


def config_of(tree, size=8):
    config = default()
    config.data.update(source="folder", path=str(tree), workers=2, lighting=0.1)
    config.data.update(mean=(0.5,) * 3, std=(0.25,) * 3, flip=True, crop_padding=1)
    config.space.update(image_size=size, image_channels=3, num_classes=2)
    return config


def batches_of(tree, size=8):
    config = config_of(tree, size)
    train = data.load(config).train
    return data.TrainBatches.of(config, train, batch_size=8)


def test_what_travels_is_small(tree):
    """A quarter of the batch, and the rest is done after it, to the bit."""
    batches = batches_of(tree)
    raw, batch = batches.raw(3), batches[3]
    assert raw["image"].dtype == np.uint8
    assert raw["image"].nbytes == batches.image_bytes == batch["image"].nbytes // 4
    finished = batches.finished(raw)
    assert finished.keys() == batch.keys() == {"image", "label"}
    assert finished["image"].tobytes() == batch["image"].tobytes()


def memory(free):
    """What the system says of a file system."""
    return lambda path: SimpleNamespace(f_bavail=free, f_frsize=1)


def test_too_little_shared_memory_is_refused(tree, monkeypatch):
    """Before the run: room for a training, and for an evaluation in its course."""
    batches = batches_of(tree)
    needed = 2 * (4 * 2 + 2) * batches.image_bytes
    monkeypatch.setattr(os, "statvfs", memory(needed))
    workers.check_shared_memory(2, batches.image_bytes)
    monkeypatch.setattr(os, "statvfs", memory(needed - 1))
    workers.check_shared_memory(1, batches.image_bytes)
    workers.check_shared_memory(0, 10**12)
    with pytest.raises(InputError, match="data.workers: expected.*2 workers, ") as e:
        data.check(config_of(tree), batch_sizes={"retrain.batch_size": 8})
    assert all(way in str(e.value) for way in ("--shm-size", "medium: Memory", " 0 "))
    monkeypatch.setattr(workers, "SHARED", tree / "elsewhere")  # not on this system
    workers.check_shared_memory(2, batches.image_bytes)


SCRIPT = """
import sys
from multiprocessing import resource_tracker
sys.path.insert(0, {tests!r})
from test_workers import batches_of
from difnas_jax import data

kept = []

def main():
    resource_tracker.ensure_running()  # whose warnings are seen
    batches = batches_of({tree!r}, size=64)
    alone = [batches[step] for step in range(5)]
    def same(loader):
        return all(
            batch[name].tobytes() == values.tobytes()
            for batch, one in zip(loader, alone) for name, values in one.items()
        )
    with data.Loader(batches, range(100)) as loader:
        print("left early:", same(loader))
        kept.extend([loader, next(loader)])  # until Python ends

if __name__ == "__main__":
    main()
"""


def run(script, folder):
    (folder / "script.py").write_text(script)
    command = [sys.executable, str(folder / "script.py")]
    environment = {**jobs.environment(), "PYTHONPATH": str(jobs.ROOT)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=200
    )


def test_batches_are_the_same_and_nothing_is_left(tree, tmp_path):
    """Of a loader that is left early; to the end see `test_streams.py`.

    Python would warn of shared memory that nobody has freed.
    """
    script = SCRIPT.format(tree=str(tree), tests=str(jobs.ROOT / "tests"))
    done = run(script, tmp_path)
    assert done.stdout.splitlines() == ["left early: True"]
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize(
    ("code", "words"),
    [(-7, "/dev/shm is full"), (-9, "out of memory"), (1, "says is above")],
)
def test_a_worker_that_dies_is_one_line(tree, monkeypatch, code, words):
    """What Grain says of it; below a worker really ends, with code 1."""

    def dies():
        raise RuntimeError(f"Worker ended with exit code {code}. Search the logs.")

    batches = workers.WorkerBatches(batches_of(tree), range(3))
    monkeypatch.setattr(batches, "_raw", map(lambda _: dies(), range(1)))
    expected = rf"data.workers: a process .* ended \({code}\): .*{words}.* same command"
    with pytest.raises(TrainingError, match=expected) as error:
        next(batches)
    assert "\n" not in str(error.value)


WITHOUT_GUARD = """
import sys
sys.path.insert(0, {tests!r})
from test_workers import batches_of
from difnas_jax import data
from difnas_jax.data.workers import check_workers

check_workers(2)
with data.Loader(batches_of({tree!r}), range(5)) as loader:
    next(loader)
"""


def test_a_script_without_a_main_guard_is_told_so(tree, tmp_path):
    script = WITHOUT_GUARD.format(tree=str(tree), tests=str(jobs.ROOT / "tests"))
    done = run(script, tmp_path)
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) in (1, 2)  # of each worker that has come so far
    assert "if __name__ == '__main__'" in said[0]
    *_, last = done.stderr.splitlines()
    assert last.startswith("difnas_jax.errors.TrainingError: data.workers: a process")
    assert "has ended (1): what it says is above" in last and "leaked" not in last
