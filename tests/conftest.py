"""Strict surroundings for every test: JAX on the CPU, two virtual devices."""

import atexit
import gc
import os
import shutil
import signal
import subprocess
import tempfile

from jobs import QUICK

os.environ["JAX_PLATFORMS"] = "cpu"  # also of the processes that tests start
# Tests on a host of a TPU pod or in a SLURM job run alone.
os.environ["JAX_NUM_PROCESSES"] = "1"
os.environ["XLA_FLAGS"] = f"{QUICK} --xla_force_host_platform_device_count=2"
# XLA makes as many threads as there are cores, by default. Where two wait, each for the
# other virtual device, these leave some for what they wait for.
os.environ["NPROC"] = "4"
# Tracing makes many objects that stay; scanning them often takes a sixth of the time.
gc.set_threshold(20_000, 20, 50)
# Programs that many tests need are compiled once in a session: its processes share a
# cache of their own. The user's is left alone.
if "PYTEST_XDIST_WORKER" not in os.environ:
    compiled = tempfile.mkdtemp(prefix="difnas_jax_tests_")
    atexit.register(shutil.rmtree, compiled, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import dataclasses  # noqa: E402
import itertools  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402
from unittest.mock import patch  # noqa: E402

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from difnas_jax.main import main  # noqa: E402
from difnas_jax.runtime import shutdown  # noqa: E402
from difnas_jax.spaces import SPACES  # noqa: E402
from difnas_jax.spaces.base import IDENTITY, Op  # noqa: E402
from difnas_jax.spaces.chain import ChainSpace  # noqa: E402
from difnas_jax.spaces.image import ImageLayer  # noqa: E402
from difnas_jax.spaces.mobilenet import digits  # noqa: E402
from difnas_jax.training.log import TrainingLog  # noqa: E402

# A plugin of pytest may have imported JAX, which then has read the environment.
jax.config.update("jax_platforms", "cpu")
# Tests ask their own process to stop. On a busy machine it would be ended while it
# compiles.
shutdown.PATIENCE = 600.0
# A shell has what it starts in the background ignore Ctrl-C, which tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Files that take minutes begin first, so that no worker ends long after the others.
LONG = ("compare", "gpu_benchmark", "hosts", "main", "notebook", "two_processes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which `make test` hands out files; all else stays as it is."""
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG)


TINY_OPS = (
    Op("k3e3", "inverted_residual", 3, 3),
    Op("k5e6", "inverted_residual", 5, 6),
    IDENTITY,
)


@pytest.fixture(scope="module", autouse=True)
def registered_spaces() -> Iterator[None]:
    """A space that a config file registers is gone with the module that read it."""
    with patch.dict(SPACES):
        yield


@pytest.fixture(scope="session")
def tiny() -> ChainSpace:
    """Three layers of two or three ops at 8x8: reduction, normal, normal."""
    space = digits(image_size=8, image_channels=1, num_classes=10)
    layers = (
        ImageLayer(8, 12, 2, ops=(0, 1)),
        ImageLayer(12, 12, 1, ops=(0, 1, 2)),
        ImageLayer(12, 12, 1, ops=(0, 1, 2)),
    )
    fixed = (dataclasses.replace(space.fixed[0], in_channels=8, out_channels=8),)
    return dataclasses.replace(
        space,
        name="tiny",
        stem_channels=8,
        fixed=fixed,
        ops=TINY_OPS,
        layers=layers,
        head_channels=16,
    )


@pytest.fixture
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder from which the paths of the configs are given."""
    monkeypatch.chdir(Path(__file__).parents[1])


@pytest.fixture
def stop_before(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Iterator[int]]:
    """Sends this process a request to stop before some updates.

    They are counted from 0 over all trainings that follow, by the counter returned.
    """

    def ask(*updates: int) -> Iterator[int]:
        wait_for, calls = TrainingLog.wait_for, itertools.count()

        def signalled(self: TrainingLog, batches: Any) -> Any:
            if next(calls) in updates:
                os.kill(os.getpid(), shutdown.SIGNALS[0])
            return wait_for(self, batches)

        monkeypatch.setattr(TrainingLog, "wait_for", signalled)
        return calls

    return ask


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a finished run of `benchmarks/kills/small_run.py`; copy it."""
    workdir = tmp_path_factory.mktemp("small_run") / "run"
    config = Path(__file__).parents[1] / "benchmarks" / "kills" / "small_run.py"
    with patch.dict(SPACES):  # a session begins before `registered_spaces` of a module
        assert main([f"--config={config}", f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture
def rng() -> np.random.Generator:
    """The one source of randomness, so that no test invents a seed."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data beside the checkout."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.exists():
        pytest.skip(f"no public data in {folder}")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small file system cannot be mounted here ({error})")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
