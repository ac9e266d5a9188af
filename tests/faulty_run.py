"""The config of `tiny_run`, with a fault in one process: `FAULT` in that of `WHERE`."""

import errno
import os
import signal

import orbax.checkpoint as ocp
import tiny_run

from difnas_jax.runtime import files
from difnas_jax.runtime.results import Results


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a file")


class Failing:
    """A future of something that finds no space."""

    def result(self, timeout=None):
        full_disk()

    def cancel(self):
        return None


async def failing(*_, **__):
    return [Failing()]


def defect(*_):
    raise RuntimeError("a defect")


def death(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


FAULTS = {
    "write": (ocp.StandardCheckpointHandler, "async_save", failing),
    "finalize": (ocp.StandardCheckpointHandler, "finalize", full_disk),
    "checksums": (files, "checksums", full_disk),
    "read": (ocp.CheckpointManager, "restore", death),
    "results": (Results, "of", defect),
}


def get_config(arg=None):
    if os.environ["JAX_PROCESS_ID"] == os.environ["WHERE"]:
        owner, name, fault = FAULTS[os.environ["FAULT"]]
        setattr(owner, name, fault)
    return tiny_run.get_config(arg)
