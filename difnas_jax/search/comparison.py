"""What the algorithms found, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from difnas_jax.search.candidates import Candidates


def compare(
    found: Mapping[str, Candidates],
    evaluated: Mapping[str, int],
    seconds: Mapping[str, float],
) -> list[dict[str, Any]]:
    """One row for each algorithm.

    Args:
      found: by name of the algorithm, the candidates with a finite score, best first.
      evaluated: how many candidates each evaluated.
      seconds: wall time of each.

    Returns:
      Rows with `algorithm`, the columns of the best network (`score`, `macs`, ...),
      `evaluated` candidates, wall `seconds`, `regret` (score of the optimum minus this
      one) and `share` (how much of the way from the mean of random search to the
      optimum this is, 1 at the optimum). Regret needs `exact` and share also `random`,
      otherwise they are None.
    """
    optimum = found["exact"].scores[0] if "exact" in found else None
    mean = found["random"].scores.mean() if "random" in found else None
    rows = []
    for name, candidates in found.items():
        score = candidates.scores[0]
        regret = share = None
        if optimum is not None:
            regret = float(optimum - score)
        if optimum is not None and mean is not None and optimum > mean:
            share = float((score - mean) / (optimum - mean))
        rows.append(
            {
                "algorithm": name,
                **candidates.row(0),
                "evaluated": evaluated[name],
                "seconds": round(seconds[name], 3),
                "regret": regret,
                "share": share,
            }
        )
    return rows
