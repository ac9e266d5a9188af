"""The same updates in PyTorch: channels last, TF32 allowed, cuDNN's benchmarking off.

`torch.compile` makes a program for each path, and the paths of a fair update change: a
compiled supernet is measured on one path that stays.
"""

# PyTorch is an extra that the type checker may not find.
# pyright: reportMissingImports=false
from __future__ import annotations

import itertools
import os

import torch

from benchmarks.gpu.session import Session
from benchmarks.gpu.timing import seconds_of
from benchmarks.speed import network, torch_update


def measure(session: Session) -> None:
    """Record the seconds of the first and of later updates, and the memory."""
    program = session.part.program
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(session.compiled)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = False
    on_gpu = torch.cuda.is_available()
    wait = torch.cuda.synchronize if on_gpu else (lambda: None)
    with session.beside_others(), session.phase("initialize"):
        update = torch_update.build_on(program, "cuda" if on_gpu else "cpu")
        layers = network.SPACES[program.space]().num_layers
        sets = network.path_sets(program.paths, layers)
        arguments = itertools.cycle(list(itertools.islice(sets, 8)))
        wait()
    with session.beside_others(), session.phase("first"):  # compiles, if anything does
        update(next(arguments))
        wait()
    session.alone()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    session.record(**seconds_of(update, wait, arguments, session.small))
    if on_gpu:
        session.record(peak_bytes=torch.cuda.max_memory_allocated())
