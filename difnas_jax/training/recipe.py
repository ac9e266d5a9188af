"""How a network trains: the columns of a method, a training section, the supernet.

A method may remember something beside the weights. It lies in `TrainState.memory`, is
saved and resumed with the rest, and is read by later stages. Most methods remember
nothing, and retraining never does.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from difnas_jax.config.build import build_wiring
from difnas_jax.errors import require
from difnas_jax.models.initializers import initialize
from difnas_jax.models.network import Network
from difnas_jax.models.networks import network
from difnas_jax.training.fates import Fates, fates_of, split
from difnas_jax.training.optim import Packing
from difnas_jax.training.paths import (
    SAMPLERS,
    STRICTLY_FAIR,
    Memory,
    Sampler,
    paths_per_update,
)
from difnas_jax.training.projection import UPDATES, Projection

Teach = Callable[[dict[str, Array]], dict[str, Array]]


class Remembers(NamedTuple):
    """One kind of memory.

    Attributes:
      begin: (T updates, K paths) -> the memory before the first update.
      learn: (memory, step, losses of its paths float32[K]) -> the memory after it.
    """

    begin: Callable[[int, int], Memory]
    learn: Callable[[Memory, Array, Array], Memory]


def _begin_path_losses(steps: int, paths: int) -> Memory:
    """`path_losses`: float32[T, K], 0 for updates to come."""
    return {"path_losses": jnp.zeros((steps, paths), jnp.float32)}


def _learn_path_losses(memory: Memory, step: Array, losses: Array) -> Memory:
    kept = memory["path_losses"].at[step, : len(losses)].set(losses)
    return {**memory, "path_losses": kept}


MEMORIES: dict[str, Remembers] = {
    "nothing": Remembers(lambda steps, paths: {}, lambda memory, step, losses: memory),
    # The cross-entropy of every path of every update, in nats.
    "path_losses": Remembers(_begin_path_losses, _learn_path_losses),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network trains.

    Attributes:
      settings: a training section of the config, `supernet` or `retrain`.
      seed: of all random streams.
      trainable: key of `fates.TRAINABLE`.
      train_classifier: see `fates.fates_of`.
      batch_sharing: key of `gradients.BATCH_SHARING`.
      placement: key of `placements.PLACEMENTS`.
      paths_at_once: how many of the K paths of an update run side by side, a divisor of
        K.
      fair: the K paths of an update take each of the M ops of a layer K // M times at
        least.
      memory: key of `MEMORIES`.
      update: key of `projection.UPDATES`.
      method: the section of the config with the settings of that row.
      teach: a batch on the devices -> the same, with a `target` where labels are not
        all that teaches.
    """

    settings: ConfigDict
    seed: int
    trainable: str
    train_classifier: bool
    batch_sharing: str
    placement: str
    paths_at_once: int
    fair: bool
    memory: str
    update: str
    method: ConfigDict
    teach: Teach = lambda batch: batch

    @classmethod
    def of_supernet(cls, config: ConfigDict) -> Self:
        """What the method of the config does with a supernet."""
        return cls(
            settings=config.supernet,
            seed=config.seed,
            trainable=config.method.trainable,
            train_classifier=config.method.train_classifier,
            batch_sharing=config.method.batch_sharing,
            placement=config.supernet.placement,
            paths_at_once=config.supernet.paths_at_once,
            fair=config.method.sampling in STRICTLY_FAIR,
            memory=config.method.memory,
            update=config.method["update"],
            method=config.method,
        )

    @classmethod
    def of_retraining(cls, config: ConfigDict) -> Self:
        """A found network: one path, all weights, nothing to remember."""
        return cls(
            settings=config.retrain,
            seed=config.seed,
            trainable="all",
            train_classifier=True,
            batch_sharing="same",
            placement="batch",
            paths_at_once=1,
            fair=False,
            memory="nothing",
            update="plain",
            method=config.method,
        )

    @property
    def remembers(self) -> Remembers:
        """What is remembered of every update."""
        return MEMORIES[self.memory]

    @property
    def records(self) -> tuple[str, ...]:
        """The collections that the network records in training."""
        return UPDATES[self.update].records

    def projection(self, packing: Packing, total: int) -> Projection:
        """What becomes of the packed updates of a training of so many."""
        return Projection(UPDATES[self.update], packing, self.method, total)

    def memory_before(self, params: Any, total: int, sampler: Sampler) -> Memory:
        """What a training of `total` updates carries along, at its start.

        Args:
          params: nested parameters, or shapes of them.
          total: T.
          sampler: of the paths of an update.
        """
        packing = Packing.of(self.fates(params))
        remembered = self.remembers.begin(total, paths_per_update(sampler))
        projected = self.projection(packing, total).init(params)
        return {**remembered, **sampler.memory, **projected}

    def fates(self, params: Any) -> Fates:
        """The fate of every leaf of a tree with all parameters."""
        return fates_of(params, self.trainable, self.train_classifier)


def build_supernet(config: ConfigDict) -> Network:
    """The supernet that the config describes."""
    wiring = build_wiring(config)
    return network(
        wiring.sampled,
        parallel_identity=wiring.parallel,
        own_skip=wiring.own_skip,
        dropout=0.0,
        dtype=config.supernet.dtype,
        rematerialize=config.supernet.rematerialize,
        activation=config.method.activation,
        logit_gammas=config.method.logit_gammas,
    )


def check_logits(config: ConfigDict) -> None:
    """Refuse to normalise logits that may be the same for all images of a batch.

    Raises:
      InputError: naming the field.
    """
    wiring, on = build_wiring(config), config.method.logit_gammas
    # An identity that is always on passes something, whatever op is beside it.
    fits = wiring.sampled.always_connected or bool(wiring.parallel)
    expected = (
        f"false for space {config.space.name!r}, in which the logits of a path that is "
        "cut off have no variance; use method.indicator = 'measured_effect' there"
    )
    require(fits or not on, "method.logit_gammas", expected, on)


def initial_variables(config: ConfigDict, model: Network) -> dict[str, Any]:
    """The supernet of a config before training, split by the fates of its method.

    `batch_stats` is empty: a supernet keeps no running statistics.
    """
    params = initial_parameters(config, model)
    fates = Recipe.of_supernet(config).fates(params)
    return split({"params": params, "batch_stats": {}}, fates)


def initial_parameters(config: ConfigDict, model: Network) -> dict[str, Any]:
    """All parameters with which the supernet of a config starts, nested."""
    method = config.method
    variables = initialize(
        model,
        config.seed,
        kernels=method.kernels,
        depthwise=method.depthwise,
        block_scale=method.block_scale,
    )
    return variables["params"]


def build_sampler(config: ConfigDict) -> Sampler:
    """The sampler of the paths that train."""
    return SAMPLERS[config.method.sampling](build_wiring(config).sampled)
