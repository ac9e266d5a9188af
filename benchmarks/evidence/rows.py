"""The rows of the evidence: which settings are compared."""

from __future__ import annotations

from typing import Any, NamedTuple


class Row(NamedTuple):
    """A row of the evidence.

    Attributes:
      title: the method, and what differs from its config.
      flags: of `judge`.
      size: side of the images in pixels.
    """

    title: str
    flags: tuple[str, ...] = ()
    size: int = 16


def _method(**fields: Any) -> tuple[str, ...]:
    return tuple(f"--config.method.{name}={value}" for name, value in fields.items())


THREE = "--seeds=0,1,2"
TWO = "--seeds=0,1"
SHORT = "--updates=1000"
FEW = "--networks=50", "--config.search.recalibration_batches=10"
DINAS = ("--method=default",)
EFFECTS = ("--method=main_effect",)
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
ROWS: dict[str, Row] = {
    "dinas": Row("DI-NAS (the default), 2000 updates", (*DINAS, THREE)),
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
    "main_effect": Row("main effects, 2000 updates", (*EFFECTS, THREE)),
    "short": Row("main effects, 1000 updates", (*EFFECTS, TWO, SHORT)),
    "shorter": Row("main effects, 500 updates", (*EFFECTS, TWO, "--updates=500")),
    "shortest": Row("main effects, 250 updates", (*EFFECTS, TWO, "--updates=250")),
    "frozen": Row(
        "main effects, kernels frozen, 2000 updates", ("--method=frozen", THREE)
    ),
    "frozen_short": Row(
        "main effects, kernels frozen, 1000 updates", ("--method=frozen", TWO, SHORT)
    ),
    "bnnas": Row("BN-NAS", ("--method=bnnas", SHORT)),
    "he": Row(
        "main effects, kernels start as `he_fan_out`",
        (*EFFECTS, TWO, SHORT, *_method(kernels="he_fan_out")),
    ),
    "qr": Row(
        "main effects, depthwise kernels start as `qr`",
        (*EFFECTS, SHORT, *_method(depthwise="qr")),
    ),
    "spatial": Row(
        "main effects, only k x k kernels and batch norms train",
        (*EFFECTS, SHORT, *_method(trainable="spatial", train_classifier=True)),
    ),
    "indicator": Row(
        "main effects, only indicator BNs and the classifier train",
        (*EFFECTS, SHORT, *_method(trainable="indicator", train_classifier=True)),
    ),
    "classifier": Row(
        "main effects, all BNs train, kernels and classifier frozen",
        (*EFFECTS, SHORT, *_method(trainable="all_bn")),
    ),
    "uniform": Row(
        "main effects, uniform sampling, three times the updates",
        (*EFFECTS, "--updates=3000", *_method(sampling="uniform")),
    ),
    "candidate": Row(
        "main effects, identity with batch norm",
        (*EFFECTS, SHORT, *_method(layer_indicator="candidate")),
    ),
    "sgd": Row("main effects, SGD", (*EFFECTS, SHORT, *SGD)),
    "he_sgd": Row(
        "main effects, SGD, kernels start as `he_fan_out`",
        (*EFFECTS, SHORT, *SGD, *_method(kernels="he_fan_out")),
    ),
    "fairnas": Row(
        "FairNAS, accuracy of 50 networks",
        ("--method=fairnas", SHORT, *FEW),
    ),
    "spos": Row(
        "SPOS, accuracy of 50 networks",
        ("--method=spos", "--updates=3000", *FEW),
    ),
    "large": Row(
        "main effects at 32 pixels, 500 updates", (*EFFECTS, "--updates=500"), 32
    ),
}
