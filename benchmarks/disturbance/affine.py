"""The section of the page on trained scales and biases of batch norms."""

from __future__ import annotations

from benchmarks import markdown
from benchmarks.disturbance.rows import (
    AFFINE,
    ALIGNED_AT,
    EXCHANGED_AT,
    ROWS,
    SPACING,
)
from benchmarks.disturbance.summary import over_steps
from benchmarks.disturbance.tables import shown, table
from benchmarks.result_files import Results

HEADER = """
## Do trained scales and biases disturb?

Main effects, 400 updates of 3 paths, the same orthogonal kernels at the start of all
(`method.depthwise=qr`); what does not train stays as it was drawn, scales at 1 and
biases at 0. Adam at a rate at which the group learns: 0.01 where kernels train; where
they do not 0.1, and 0.003 for the classifier, which diverges at 0.1. Written down
before the first training:

- *Ning et al.* (NeurIPS 2021), who advise against trained scales and biases in a
  supernet, predict: (1) of all kinds of weights, the gradients of scales agree least
  between two paths; (2) training all weights but scales and biases disturbs less than
  training all; (3) it ranks at least as well, and scales and biases alone rank worst.
- *The isometry argument* of DI-NAS predicts: (1) frozen orthogonal kernels keep the
  gradients of paths alike, so those of scales agree at least as well there as those of
  kernels where all weights train; (2) scales and biases alone disturb at most half as
  much as all weights; (3) they rank at least as well.

Of the last row, written down after the first seed of the others and before it trained:
if the gradients of scales agree little because frozen kernels that are drawn
independently give every path a basis of its own, kernels of one response
(`method.kernels=shared_response`) at least double their cosine.

"""
COSINES = """
Cosine between the gradients of two paths on the same images, by update: mean over pairs
of paths and the weights that both have, whether or not they train; `±` is over seeds.

"""
EXCHANGES = f"""
Loss of the paths of an update when some weights have the values of {SPACING} updates
later and all others those right after it, less the loss with the latter alone; on the
same training images, in thousandths, by update; `±` is over seeds. Positive is
disturbed.

"""


def section(results: Results) -> list[str]:
    """The lines of the section.

    Args:
      results: by row, as `disturbance.json` has them.
    """
    aligned = _over_steps(results, "alignment", 3, 1.0)
    exchanged = _over_steps(results, "exchanges", 1, 1e3)
    return [
        HEADER,
        *table(results, list(AFFINE)),
        COSINES,
        *markdown.head(("row", "gradients of", *map(str, ALIGNED_AT))),
        *aligned,
        EXCHANGES,
        *markdown.head(("row", "exchanged", *map(str, EXCHANGED_AT))),
        *exchanged,
    ]


def _over_steps(results: Results, field: str, digits: int, scale: float) -> list[str]:
    """A row for each kind of weights, with its value at each step."""
    return [
        markdown.row(
            (ROWS[name].title, kind, *(shown(v, digits, scale) for v in values))
        )
        for name in AFFINE
        if name in results
        for kind, values in over_steps(results[name]["runs"], field).items()
    ]
