"""The gammas of a supernet in the course of its training, for TensorBoard."""

import dataclasses
from typing import Any

import numpy as np

from difnas_jax.report import figures
from difnas_jax.scoring.indicators import INDICATORS, Evidence, gamma, raw_gammas
from difnas_jax.spaces.base import SearchSpace


@dataclasses.dataclass(frozen=True)
class GammaViews:
    """What is shown of the gammas, the scales of the last batch norms of the ops.

    Attributes:
      space: the searched space.
    """

    space: SearchSpace

    def __call__(self, params: Any, draws: bool) -> dict[str, dict[str, Any]]:
        """The arguments of `runtime.events.EventFile.write`.

        Args:
          params: of the supernet.
          draws: whether to draw the table, layers x ops, which takes a few tenths of a
            second.

        Returns:
          By op, the mean of |gamma| over its layers and the histogram of the gammas of
          all its channels. Nothing of a space without batch norms.
        """
        paths = np.empty((0, 0, self.space.num_layers), np.int32)
        evidence = Evidence(params, paths, memory={}, space=self.space)
        table, found = gamma(evidence), raw_gammas(evidence)
        scalars, histograms, pictures = {}, {}, {}
        for index, op in enumerate(self.space.ops):
            scales = [found[name] for name in found if name.split("/")[1] == op.name]
            if scales:
                histograms[f"gammas/{op.name}"] = np.concatenate(scales)
                scalars[f"mean_gamma/{op.name}"] = np.nanmean(table[:, index])
        if scalars and draws:
            label = INDICATORS["gamma"].unit
            drawn = figures.indicator_heat_map(table, self.space, label=label)
            pictures["mean_gamma"] = figures.png(drawn)
        return {"scalars": scalars, "histograms": histograms, "pictures": pictures}
