"""Scores of many candidates in parts, between which a run can stop."""

import time
from collections.abc import Mapping

import numpy as np

from difnas_jax.runtime import shutdown
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.progress import BETWEEN_LINES
from difnas_jax.search.algorithms import Score


def in_parts(score: Score, size: int, title: str) -> Score:
    """The same score, of so many candidates at a time.

    Args:
      score: that of a candidate depends on no other.
      size: candidates between two looks for a signal; 0 takes all at once.
      title: of the lines that say how far a long call is.

    Returns:
      What scores in parts. A signal raises `Stopped`; the parts that it has scored are
      lost.
    """

    def scored(asked: np.ndarray) -> Mapping[str, np.ndarray]:
        step, shown, found = size or len(asked), time.monotonic(), []
        for start in range(0, len(asked), step):
            if start:
                shutdown.raise_if_stop_requested()
            if time.monotonic() - shown > BETWEEN_LINES:
                say(f"{title}: scored {start} of {len(asked)}")
                shown = time.monotonic()
            found.append(score(asked[start : start + step]))
        return {
            name: np.concatenate([part[name] for part in found]) for name in found[0]
        }

    return scored
