"""Runs of the program in processes of their own."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Less work for the compiler: these programs run for milliseconds.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def environment(**variables):
    """That of this process, without the variables of devices and processes."""
    names = ("XLA_FLAGS", "JAX_COORDINATOR_ADDRESS", "JAX_PROCESS_ID")
    ours = {name: value for name, value in os.environ.items() if name not in names}
    return {**ours, "XLA_FLAGS": QUICK, "JAX_PLATFORMS": "cpu", **variables}


def fill(folder, leave=0):
    """Use up all space of a file system but some; returns the file that does."""
    path = folder / "filler"
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    os.truncate(path, path.stat().st_size - leave)
    return path


def start_two(workdir, *flags, config="tests/tiny_run.py", **variables):
    """Two processes that train the supernet of a config for 64 updates."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        subprocess.Popen(
            [sys.executable, "-m", "difnas_jax.main", "--distributed"]
            + [f"--config={config}", f"--workdir={workdir}"]
            + ["--config.stages=supernet", "--config.supernet.steps=64"]
            + ["--config.supernet.checkpoint_every=32", *flags],
            cwd=ROOT,
            env=environment(
                JAX_COORDINATOR_ADDRESS=address,
                JAX_NUM_PROCESSES="2",
                JAX_PROCESS_ID=str(number),
                PYTHONPATH=f"tests:{os.environ.get('PYTHONPATH', '')}",
                **variables,
            ),
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]


def ended(started):
    """Exit code and the lines of stderr of each."""
    errors = [process.communicate(timeout=300)[1] for process in started]
    return [
        (process.returncode, text.splitlines())
        for process, text in zip(started, errors, strict=True)
    ]


def codes(started):
    """Exit codes."""
    return [code for code, _ in ended(started)]
