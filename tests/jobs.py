"""Processes of the program, and what tests need to know of their own."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Less work for the compiler: the programs of tests run for milliseconds. A jaxlib that
# does not know one of these flags says so.
QUICK = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)


def environment(**variables):
    """That of this process, without the variables of devices and processes.

    A variable that is None is left out.
    """
    names = ("XLA_FLAGS", "JAX_COORDINATOR_ADDRESS", "JAX_PROCESS_ID")
    ours = {name: value for name, value in os.environ.items() if name not in names}
    ours |= {"XLA_FLAGS": QUICK, "JAX_PLATFORMS": "cpu", **variables}
    return {name: value for name, value in ours.items() if value is not None}


def fill(folder, leave=0):
    """Use up all space of a file system but some; returns the file that does."""
    path = folder / "filler"
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    os.truncate(path, path.stat().st_size - leave)
    return path


def threads():
    """Those of this process, but for those of tqdm, which outlive its bars.

    Compare by `<=`: threads that an earlier test has left may end at any time.
    """
    return {t for t in threading.enumerate() if "TMonitor" not in type(t).__name__}


def free_port():
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(workdir, *flags, config="tests/tiny_run.py", **variables):
    """A process that trains the supernet of a config for 64 updates."""
    path = f"tests:{os.environ.get('PYTHONPATH', '')}"
    return subprocess.Popen(
        [sys.executable, "-m", "difnas_jax.main"]
        + [f"--config={config}", f"--workdir={workdir}"]
        + ["--config.stages=supernet", "--config.supernet.steps=64"]
        + ["--config.supernet.checkpoint_every=32", *flags],
        cwd=ROOT,
        env=environment(PYTHONPATH=path, **variables),
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(workdir, *flags, **variables):
    """Two processes of one run; see `start`."""
    variables["JAX_COORDINATOR_ADDRESS"] = f"127.0.0.1:{free_port()}"
    variables["JAX_NUM_PROCESSES"] = "2"
    return [
        start(workdir, "--distributed", *flags, JAX_PROCESS_ID=str(number), **variables)
        for number in range(2)
    ]


def ended(started):
    """Exit code and the lines of stderr of each."""
    try:
        errors = [process.communicate(timeout=300)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    return [
        (process.returncode, text.splitlines())
        for process, text in zip(started, errors, strict=True)
    ]


def codes(started):
    """Exit codes."""
    return [code for code, _ in ended(started)]
