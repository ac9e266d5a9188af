"""The same update in PyTorch: as installed, tuned (channels last), or compiled."""

# PyTorch is an extra that the type checker may not find.
# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from ml_collections import ConfigDict
from torch import Tensor, nn

from benchmarks.speed import network
from benchmarks.speed.programs import THREADS, TimedProgram
from benchmarks.speed.torch_network import Network
from difnas_jax.config import default

Classify = Callable[[Tensor], Tensor]


class Form(NamedTuple):
    """Which form of PyTorch runs.

    Attributes:
      memory_format: of weights and feature maps.
      compiled: `torch.compile` of the forward pass of each path, backward included.
    """

    memory_format: torch.memory_format
    compiled: bool = False


FORMS = {
    "": Form(torch.contiguous_format),
    "channels_last": Form(torch.channels_last),
    "compiled": Form(torch.channels_last, compiled=True),
}
# As `OPTIMIZERS` of difnas_jax.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda groups, settings, **options: torch.optim.SGD(
        groups, momentum=settings.momentum, **options
    ),
    "adam": lambda groups, settings, **options: torch.optim.Adam(
        groups, betas=(settings.momentum, 0.99), **options
    ),
}


def build(program: TimedProgram) -> Callable[[np.ndarray], None]:
    """The update of a program: int32[K, L] paths -> nothing, when it is done."""
    return build_on(program, device="cpu")


def build_on(program: TimedProgram, device: str) -> Callable[[np.ndarray], None]:
    """The same on a device, where the update returns before it is done.

    Args:
      program: which update; of its fields `dtype` is that of the convolutions.
      device: `cpu` or `cuda`.
    """
    torch.manual_seed(network.SEED)
    torch.set_num_threads(THREADS)
    space = network.SPACES[program.space]()
    settings = network.settings(program.section, program.batch_size, program.fields)
    form = FORMS[program.variant]
    model = _model(program)
    model.to(device, memory_format=form.memory_format)  # type: ignore[call-overload]
    optimizer = _optimizer(model, settings)
    pixels, targets = map(
        torch.from_numpy, network.noise_batch(space, program.batch_size)
    )
    images = (
        pixels.permute(0, 3, 1, 2)
        .to(device)
        .contiguous(memory_format=form.memory_format)
    )
    labels, smoothing = targets.long().to(device), settings.label_smoothing
    narrow = settings.dtype == "bfloat16"
    classifiers: dict[tuple[int, ...], Classify] = {}

    def classifier(path: tuple[int, ...]) -> Classify:
        if path not in classifiers:
            classify: Any = lambda images: model(images, path)  # noqa: E731
            classifiers[path] = torch.compile(classify) if form.compiled else classify
        return classifiers[path]

    def update(paths: np.ndarray) -> None:
        optimizer.zero_grad()
        for path in paths.tolist():
            with torch.autocast(device, torch.bfloat16, enabled=narrow):
                logits = classifier(tuple(path))(images)
            nn.functional.cross_entropy(
                logits.float(), labels, label_smoothing=smoothing
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
    """That of the section; weight decay on kernels only."""
    trained = [leaf for leaf in model.parameters() if leaf.requires_grad]
    kernels = [leaf for leaf in trained if leaf.ndim > 1]
    others = [leaf for leaf in trained if leaf.ndim == 1]
    groups = [{"params": kernels, "weight_decay": settings.weight_decay}] * bool(
        kernels
    )
    rate = settings.learning_rate * settings.batch_size / settings.reference_batch
    return OPTIMIZERS[settings.optimizer](
        [*groups, {"params": others}], settings, lr=rate
    )


def _clip(model: Network, settings: ConfigDict) -> None:
    if settings.clip_value:
        nn.utils.clip_grad_value_(model.parameters(), settings.clip_value)
    if settings.clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
