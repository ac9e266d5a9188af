"""The same update in PyTorch, as installed or tuned (channels last)."""

# PyTorch is an extra that the type checker may not find.
# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from ml_collections import ConfigDict
from torch import nn

from benchmarks.speed import network
from benchmarks.speed.programs import THREADS, TimedProgram
from benchmarks.speed.torch_network import Network
from difnas_jax.config import default

MEMORY_FORMATS = {
    "": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


def build(program: TimedProgram) -> Callable[[np.ndarray], None]:
    """The update of a program: int32[K, L] paths -> nothing, when it is done."""
    torch.manual_seed(network.SEED)
    torch.set_num_threads(THREADS)
    space = network.SPACES[program.space]()
    settings = network.recipe(program.section, program.batch_size)
    memory_format = MEMORY_FORMATS[program.variant]
    model = _model(program)
    model.to(memory_format=memory_format)  # type: ignore[call-overload]
    optimizer = _optimizer(model, settings)
    pixels, targets = map(
        torch.from_numpy, network.noise_batch(space, program.batch_size)
    )
    images = pixels.permute(0, 3, 1, 2).contiguous(memory_format=memory_format)
    labels, smoothing = targets.long(), settings.label_smoothing

    def update(paths: np.ndarray) -> None:
        optimizer.zero_grad()
        for path in paths.tolist():
            logits = model(images, path)
            nn.functional.cross_entropy(
                logits, labels, label_smoothing=smoothing
            ).backward()
        _clip(model, settings)
        optimizer.step()

    return update


def _model(program: TimedProgram) -> Network:
    """The network; gradients only for what the program trains."""
    retrains = program.section == "retrain"
    model = Network(
        network.SPACES[program.space](),
        running=retrains,
        dropout=default().retrain.dropout if retrains else 0.0,
    )
    for module in model.modules():
        trains = program.trainable == "all" or isinstance(module, nn.BatchNorm2d)
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad = trains
    return model


def _optimizer(model: Network, settings: ConfigDict) -> torch.optim.Optimizer:
    """SGD with momentum; weight decay on kernels only."""
    trained = [leaf for leaf in model.parameters() if leaf.requires_grad]
    kernels = [leaf for leaf in trained if leaf.ndim > 1]
    others = [leaf for leaf in trained if leaf.ndim == 1]
    groups = [{"params": kernels, "weight_decay": settings.weight_decay}] * bool(
        kernels
    )
    return torch.optim.SGD(
        [*groups, {"params": others}],
        lr=settings.learning_rate * settings.batch_size / settings.reference_batch,
        momentum=settings.momentum,
    )


def _clip(model: Network, settings: ConfigDict) -> None:
    if settings.clip_value:
        nn.utils.clip_grad_value_(model.parameters(), settings.clip_value)
    if settings.clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
