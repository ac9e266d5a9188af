"""Squared singular values of every op of every space under every initialisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from difnas_jax.isometry.cases import Case, Initialisation, blocks, reduced
from difnas_jax.isometry.singular_values import against_law, flatten, shapes
from difnas_jax.models.initializers import DEPTHWISE_ROLES
from difnas_jax.spaces import SPACES, build
from difnas_jax.spaces.base import Op

Row = dict[str, Any]

INITIALISATIONS: dict[str, Initialisation] = {
    "he": Initialisation("he_fan_out", "qr"),
    **{
        f"orthogonal, {rule}": Initialisation("orthogonal", rule)
        for rule in ("qr", "unit_norm", "shift", "delta")
    },
}


def cases(channels: int, side: int) -> list[tuple[Case, str]]:
    """Every op of every space, once for each activation and stride.

    Args:
      channels: see `reduced`.
      side: see `reduced`.

    Returns:
      The cases, and the names of the spaces that have each.
    """
    found: dict[tuple[Op, str, int], list[str]] = {}
    for name in sorted(SPACES):
        space = build(name, image_size=32, image_channels=3, num_classes=10)
        for op, stride in blocks(space):
            found.setdefault((op, space.activation, stride), []).append(name)
    ordered = sorted(
        found.items(), key=lambda item: (item[0][0].kind, item[0][2], item[0][1])
    )
    return [(reduced(*key, channels, side), " ".join(names)) for key, names in ordered]


def spectra(
    channels: int, side: int, seeds: Sequence[int], say: Callable[[str], None]
) -> list[Row]:
    """Measure all ops under all initialisations.

    Args:
      channels: see `cases`.
      side: see `cases`.
      seeds: of kernels and images.
      say: takes a line of progress.

    Returns:
      A row for each op and initialisation, and the rows of `against_law`: `op`,
      `spaces`, `initialisation` and those.
    """
    rows, all_cases = [], cases(channels, side)
    for number, (case, spaces) in enumerate(all_cases):
        say(f"singular values {number + 1}/{len(all_cases)}: {case.label}")
        for name in _initialisations(case):
            start = {"op": case.label, "spaces": spaces, "initialisation": name}
            found = against_law(case, INITIALISATIONS[name], seeds)
            rows += [start | row for row in found]
    return rows


def _initialisations(case: Case) -> list[str]:
    """Those that differ for the kernels that an op has."""
    roles = {leaf[-2] for leaf in flatten(shapes(case)) if leaf[-1] == "kernel"}
    names = list(INITIALISATIONS)
    return names if roles & {*DEPTHWISE_ROLES} else names[: 1 + bool(roles)]
