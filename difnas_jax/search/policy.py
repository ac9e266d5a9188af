"""A policy over architectures that learns from rewards: REINFORCE (Williams 1992).

A search (`policy_search`) and the controller of a supernet (`training/controller.py`)
take the same steps with it; they differ in what a reward is.
"""

from typing import Any

import numpy as np

INITIAL_SCALE = 1e-3
BETAS, ADAM_EPSILON = (0.9, 0.999), 1e-8
BASELINE_MOMENTUM = 0.9


class Policy:
    """A categorical distribution for each layer, whose logits Adam raises.

    Attributes:
      logits: float64[L, O].
    """

    def __init__(
        self, allowed: np.ndarray, rng: np.random.Generator, learning_rate: float
    ) -> None:
        """Start close to the uniform distribution.

        Args:
          allowed: bool[L, O].
          rng: source of all draws.
          learning_rate: of Adam.
        """
        self._allowed, self._rng, self._rate = allowed, rng, learning_rate
        self.logits = INITIAL_SCALE * rng.normal(size=allowed.shape)
        self._moments = np.zeros((2, *allowed.shape))
        self._updates = 0

    def noise(self, count: int) -> np.ndarray:
        """float64[count, L, O]: Gumbel noise, -inf where an op is not allowed."""
        drawn = self._rng.gumbel(size=(count, *self._allowed.shape))
        return np.where(self._allowed, drawn, -np.inf)

    def sample(self, noise: np.ndarray) -> np.ndarray:
        """int64[N, L]: the architectures that noise float64[N, L, O] selects."""
        return (self.logits + noise).argmax(-1)

    def most_probable(self) -> np.ndarray:
        """int64[L]."""
        return np.where(self._allowed, self.logits, -np.inf).argmax(-1)

    def probabilities(
        self, noise: np.ndarray | float = 0.0, heat: float = 1.0
    ) -> np.ndarray:
        """float64[L, O]: softmax of (logits + noise) / heat over the allowed ops."""
        values = np.where(self._allowed, self.logits + noise, -np.inf) / heat
        powers = np.exp(values - values.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    def entropy(self) -> float:
        """The mean over layers, in nats."""
        shares = self.probabilities()
        logarithms = np.log(np.where(shares > 0, shares, 1.0))
        return float(-(shares * logarithms).sum(-1).mean())

    def reinforce(self, architectures: np.ndarray, advantages: np.ndarray) -> None:
        """Make architectures more probable by their advantages: a step of REINFORCE.

        Args:
          architectures: int[N, L], samples of this policy.
          advantages: float64[N], of each its reward above a baseline.
        """
        chosen = np.arange(self._allowed.shape[1]) == architectures[..., None]
        weights = advantages[:, None, None]
        self.ascend((weights * (chosen - self.probabilities())).mean(0))

    def ascend(self, gradient: np.ndarray) -> None:
        """One step of Adam along a gradient float64[L, O], which is to be raised."""
        self._updates += 1
        powers = np.stack((gradient, gradient**2))
        betas = np.array(BETAS)[:, None, None]
        self._moments = betas * self._moments + (1 - betas) * powers
        first, second = self._moments / (1 - betas**self._updates)
        self.logits = self.logits + self._rate * first / (second**0.5 + ADAM_EPSILON)

    def state(self) -> dict[str, Any]:
        """JSON values from which `restore` continues."""
        arrays = {"logits": self.logits.tolist(), "moments": self._moments.tolist()}
        return {**arrays, "updates": self._updates}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned.

        Raises:
          KeyError, TypeError, ValueError: not such a state.
        """
        shape = self._allowed.shape
        self.logits = np.array(state["logits"], np.float64).reshape(shape)
        self._moments = np.array(state["moments"], np.float64).reshape(2, *shape)
        self._updates = int(state["updates"])


class Baseline:
    """A moving average of rewards, the first ones of which count in full.

    Attributes:
      sums: float64[2], the sum of weighted rewards, and of their weights.
    """

    def __init__(self) -> None:
        """Start without rewards."""
        self.sums = np.zeros(2)

    def advantages(self, rewards: np.ndarray) -> np.ndarray:
        """Take the mean of rewards float64[N] into the average.

        Returns:
          float64[N], the rewards above the average.
        """
        kept = BASELINE_MOMENTUM
        latest = np.array((rewards.mean(), 1.0))
        self.sums = kept * self.sums + (1 - kept) * latest
        return rewards - self.sums[0] / self.sums[1]
