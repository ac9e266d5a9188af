"""Path samplers: which candidates train in an update.

A sampler is a pure function of a key and of what the training has learned about paths,
which for most is nothing; it runs under `jit`, and returns `int32[K, L]`. Streams are
derived from (seed, name, step), so that a resumed run and every host draw the same
paths, and store nothing else.
"""

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.spaces.base import SearchSpace
from difnas_jax.training import policy_memory

Memory = dict[str, Any]  # arrays by name
Learn = Callable[[int, dict[str, Any], Memory], tuple[Memory, dict[str, float]]]


@dataclasses.dataclass(frozen=True, eq=False)
class Sampler:
    """Draws the paths of an update.

    Attributes:
      draw: (key, memory) -> int32[K, L].
      memory: the entries of `TrainState.memory` that it reads, before the first update;
        empty where the paths follow from the key alone.
      learn: called between updates, (updates done, variables, memory) -> the memory
        and metrics; None learns nothing.
    """

    draw: Callable[[Array, Memory], Array]
    memory: Memory = dataclasses.field(default_factory=dict)
    learn: Learn | None = None

    def __call__(self, key: Array) -> Array:
        """int32[K, L]: the paths, while nothing is learned."""
        return self.draw(key, self.memory)


def stream(seed: int, name: str, step: Array | int) -> Array:
    """The random key of stream `name` at `step`."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))
    return jax.random.fold_in(key, step)


def uniform(space: SearchSpace) -> Sampler:
    """One path an update, each op independent and equally likely (SPOS).

    Returns:
      key -> int32[1, L].
    """
    ops, counts = _op_lists(space)

    def sample(key: Array, memory: Memory) -> Array:
        rank = jax.random.randint(key, (space.num_layers,), 0, jnp.asarray(counts))
        return jnp.asarray(ops)[jnp.arange(space.num_layers), rank][None]

    return Sampler(sample)


def strict_fair(space: SearchSpace) -> Sampler:
    """As many paths as the largest layer has ops, each op once (FairNAS).

    A layer with fewer ops than paths repeats ops from further independent
    permutations, at random positions, so that each of its ops is equally likely. With
    equal op counts this is exactly FairNAS. The paper says "the same expectation
    of being selected" and does not give the rule for layers without a layer indicator.

    Returns:
      key -> int32[K, L], K = largest number of ops.
    """
    ops, counts = _op_lists(space)
    paths = int(counts.max())
    rounds = -(-paths // int(counts.min()))
    layers = np.arange(space.num_layers)[:, None]
    positions = np.arange(paths)

    def sample(key: Array, memory: Memory) -> Array:
        draw_key, order_key = jax.random.split(key)
        draws = jax.random.uniform(draw_key, (rounds, *ops.shape))
        absent = jnp.arange(ops.shape[1]) >= counts[:, None]  # [L, O]
        permutations = jnp.where(absent, jnp.inf, draws).argsort(-1)  # [rounds, L, O]
        # Position p of layer l is rank p % count in permutation p // count.
        turn, rank = jnp.divmod(positions, counts[:, None])  # [L, K]
        chosen = jnp.asarray(ops)[layers, permutations[turn, layers, rank]]
        order = jax.random.uniform(order_key, chosen.shape).argsort(-1)
        return jnp.take_along_axis(chosen, order, axis=1).T  # [L, K] -> [K, L]

    return Sampler(sample)


def from_policy(space: SearchSpace) -> Sampler:
    """One path an update, of the policy that a controller teaches (REINFORCE).

    Without `controller.Controller` as its `learn`, it stays uniform.

    Returns:
      (key, memory of `policy_memory`) -> int32[1, L].
    """

    def sample(key: Array, memory: Memory) -> Array:
        logits = memory[policy_memory.POLICY]["logits"][0]  # [2, L, O] -> [L, O]
        masked = jnp.where(space.allowed, logits, -jnp.inf)
        return jax.random.categorical(key, masked).astype(jnp.int32)[None]

    return Sampler(sample, policy_memory.first(space))


def fixed(architecture: tuple[int, ...]) -> Sampler:
    """Always the same single path: a found network in training.

    Returns:
      key -> int32[1, L].
    """
    path = np.asarray(architecture, np.int32)[None]
    return Sampler(lambda key, memory: jnp.asarray(path))


SAMPLERS: dict[str, Callable[[SearchSpace], Sampler]] = {
    "reinforce": from_policy,
    "strict_fair": strict_fair,
    "uniform": uniform,
}

# Those whose K paths take each of the M ops of a layer K // M times at least.
STRICTLY_FAIR = frozenset({"strict_fair"})
# Those whose paths follow from more than (seed, step).
LEARNED = frozenset({"reinforce"})


def paths_per_update(sampler: Sampler) -> int:
    """K."""
    return jax.eval_shape(sampler, jax.random.key(0)).shape[0]


def _op_lists(space: SearchSpace) -> tuple[np.ndarray, np.ndarray]:
    """int32[L, O] allowed ops, padded with the first one, and int32[L] counts."""
    counts = np.array([len(layer.ops) for layer in space.layers], np.int32)
    ops = np.array(
        [
            layer.ops + layer.ops[:1] * (space.num_ops - len(layer.ops))
            for layer in space.layers
        ],
        np.int32,
    )
    return ops, counts
