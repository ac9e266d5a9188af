"""The rows of the evidence: which settings are compared."""

from __future__ import annotations

from typing import Any, NamedTuple


class Row(NamedTuple):
    """A row of the evidence.

    Attributes:
      title: what differs from the default.
      flags: of `nas_bench_macro`.
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
SGD = (
    "--config.supernet.optimizer=sgd",
    "--config.supernet.weight_decay=5e-4",
    "--config.supernet.learning_rate=0.05",
    "--config.supernet.reference_batch=64",
)
ROWS: dict[str, Row] = {
    "default": Row("default, 2000 updates", (THREE,)),
    "short": Row("default, 1000 updates", (TWO, SHORT)),
    "shorter": Row("default, 500 updates", (TWO, "--updates=500")),
    "shortest": Row("default, 250 updates", (TWO, "--updates=250")),
    "frozen": Row("kernels frozen, 2000 updates", ("--method=frozen", THREE)),
    "frozen_short": Row(
        "kernels frozen, 1000 updates", ("--method=frozen", TWO, SHORT)
    ),
    "paper": Row("DI-NAS as in the paper", ("--method=dinas_paper", SHORT)),
    "paper_rate": Row(
        "likewise, learning rate 0.25 at batch 32",
        ("--method=dinas_paper", SHORT, "--config.supernet.reference_batch=32"),
    ),
    "bnnas": Row("BN-NAS", ("--method=bnnas", SHORT)),
    "he": Row(
        "kernels start as `he_fan_out`", (TWO, SHORT, *_method(kernels="he_fan_out"))
    ),
    "qr": Row("depthwise kernels start as `qr`", (SHORT, *_method(depthwise="qr"))),
    "spatial": Row(
        "only k x k kernels and batch norms train",
        (SHORT, *_method(trainable="spatial")),
    ),
    "indicator": Row(
        "only indicator BNs and the classifier train",
        (SHORT, *_method(trainable="indicator")),
    ),
    "classifier": Row(
        "all BNs train, kernels and classifier frozen",
        (SHORT, *_method(trainable="all_bn", train_classifier=False)),
    ),
    "uniform": Row(
        "uniform sampling, three times the updates",
        ("--updates=3000", *_method(sampling="uniform")),
    ),
    "candidate": Row(
        "identity with batch norm", (SHORT, *_method(layer_indicator="candidate"))
    ),
    "sgd": Row("SGD", (SHORT, *SGD)),
    "he_sgd": Row(
        "SGD, kernels start as `he_fan_out`",
        (SHORT, *SGD, *_method(kernels="he_fan_out")),
    ),
    "fairnas": Row(
        "FairNAS, accuracy of 50 networks",
        ("--method=fairnas", SHORT, *FEW),
    ),
    "spos": Row(
        "SPOS, accuracy of 50 networks",
        ("--method=spos", "--updates=3000", *FEW),
    ),
    "large": Row("default at 32 pixels, 500 updates", ("--updates=500",), 32),
}
