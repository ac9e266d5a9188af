"""Searches that learn a distribution over architectures: REINFORCE, Gumbel-softmax."""

import abc
from typing import Any

import numpy as np

from difnas_jax.search.base import Settings
from difnas_jax.search.candidates import Candidates
from difnas_jax.search.evolution import linear_effects
from difnas_jax.search.policy import Baseline, Policy
from difnas_jax.search.population import TRIES
from difnas_jax.search.problem import Problem
from difnas_jax.search.sequential import SequentialSearch

WINDOW, WINDOW_EPSILON = 10, 1e-6  # of the range by which rewards are divided
TEMPERATURES = 10.0, 0.1  # at the first and at the last step


class PolicySearch(SequentialSearch):
    """Visits samples of a policy, and at the end its most probable network.

    The answer is the best of all visited networks; the most probable one is reported
    beside it.
    """

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        """Start with no candidates and an almost uniform policy; see `Algorithm`."""
        super().__init__(problem, settings, seed)
        allowed, rate = problem.space.allowed, settings.policy_learning_rate
        self.policy = Policy(allowed, self._rng, rate)

    @property
    def rounds(self) -> int:
        """The samples and the most probable network."""
        return self._settings.steps + 1

    @property
    def length(self) -> int:
        """The same."""
        return self.rounds

    def other_answers(self) -> dict[str, Candidates]:
        """The most probable network of the policy, the last that was visited."""
        return {"most probable": self.evaluated[self.visited[-1:]].best_first()}

    def learn(self) -> None:
        """Improve the policy by the last visit, if that was a sample."""
        if len(self.visited) <= self._settings.steps:
            self.improve()

    @abc.abstractmethod
    def improve(self) -> None:
        """Change the policy by what is known after the last visit."""

    def propose(self) -> np.ndarray:
        """A sample, after the last one the most probable network; int64[L]."""
        if len(self.visited) == self._settings.steps:
            return self.first_legal(self.policy.most_probable()[None])
        return self.sampled(self.policy.noise(TRIES))

    def sampled(self, noise: np.ndarray) -> np.ndarray:
        """int64[L]: the first legal sample of noise float64[N, L, O]."""
        return self.first_legal(self.policy.sample(noise))

    def state(self) -> dict[str, Any]:
        """All that the rest of the search depends on; see `Algorithm.state`."""
        return {**super().state(), "policy": self.policy.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned; see `Algorithm.restore`."""
        super().restore(state)
        self.policy.restore(state["policy"])


class Reinforce(PolicySearch):
    """REINFORCE with a baseline (Williams 1992) and the reward of TEG-NAS.

    The reward of a visit is the sum over the terms of the score of their change since
    the visit before, each divided by its range over the last 10 visits; 0 at the first
    one. A term without a finite value counts as the worst so far. The baseline is a
    moving average.

    Source: TEG-NAS, arXiv 2108.11939, by its code: 500 steps, Adam at 0.04, momentum
    0.9 of the baseline, logits from 1e-3 N(0, 1).

    Differs from it: samples are within the budget.
    """

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        """Start with an almost uniform policy and no baseline; see `Algorithm`."""
        super().__init__(problem, settings, seed)
        self._baseline = Baseline()

    def improve(self) -> None:
        """Raise the probability of the last visit by its reward above the baseline."""
        rewards = np.array([normalized_change(self._terms())])
        visited = self.evaluated.architectures[self.visited[-1:]]
        self.policy.reinforce(visited, self._baseline.advantages(rewards))

    def _terms(self) -> np.ndarray:
        """float64[T, M] of the T visits; larger is better."""
        terms = self._problem.terms(self.evaluated.columns)[self.visited]
        finite = np.isfinite(terms)
        worst = np.where(finite, terms, np.inf).min(0)
        return np.where(finite, terms, np.where(np.isfinite(worst), worst, 0.0))

    def state(self) -> dict[str, Any]:
        """All that the rest of the search depends on; see `Algorithm.state`."""
        return {**super().state(), "baseline": self._baseline.sums.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned; see `Algorithm.restore`."""
        super().restore(state)
        self._baseline.sums = np.array(state["baseline"], np.float64).reshape(2)


def normalized_change(terms: np.ndarray) -> float:
    """The reward of the last of T visits with terms float64[T, M], larger is better."""
    if len(terms) < 2:
        return 0.0
    recent = terms[-WINDOW:]
    span = recent.max(0) - recent.min(0) + WINDOW_EPSILON
    return float(((recent[-1] - recent[-2]) / span).sum())


class Gumbel(PolicySearch):
    """A policy over single paths that learns through Gumbel-softmax samples; ours.

    TEG-NAS reports a differentiable search (FP-NAS) over its three terms but did not
    release it, and linear regions have no derivative. Here a linear model of the score,
    fitted anew to all networks visited so far, takes the place of the derivative: the
    network that the noise selects is visited, and the policy ascends the model at the
    softmax of the same logits and noise (the straight-through estimator of Jang et al.,
    ICLR 2017), whose temperature falls as in GDAS (Dong and Yang, CVPR 2019). Only
    networks are scored: no supernet that mixes ops is, as in `pruning.Pruning`.
    """

    def sampled(self, noise: np.ndarray) -> np.ndarray:
        """int64[L]: the first legal sample, whose noise is kept for `improve`."""
        samples = self.policy.sample(noise)
        first = self._problem.allows(samples).argmax()
        self._noise = noise[first]
        return self.first_legal(samples[first:])

    def improve(self) -> None:
        """Ascend what a linear model of the score says of the last sample."""
        known = self.evaluated[np.isfinite(self.evaluated.scores)]
        if not len(known):
            return
        num_ops = self._problem.space.num_ops
        effects = linear_effects(known.architectures, known.scores, num_ops)
        hot, cold = TEMPERATURES
        heat = hot + (cold - hot) * len(self.visited) / self._settings.steps
        soft = self.policy.probabilities(self._noise, heat)
        mean = (soft * effects).sum(1, keepdims=True)
        self.policy.ascend(soft * (effects - mean) / heat)
