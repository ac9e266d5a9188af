"""The rows of the evidence: which settings are compared."""

from __future__ import annotations

from typing import Any, NamedTuple

from benchmarks.evidence.judge import BENCHMARK
from benchmarks.evidence.results import Quantity, Results


class Row(NamedTuple):
    """A row of the evidence.

    Attributes:
      title: the method, and what differs from its config.
      flags: of `judge`.
      size: side of the images in pixels.
      reads: the flag of `judge` that names its input.
      benchmark: by whose table it is judged.
    """

    title: str
    flags: tuple[str, ...] = ()
    size: int = 16
    reads: str = "data"
    benchmark: str = BENCHMARK


class Curve(NamedTuple):
    """A learning curve, each point of which is a row.

    Attributes:
      title: the method.
      label: the same, short enough for a picture.
      flags: of `judge`.
      seeds: the number of updates -> the seeds; each training has its own schedule.
      longer: a row of a longer training that is scored in another way, if any.
    """

    title: str
    label: str
    flags: tuple[str, ...]
    seeds: dict[int, str]
    longer: str = ""

    def rows(self, name: str) -> dict[str, Row]:
        """A row for each number of updates."""
        rows = {}
        for updates, seeds in self.seeds.items():
            flags = *self.flags, f"--updates={updates}", f"--seeds={seeds}"
            rows[f"{name}_{updates}"] = Row(f"{self.title}, {updates} updates", flags)
        return rows


def _method(**fields: Any) -> tuple[str, ...]:
    return tuple(f"--config.method.{name}={value}" for name, value in fields.items())


ONE, TWO, THREE = "0", "0,1", "0,1,2"
SHORT = "--updates=1000"
DINAS = ("--method=default",)
EFFECTS = ("--method=main_effect",)
TRAINED = (*EFFECTS, *_method(indicator="main_effect"))  # by the losses in training
LOGITS = ("--method=logit_gamma",)
FROZEN = _method(trainable="all_bn", train_classifier=True)
# Of accuracies: a tenth of the images for a network, and more networks for them.
RECALIBRATED = "--config.search.recalibration_batches=1"
MORE_IMAGES = "--networks=50", "--config.search.recalibration_batches=10"
FEWER_IMAGES = "--networks=100", "--validation=512", RECALIBRATED
SGD = (
    "--config.supernet.optimizer=sgd",
    "--config.supernet.weight_decay=5e-4",
    "--config.supernet.learning_rate=0.05",
    "--config.supernet.reference_batch=64",
)
PAPER = (
    "--config.supernet.optimizer=sgd",
    "--config.supernet.learning_rate=0.25",
    "--config.supernet.reference_batch=512",
)
# A strictly fair update passes three paths of 32 images, a uniform one a third of that.
LONG = {2000: THREE}
FAIR = {250: THREE, 500: THREE, 1000: THREE, 2000: THREE}
UNIFORM = {750: THREE, 1500: THREE, 3000: THREE}
CURVES: dict[str, Curve] = {
    "main_effect": Curve(
        "main effects after training",
        "all weights, after training",
        EFFECTS,
        {1700: THREE},
    ),
    "trained_effect": Curve(
        "main effects in training", "main effects, all weights", TRAINED, FAIR
    ),
    "frozen": Curve(
        "main effects, kernels frozen",
        "main effects, kernels frozen",
        ("--method=frozen",),
        LONG,
    ),
    "frozen_effect": Curve(
        "main effects in training, batch norms alone train",
        "main effects, batch norms alone",
        (*LOGITS, *_method(indicator="main_effect")),
        FAIR,
    ),
    "logit_gamma": Curve("gammas of the logits", "gammas of the logits", LOGITS, FAIR),
    "dinas": Curve("DI-NAS (the default)", "DI-NAS", DINAS, FAIR),
    "bnnas": Curve("BN-NAS", "BN-NAS", ("--method=bnnas",), UNIFORM),
    "fairnas": Curve(
        "FairNAS",
        "FairNAS",
        ("--method=fairnas", *FEWER_IMAGES),
        {250: THREE, 500: THREE},
        longer="fairnas_more_images",
    ),
    "spos": Curve(
        "SPOS",
        "SPOS",
        ("--method=spos", *FEWER_IMAGES),
        {750: THREE, 1500: THREE},
        longer="spos_more_images",
    ),
    "disturbance_immune": Curve(
        "disturbance-immune SPOS",
        "disturbance-immune",
        ("--method=disturbance_immune", *FEWER_IMAGES),
        {750: THREE},
    ),
}
# The same trainings, read by the losses of their paths, which costs nothing more.
ALSO_READ = {"fairnas": 250, "spos": 750, "disturbance_immune": 750}
ROWS: dict[str, Row] = {
    **{
        key: row
        for name, curve in CURVES.items()
        for key, row in curve.rows(name).items()
    },
    **{
        f"{name}_effect": Row(
            f"{CURVES[name].title}, {updates} updates, main effects in training",
            (
                f"--method={name}",
                RECALIBRATED,
                f"--updates={updates}",
                f"--seeds={THREE}",
                *_method(indicator="main_effect", score="sum"),
            ),
        )
        for name, updates in ALSO_READ.items()
    },
    "dinas_candidate": Row(
        "DI-NAS, identity is one more op",
        (*DINAS, *_method(layer_indicator="candidate")),
    ),
    "dinas_shortcut": Row(
        "DI-NAS, batch norm on the skip connection",
        (*DINAS, *_method(layer_indicator="shortcut")),
    ),
    "dinas_tanh": Row("DI-NAS with tanh", (*DINAS, *_method(activation="tanh"))),
    "dinas_looks_linear": Row(
        "DI-NAS from looks-linear kernels", (*DINAS, *_method(kernels="looks_linear"))
    ),
    "dinas_he": Row(
        "DI-NAS from `he_fan_out`", (*DINAS, *_method(kernels="he_fan_out"))
    ),
    "paper": Row("DI-NAS by the recipe of the paper", (*DINAS, *PAPER)),
    "he": Row(
        "main effects in training, kernels start as `he_fan_out`",
        (*TRAINED, f"--seeds={TWO}", SHORT, *_method(kernels="he_fan_out")),
    ),
    "classifier": Row(
        "main effects in training, all BNs train, kernels and classifier frozen",
        (*TRAINED, SHORT, *_method(trainable="all_bn")),
    ),
    "uniform": Row(
        "main effects in training, uniform sampling, three times the updates",
        (*TRAINED, "--updates=3000", *_method(sampling="uniform")),
    ),
    "sgd": Row("main effects in training, SGD", (*TRAINED, SHORT, *SGD)),
    "frozen_measured": Row(
        "main effects after training, batch norms alone train, 2000 updates",
        (*LOGITS, *_method(indicator="measured_effect"), f"--seeds={THREE}"),
    ),
    "frozen_shift": Row(
        "main effects in training, kernels frozen, drawn one by one",
        (*TRAINED, f"--seeds={THREE}", *FROZEN),
    ),
    **{
        f"{name}_more_images": Row(
            f"{CURVES[name].title}, {updates} updates, ten times the images a network",
            (f"--method={name}", f"--updates={updates}", *MORE_IMAGES),
        )
        for name, updates in (("fairnas", 1000), ("spos", 3000))
    },
    **{
        name: Row(title, (f"--combine=sum_log_rank:{name}",), 32, "columns")
        for name, title in (
            ("swap", "`swap`, without training"),
            ("expressivity", "`expressivity`, without training"),
            ("swap+expressivity", "`swap` + `expressivity`, without training"),
        )
    },
}


def curve_rows(kept: Results) -> dict[str, list[dict[str, Quantity]]]:
    """The rows of each learning curve that are there, from short to long."""
    found = {
        name: [kept[row] for row in (*curve.rows(name), curve.longer) if row in kept]
        for name, curve in CURVES.items()
    }
    return {name: rows for name, rows in found.items() if rows}
