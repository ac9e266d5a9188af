"""What a controller has learned, as arrays of `TrainState.memory`.

Numpy computes the policy in float64, which JAX does not have here, and an advantage of
mere rounding would move Adam by whole steps. So each number is two of float32, itself
and what its rounding leaves. Every step starts from them: a resumed training has the
same bits.
"""

from typing import Any

import numpy as np

from difnas_jax.search.policy import Baseline, Policy
from difnas_jax.spaces.base import SearchSpace

POLICY = "policy"  # the entry of the memory
PAIRS = ("logits", "moments", "baseline")


def first(space: SearchSpace) -> dict[str, Any]:
    """The memory of a uniform policy that has learned nothing.

    Returns:
      `policy`, with float32[2, ...] of `logits` [L, O], `moments` [2, L, O] and
      `baseline` [2], and int32[] `updates`, the steps that it took.
    """
    shapes = space.allowed.shape, (2, *space.allowed.shape), (2,)
    zeros = [np.zeros((2, *shape), np.float32) for shape in shapes]
    return {POLICY: {**dict(zip(PAIRS, zeros, strict=True)), "updates": np.int32(0)}}


def restored(
    memory: dict[str, Any],
    space: SearchSpace,
    rng: np.random.Generator,
    learning_rate: float,
) -> tuple[Policy, Baseline]:
    """The policy and the baseline in a memory; `rng` draws its samples."""
    values = {name: joined(memory[POLICY][name]) for name in PAIRS}
    policy, baseline = Policy(space.allowed, rng, learning_rate), Baseline()
    policy.restore({**values, "updates": memory[POLICY]["updates"]})
    baseline.sums = values["baseline"]
    return policy, baseline


def stored(policy: Policy, baseline: Baseline) -> dict[str, Any]:
    """The inverse of `restored`."""
    values = {**policy.state(), "baseline": baseline.sums}
    pairs = {name: halves(np.asarray(values[name])) for name in PAIRS}
    return {POLICY: {**pairs, "updates": np.int32(values["updates"])}}


def halves(values: np.ndarray) -> np.ndarray:
    """float32[2, ...]: float64[...] rounded, and what that leaves."""
    near = values.astype(np.float32)
    return np.stack((near, (values - near).astype(np.float32)))


def joined(pair: Any) -> np.ndarray:
    """float64[...] of float32[2, ...]."""
    return np.asarray(pair, np.float64).sum(0)


def in_words(space: SearchSpace, memory: dict[str, Any]) -> dict[str, Any]:
    """What a training learned about paths, as JSON values; empty without a controller.

    Returns:
      `policy`: the most probable `architecture` and its `ops`, the `probabilities`
      [L, O], their `entropy` (nats, mean over layers), and the `updates` of the policy.
    """
    if POLICY not in memory:
        return {}
    policy, _ = restored(memory, space, np.random.default_rng(0), 0.0)
    architecture = space.validate(policy.most_probable().tolist())
    return {
        POLICY: {
            "architecture": list(architecture),
            "ops": list(space.op_names(architecture)),
            "probabilities": policy.probabilities().tolist(),
            "entropy": policy.entropy(),
            "updates": int(memory[POLICY]["updates"]),
        }
    }
