"""The numbers of a row over its seeds, and whether projection keeps what is asked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks.disturbance.rows import METHODS, PLAIN, UPDATES, row_of
from benchmarks.result_files import Results

Run = dict[str, Any]
THIRDS = ("early", "middle", "late")
QUANTITIES = ("loss", "accuracy")
# What is asked of projected updates, where plain ones disturb by more than so many
# standard errors: the share of that disturbance that may be left, and of the loss.
CERTAIN, MOST_LEFT, MOST_LOSS = 3.0, 0.5, 1.02


class Estimate(NamedTuple):
    """A mean and its standard error; NaN where there are too few values."""

    mean: float
    error: float


def moments(values: Sequence[float]) -> list[float]:
    """Number, mean and standard deviation (divided by the number) of some values."""
    n = len(values)
    mean = math.fsum(values) / n if n else 0.0
    square = math.fsum((x - mean) ** 2 for x in values) / n if n else 0.0
    return [n, mean, math.sqrt(square)]


def pooled(parts: Sequence[Sequence[float]]) -> Estimate:
    """The estimate from all values of several sets, of which `moments` are known."""
    n = sum(count for count, _, _ in parts)
    if n == 0:
        return Estimate(math.nan, math.nan)
    mean = sum(count * own for count, own, _ in parts) / n
    square = sum(
        count * ((own - mean) ** 2 + spread**2) for count, own, spread in parts
    )
    return Estimate(mean, math.sqrt(square / n / (n - 1)) if n > 1 else math.nan)


def over_runs(runs: Sequence[Run], *names: str) -> Estimate:
    """The estimate of the number below these names, from the runs that have it."""
    found: list[Any] = list(runs)
    for name in names:
        found = [one[name] for one in found if one.get(name) is not None]
    return pooled([moments(found)])


def disturbance(runs: Sequence[Run], third: str, quantity: str) -> Estimate:
    """Performance disturbance over all architectures that all runs measured."""
    found = [run["disturbance"] for run in runs if "disturbance" in run]
    return pooled([one[third][quantity] for one in found])


def own_score(runs: Sequence[Run]) -> str:
    """By what the method of these runs ranks."""
    return "accuracy" if "accuracy" in runs[0] else "main_effects"


def over_steps(runs: Sequence[Run], field: str) -> dict[str, list[Estimate]]:
    """Of `alignment` or `exchanges`, by kind of weights: over the runs at each step."""
    found = [run[field] for run in runs if field in run]
    kinds = [kind for kind in found[0] if kind != "steps"] if found else []
    return {
        kind: [
            pooled([moments(values)])
            for values in zip(*(one[kind] for one in found), strict=True)
        ]
        for kind in kinds
    }


class Verdict(NamedTuple):
    """One projected update against plain ones in a third of the training.

    Attributes:
      method: key of `METHODS`.
      update: the projection.
      third: of the training.
      quantity: in which the disturbance is measured.
      plain, projected: the disturbance.
      loss: final training loss over that of plain updates.
      tau: tau-b of the method's score less that under plain updates.
    """

    method: str
    update: str
    third: str
    quantity: str
    plain: Estimate
    projected: Estimate
    loss: float
    tau: float

    @property
    def disturbs(self) -> bool:
        """Plain updates disturb, beyond doubt."""
        return self.plain.mean > CERTAIN * self.plain.error

    @property
    def kept(self) -> bool:
        """The projection keeps all that is asked of it."""
        halved = self.projected.mean <= MOST_LEFT * self.plain.mean
        return halved and self.loss <= MOST_LOSS and self.tau >= 0


def verdicts(results: Results) -> Iterator[Verdict]:
    """Every projection of every method that has both rows."""
    for method, update in itertools.product(METHODS, UPDATES):
        names = row_of(method, PLAIN), row_of(method, update)
        if update == PLAIN or any(name not in results for name in names):
            continue
        plain, projected = (results[name]["runs"] for name in names)
        score = own_score(plain)
        losses = [over_runs(runs, "loss").mean for runs in (projected, plain)]
        taus = [over_runs(runs, score, "tau_b").mean for runs in (projected, plain)]
        for third, quantity in itertools.product(THIRDS, QUANTITIES):
            yield Verdict(
                method=method,
                update=update,
                third=third,
                quantity=quantity,
                plain=disturbance(plain, third, quantity),
                projected=disturbance(projected, third, quantity),
                loss=losses[0] / losses[1],
                tau=taus[0] - taus[1],
            )
