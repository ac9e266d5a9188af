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
      flags: by what it ranks, where that is not what its config says.
    """

    title: str
    paths: int
    updates: int
    flags: tuple[str, ...] = ()

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
      by_kind: whether kinds of weights are compared over the training.
    """

    title: str
    method: str
    flags: tuple[str, ...] = ()
    seeds: tuple[int, ...] = SEEDS
    updates: int = 0
    by_kind: bool = False


def _fields(**fields: Any) -> tuple[str, ...]:
    return tuple(f"--config.method.{name}={value}" for name, value in fields.items())


EFFECTS = _fields(indicator="main_effect", score="sum")
# By the name that `benchmarks.evidence.judge` knows.
METHODS: dict[str, Method] = {
    "spos": Method("SPOS", 1, 1200),
    "fairnas": Method("FairNAS", 3, 400),
    "main_effect": Method("main effects", 3, 400, EFFECTS),
}
# A tenth of the training is the warm-up of every projected row that says nothing else.
WARM_UP = 0.1
USUAL_ALPHA = 1.0
ALPHAS = (0.01, 0.1, 1.0, 10.0, 100.0)
# Shares of the training after which the projection begins.
WARM_UPS = (0.0, WARM_UP, 0.3)
# The method of the sensitivity rows, and how many updates they do.
VARIED, FEWER = "main_effect", 300
VARIED_UPDATE = "orthogonal_inputs"
# Updates between the checkpoints of the rows that compare kinds of weights; those at
# which gradients are compared, and those from which weights are exchanged with the
# next checkpoint. A training that is stopped and goes on keeps one more each time.
SPACING = 50
ALIGNED_AT, EXCHANGED_AT = (0, 100, 200, 400), (50, 100, 200, 300)
BY_KIND = (
    f"--config.supernet.checkpoint_every={SPACING}",
    f"--config.supernet.keep_checkpoints={2 * ALIGNED_AT[-1] // SPACING}",
)


class Trained(NamedTuple):
    """Which weights train, and at a rate of Adam at which they learn.

    Attributes:
      title: what trains.
      method: fields of that section.
      rate: of all of them.
      kernel_rate: that of the classifier, and of kernels, as a share of it.
    """

    title: str
    method: dict[str, Any]
    rate: float
    kernel_rate: float = 1.0


CLASSIFIER = {"train_classifier": True}
AFFINE: dict[str, Trained] = {
    "affine_all": Trained("all weights train", {"trainable": "all"}, 0.01),
    "affine_none": Trained(
        "all weights but scales and biases train",
        {"trainable": "kernels", **CLASSIFIER},
        0.01,
    ),
    "affine_classifier": Trained(
        "scales, biases and the classifier train",
        {"trainable": "all_bn", **CLASSIFIER},
        0.1,
        kernel_rate=0.03,
    ),
    "affine_only": Trained("scales and biases train", {"trainable": "all_bn"}, 0.1),
    "affine_shared": Trained(
        "scales and biases train, kernels of one response",
        {"trainable": "all_bn", "kernels": "shared_response"},
        0.1,
    ),
}


def row_of(method: str, update: str) -> str:
    """The name of a row of the comparison."""
    return f"{method}_{update}"


def _compared() -> Iterator[tuple[str, Row]]:
    """Every method with every kind of update."""
    for (method, about), update in itertools.product(METHODS.items(), UPDATES):
        chosen = {} if update == PLAIN else {"project_from": WARM_UP}
        title, flags = f"{about.about}, `{update}`", _fields(update=update, **chosen)
        yield row_of(method, update), Row(title, method, flags)


def _affine() -> Iterator[tuple[str, Row]]:
    """With and without trained batch norms, from the same kernels."""
    for name, trained in AFFINE.items():
        rates = (
            f"--config.supernet.learning_rate={trained.rate:g}",
            f"--config.supernet.kernel_rate={trained.kernel_rate:g}",
        )
        flags = (*_fields(depthwise="qr", **trained.method), *rates, *BY_KIND)
        yield name, Row(trained.title, "main_effect", flags, by_kind=True)


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


ROWS: dict[str, Row] = dict(itertools.chain(_compared(), _affine(), _varied()))
