"""How much a training trains: updates, images and parameters."""

import dataclasses
import math
from collections import Counter
from typing import Any, Self

import jax
from ml_collections import ConfigDict

from difnas_jax.errors import require
from difnas_jax.runtime.memory import available_memory
from difnas_jax.training.fates import TRAINED, leaves_of, merge
from difnas_jax.training.gradients import BATCH_SHARING
from difnas_jax.training.optim import total_steps
from difnas_jax.training.paths import paths_per_update
from difnas_jax.training.recipe import MEMORIES, Recipe, build_sampler

MOST_UPDATES = 2**31 - 1  # they are counted in int32


@dataclasses.dataclass(frozen=True)
class Amount:
    """The updates of a training.

    Attributes:
      updates: in all.
      paths: K, of one update.
      passes: how often each image of a batch passes through a path.
      batch_size: images of a batch.
      examples: images of the training split.
    """

    updates: int
    paths: int
    passes: int
    batch_size: int
    examples: int

    @classmethod
    def of_supernet(cls, config: ConfigDict, examples: int) -> Self:
        """That of the supernet of a config."""
        paths = paths_per_update(build_sampler(config))
        passes = BATCH_SHARING[config.method.batch_sharing].passes(paths)
        updates = total_steps(config.supernet, examples, passes)
        return cls(updates, paths, passes, config.supernet.batch_size, examples)

    @classmethod
    def of_retraining(cls, config: ConfigDict, examples: int) -> Self:
        """That of one found network."""
        updates = total_steps(config.retrain, examples, passes=1)
        return cls(updates, 1, 1, config.retrain.batch_size, examples)

    @property
    def images(self) -> int:
        """That pass through a path in one update."""
        return self.batch_size * self.passes

    def text(self) -> str:
        """For people."""
        paths = f" and {self.paths} paths" if self.paths > 1 else ""
        images = self.updates * self.images
        return (
            f"{self.updates:,} updates of {self.batch_size:,} images{paths}; "
            f"{images:,} images in all, {images / self.examples:.3g} epochs"
        )


AMOUNTS = {"supernet": Amount.of_supernet, "retrain": Amount.of_retraining}


def check_amount(config: ConfigDict, name: str, examples: int) -> None:
    """Refuse a training that cannot be carried out, before anything is compiled.

    Args:
      config: of the run.
      name: of the training, `supernet` or `retrain`.
      examples: images of the training split.

    Raises:
      InputError: more updates than can be counted, a warm-up without an end, or two
        batches (the one that trains, and the next one) or what the method remembers of
        all updates above the memory that is available.
    """
    amount, settings = AMOUNTS[name](config, examples), config[name]
    field = f"{name}.{'steps' if settings.steps else 'epochs'}"
    expected = f"at most {MOST_UPDATES} updates in all"
    require(amount.updates <= MOST_UPDATES, field, expected, amount.updates)
    warmup = settings.warmup_steps
    expected = f"fewer than the {amount.updates} updates of the training"
    require(warmup < amount.updates, f"{name}.warmup_steps", expected, warmup)
    free = available_memory()
    if free is None:
        return
    batches = 2 * 4 * config.space.image_size**2 * config.space.image_channels
    batches *= settings.batch_size // jax.process_count()
    _check_fits(f"{name}.batch_size", "two batches", batches, free)
    if name == "supernet":
        begin = MEMORIES[config.method.memory].begin
        memory = jax.eval_shape(lambda: begin(amount.updates, amount.paths))
        kept = sum(4 * math.prod(leaf.shape) for leaf in jax.tree.leaves(memory))
        _check_fits(field, f"method.memory = {config.method.memory!r}", kept, free)


def _check_fits(field: str, what: str, needed: int, free: int) -> None:
    fits, got = needed <= free, f"{what} of {needed / 2**30:,.1f} GiB"
    require(fits, field, f"what fits into {free / 2**30:,.1f} GiB of memory", got)


def trained_parameters(recipe: Recipe, variables: dict[str, Any]) -> str:
    """How many parameters train and how many do not, for people.

    Args:
      recipe: of the training.
      variables: of the network, or their shapes.
    """
    params = merge({"frozen": {}, **variables})["params"]
    fates, sizes = leaves_of(recipe.fates(params)), Counter[str]()
    for leaf, value in leaves_of(params).items():
        sizes[fates[leaf]] += math.prod(value.shape)
    trained, total = sizes[TRAINED], sizes.total()
    rest = f"; {total - trained:,} stay as they were drawn" if trained < total else ""
    return f"trains {trained:,} of {total:,} parameters{rest}"
