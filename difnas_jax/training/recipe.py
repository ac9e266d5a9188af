"""How a network trains: the columns of a method beside a training section."""

from __future__ import annotations

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from difnas_jax.training.fates import Fates, fates_of
from difnas_jax.training.memory import MEMORIES, Remembers


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network trains.

    Attributes:
      settings: a training section of the config, `supernet` or `retrain`.
      seed: of all random streams.
      trainable: key of `fates.TRAINABLE`.
      train_classifier: see `fates.fates_of`.
      batch_sharing: key of `steps.BATCH_SHARING`.
      placement: key of `placements.PLACEMENTS`.
      memory: key of `memory.MEMORIES`.
    """

    settings: ConfigDict
    seed: int
    trainable: str
    train_classifier: bool
    batch_sharing: str
    placement: str
    memory: str

    @classmethod
    def of_supernet(cls, config: ConfigDict) -> Recipe:
        """What the method of the config does with a supernet."""
        return cls(
            settings=config.supernet,
            seed=config.seed,
            trainable=config.method.trainable,
            train_classifier=config.method.train_classifier,
            batch_sharing=config.method.batch_sharing,
            placement=config.supernet.placement,
            memory=config.method.memory,
        )

    @classmethod
    def of_retraining(cls, config: ConfigDict) -> Recipe:
        """A found network: one path, all weights, nothing to remember."""
        return cls(
            settings=config.retrain,
            seed=config.seed,
            trainable="all",
            train_classifier=True,
            batch_sharing="same",
            placement="batch",
            memory="nothing",
        )

    @property
    def remembers(self) -> Remembers:
        """What is remembered of every update."""
        return MEMORIES[self.memory]

    def fates(self, params: Any) -> Fates:
        """The fate of every leaf of a tree with all parameters."""
        return fates_of(params, self.trainable, self.train_classifier)
