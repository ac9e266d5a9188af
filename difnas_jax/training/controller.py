"""REINFORCE: a policy over paths that learns while the weights of a supernet train.

The paths of the updates are samples of a policy. Every `supernet.reward_every` updates
it learns from a few more: the reward of a path is its accuracy on validation images,
with the shared weights as they are and the statistics of each batch. What a reward is
above a moving average of rewards makes its path more probable (`search/policy.py`).

Source: Williams 1992; ENAS (Pham et al. 2018, arXiv 1802.03268, section 2.2) alternates
between weights and policy in the same way. Of disturbance-immune weight sharing (arXiv
2003.13089) only the abstract is known to us; that it has such a controller is likely.

Ours: an independent distribution for each layer, and no recurrent network; the same
images, evenly spread over the validation split, for every reward; none for entropy.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.data import Examples, Normalizer, evaluation_batches
from difnas_jax.data.base import Dataset
from difnas_jax.models.network import Network
from difnas_jax.runtime import mesh as devices
from difnas_jax.runtime.processes import check_same_arrays
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.training import policy_memory, programs
from difnas_jax.training.evaluate import sums_by_path, sums_of_batches
from difnas_jax.training.paths import Memory

REWARDED = 4  # paths of a step of the policy
MOST_IMAGES = 512  # by which they are rewarded


@dataclasses.dataclass(frozen=True)
class Controller:
    """The policy's part of a training: `Sampler.learn` of the sampler `reinforce`.

    Attributes:
      space: of the paths.
      seed: of the paths that are rewarded.
      reward_every: updates of the weights between two steps of the policy.
      learning_rate: of the policy.
      reward: (variables, paths int[N, L]) -> float64[N].
      mesh: the devices, on each of which the memory is.
    """

    space: SearchSpace
    seed: int
    reward_every: int
    learning_rate: float
    reward: Callable[[dict[str, Any], np.ndarray], np.ndarray]
    mesh: Mesh

    @classmethod
    def of(
        cls,
        config: ConfigDict,
        model: Network,
        params: Any,
        dataset: Dataset[Examples],
        normalizer: Normalizer,
        mesh: Mesh,
    ) -> Self:
        """The controller of a config.

        Args:
          config: of the run.
          model: the supernet.
          params: its parameters, as they are split when it trains.
          dataset: with a validation split.
          normalizer: applied to the images.
          mesh: the devices.
        """
        settings = config.supernet
        validation = dataset.validation_for("method.sampling")
        examples = data.spread_over(validation, MOST_IMAGES)
        batch_size = devices.rounded_up(settings.batch_size)
        rows = devices.own_rows(batch_size, mesh)
        batches = evaluation_batches(examples, batch_size, normalizer, rows)
        program = programs.of_network(
            functools.partial(sums_by_path, model),
            params,
            title="supernet",
            name="the reward of paths",
            model=model,
            batch_size=batch_size,
        )
        return cls(
            space=model.space,
            seed=config.seed,
            reward_every=settings.reward_every,
            learning_rate=settings.policy_learning_rate,
            reward=functools.partial(accuracies, program, list(batches), mesh),
            mesh=mesh,
        )

    def __call__(
        self, done: int, variables: dict[str, Any], memory: Memory
    ) -> tuple[Memory, dict[str, float]]:
        """A step of the policy, if one is due.

        Args:
          done: updates of the weights so far.
          variables: of the supernet.
          memory: see `policy_memory`.

        Returns:
          The memory after it, and of a step the mean `reward` and the `entropy` of the
          policy in nats, a mean over layers.
        """
        if done % self.reward_every:
            return memory, {}
        rng = np.random.default_rng([self.seed, zlib.crc32(b"rewarded"), done])
        policy, baseline = policy_memory.restored(
            memory, self.space, rng, self.learning_rate
        )
        paths = policy.sample(policy.noise(REWARDED))
        check_same_arrays("supernet", {"rewarded paths": paths})
        rewards = self.reward(variables, paths)
        policy.reinforce(paths, baseline.advantages(rewards))
        learned = policy_memory.stored(policy, baseline)
        return (
            {**memory, **devices.replicate(learned, self.mesh)},
            {"reward": float(rewards.mean()), "entropy": policy.entropy()},
        )


def accuracies(
    program: Callable[..., Any],
    batches: list[Any],
    mesh: Mesh,
    variables: dict[str, Any],
    paths: np.ndarray,
) -> np.ndarray:
    """float64[N], 0 to 1, of paths int[N, L], with the statistics of each batch.

    Args:
      program: `sums_by_path` of the supernet, compiled.
      batches: the rows of this process, of `evaluation_batches`.
      mesh: devices over which batches are split.
      variables: of the supernet.
      paths: N of them.
    """
    sums = sums_of_batches(program, variables, batches, paths, mesh)
    return sums["correct"] / sums["examples"]
