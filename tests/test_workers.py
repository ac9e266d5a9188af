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


def batches_of(tree, size=8, batch_size=8):
    config = default()
    config.data.update(source="folder", path=str(tree), workers=2, lighting=0.1)
    config.data.update(mean=(0.5,) * 3, std=(0.25,) * 3, flip=True, crop_padding=1)
    config.space.update(image_size=size, image_channels=3, num_classes=2)
    train = data.load(config).train
    normalizer = data.Normalizer.of(config, train)
    return data.TrainBatches.of(config, train, normalizer, batch_size)


def test_what_travels_is_small(tree):
    """A quarter of the batch, and the rest is done after it, to the bit."""
    batches = batches_of(tree)
    raw, batch = batches.raw(3), batches[3]
    assert raw["image"].dtype == np.uint8
    assert raw["image"].nbytes == batches.image_bytes == batch["image"].nbytes // 4
    finished = batches.finished(raw)
    assert finished.keys() == batch.keys() == {"image", "label"}
    assert finished["image"].tobytes() == batch["image"].tobytes()


def memory(free, total):
    """What the system says of a file system."""
    return lambda path: SimpleNamespace(f_bavail=free, f_blocks=total, f_frsize=1)


def test_too_little_shared_memory_is_said_and_not_used(tree, monkeypatch, capsys):
    batches = batches_of(tree)
    needed = (4 * 2 + 2) * batches.image_bytes
    monkeypatch.setattr(os, "statvfs", memory(needed, needed))
    assert workers._least_shared(batches) == workers.SHARED_BYTES
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(os, "statvfs", memory(needed - 1, 64_000_000))
    assert workers._least_shared(batches) > batches.image_bytes
    (line,) = capsys.readouterr().out.splitlines()
    assert "of its 64 MB" in line and "--shm-size=" in line and "medium: Memory" in line
    workers._least_shared(batches)  # of the next evaluation
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(workers, "SHARED", tree / "elsewhere")  # not on this system
    assert workers._least_shared(batches) == workers.SHARED_BYTES


SCRIPT = """
import multiprocessing, os, signal, sys
sys.path.insert(0, {tests!r})
from test_workers import batches_of, memory
from difnas_jax import data
from difnas_jax.errors import TrainingError

def main():
    batches = batches_of({tree!r}, size=300)  # 2 MB, which are shared
    alone = [batches[step] for step in range(5)]
    def same(loader):
        return all(
            batch[name].tobytes() == values.tobytes()
            for batch, one in zip(loader, alone) for name, values in one.items()
        )
    with data.Loader(batches, range(5)) as loader:
        print("shared:", same(loader))
    with data.Loader(batches, range(100)) as loader:
        print("left early:", same(loader))
    statvfs, os.statvfs = os.statvfs, memory(10**6, 10**6)
    with data.Loader(batches, range(10**6)) as loader:
        print("through pipes:", same(loader))
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)
        try:
            for _ in loader:
                pass
        except TrainingError as error:
            print(error)

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
    """Shared or sent, to the end or not; and a worker that is killed."""
    script = SCRIPT.format(tree=str(tree), tests=str(jobs.ROOT / "tests"))
    done = run(script, tmp_path)
    *lines, death = done.stdout.splitlines()
    assert [line for line in lines if line.endswith(": True")] == [
        "shared: True",
        "left early: True",
        "through pipes: True",
    ]
    assert death.startswith("data.workers: a process that makes batches has ended (-9)")
    assert "out of memory" in death and "data.workers = 0" in death
    assert done.returncode == 0 and "leaked" not in done.stderr, done.stderr


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
