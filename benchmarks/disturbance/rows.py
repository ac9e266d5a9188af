"""The rows: which trainings are compared."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

PLAIN = "plain"
UPDATES = (PLAIN, "orthogonal_inputs", "orthogonal_gradients")
SEEDS = (0, 1, 2)


class Method(NamedTuple):
    """A method whose updates are projected or not.

    Attributes:
      title: its name.
      paths: of an update.
      updates: of a training; an op trains as often in all of them.
    """

    title: str
    paths: int
    updates: int

    @property
    def about(self) -> str:
        """The name and how it trains."""
        paths = "one path" if self.paths == 1 else f"{self.paths} paths"
        return f"{self.title}, {self.updates} updates of {paths}"


class Row(NamedTuple):
    """A training, for each of its seeds.

    Attributes:
      title: what is trained.
      method: key of `METHODS`.
      flags: of `benchmarks.evidence.judge`, fields of the config.
      seeds: of the trainings.
      updates: of a training; 0: those of the method.
      aligned: whether the gradients of two paths are compared over the training.
    """

    title: str
    method: str
    flags: tuple[str, ...] = ()
    seeds: tuple[int, ...] = SEEDS
    updates: int = 0
    aligned: bool = False


def _fields(**fields: Any) -> tuple[str, ...]:
    return tuple(f"--config.method.{name}={value}" for name, value in fields.items())


# By the name that `benchmarks.evidence.judge` knows.
METHODS: dict[str, Method] = {
    "spos": Method("SPOS", 1, 1200),
    "fairnas": Method("FairNAS", 3, 400),
    "main_effect": Method("main effects", 3, 400),
}
# A tenth of the training is the warm-up of every projected row that says nothing else.
WARM_UP = 0.1
USUAL_ALPHA = 1.0
ALPHAS = (0.01, 0.1, 1.0, 10.0, 100.0)
# Shares of the training after which the projection begins.
WARM_UPS = (0.0, WARM_UP, 0.3)
# The method of the sensitivity rows, and how many updates they do; that of the rows in
# which gradients are compared, and the checkpoints which that needs.
VARIED, FEWER = "main_effect", 300
VARIED_UPDATE = "orthogonal_inputs"
ALIGNED, ALIGNED_AT = "main_effect", (0, 50, 100, 200, 300, 400)
ALIGNED_FLAGS = (
    "--config.supernet.checkpoint_every=50",
    f"--config.supernet.keep_checkpoints={ALIGNED_AT[-1] // 50}",
)


def row_of(method: str, update: str) -> str:
    """The name of a row of the comparison."""
    return f"{method}_{update}"


def _compared() -> Iterator[tuple[str, Row]]:
    """Every method with every kind of update."""
    for (method, about), update in itertools.product(METHODS.items(), UPDATES):
        chosen = {} if update == PLAIN else {"project_from": WARM_UP}
        title, flags = f"{about.about}, `{update}`", _fields(update=update, **chosen)
        row = Row(title, method, flags)
        aligned = method == ALIGNED and update == PLAIN
        yield row_of(method, update), _aligned(row) if aligned else row


def _batch_norms() -> Iterator[tuple[str, Row]]:
    """Batch norms alone train, as in DI-NAS."""
    title, flags = "main effects, batch norms alone", _fields(trainable="all_bn")
    yield "all_bn", _aligned(Row(title, ALIGNED, flags, SEEDS[:1]))


def _aligned(row: Row) -> Row:
    return row._replace(flags=(*row.flags, *ALIGNED_FLAGS), aligned=True)


def _varied() -> Iterator[tuple[str, Row]]:
    """One seed and fewer updates: alpha, window, forgetting and the decay of alpha."""

    def row(title: str, **fields: Any) -> Row:
        return Row(title, VARIED, _fields(**fields), SEEDS[:1], FEWER)

    yield "varied_plain", row("plain")
    at_usual_start = [(WARM_UP, alpha) for alpha in ALPHAS]
    at_usual_alpha = [(start, USUAL_ALPHA) for start in WARM_UPS if start != WARM_UP]
    for start, alpha in at_usual_start + at_usual_alpha:
        fields = {"update": VARIED_UPDATE, "project_from": start, "alpha": alpha}
        title = f"alpha {alpha:g}, from {start:g} on"
        yield varied_name(alpha, start), row(title, **fields)
    usual = {"update": VARIED_UPDATE, "project_from": WARM_UP}
    for name, value in (
        ("project_until", 0.5),
        ("forgetting", 0.9),
        ("alpha_decay", 0.01),
    ):
        title, fields = f"alpha 1, from {WARM_UP:g} on, {name} {value:g}", dict(usual)
        fields[name] = value
        yield name, row(title, **fields)


def varied_name(alpha: float, start: float) -> str:
    """The name of a sensitivity row."""
    return f"alpha_{alpha:g}_from_{start:g}"


ROWS: dict[str, Row] = dict(itertools.chain(_compared(), _batch_norms(), _varied()))
