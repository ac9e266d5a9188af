"""Diagrams of a found network, by the kind of its space."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import patches
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path

from difnas_jax.report import figures
from difnas_jax.report.figures import BLUE, DASHED, INK, LINE, MUTED, STRONGEST, panel
from difnas_jax.spaces.base import IDENTITY, Op, SearchSpace
from difnas_jax.spaces.cell import ZERO, CellSpace
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.dense import DenseSpace
from difnas_jax.spaces.image import strided


@functools.singledispatch
def network_diagram(space: SearchSpace, architecture: Sequence[int]) -> Figure:
    """The found network.

    Args:
      space: the search space.
      architecture: L op indices.
    """
    raise NotImplementedError(type(space))


@network_diagram.register
def _(space: ChainSpace, architecture: Sequence[int]) -> Figure:
    """From the stem on top to the classifier at the bottom.

    Boxes are as wide as the square root of their output channels and as strong in
    colour as their kernel is large; a dropped layer is a dashed outline.
    """
    parts = _parts(space, architecture)
    figure, axes = panel(0.6 + 0.3 * len(parts))
    axes.set(xlim=(-1.1, 1.85), ylim=(len(parts) - 0.4, -0.6))
    axes.set_axis_off()
    between = np.arange(len(parts) - 1)
    axes.vlines(0 * between, between + 0.36, between + 0.64, MUTED, lw=1.2)
    widest = max(part.channels for part in parts)
    for row, part in enumerate(parts):
        _draw_part(axes, row, part, float(np.sqrt(part.channels / widest)))
    kernels = {op.kernel for op in space.ops if op.kind != IDENTITY.kind}
    legend = {f"{k} × {k}": _of_kernel(k) for k in sorted(kernels)}
    legend["not searched"] = NOT_SEARCHED
    handles = [patches.Patch(label=label, **fill) for label, fill in legend.items()]
    above = {**figures.ABOVE, "ncols": len(handles), "columnspacing": 1.0}
    figure.legend(handles=handles, title="kernel", **above)
    return figure


@network_diagram.register
def _(space: CellSpace, architecture: Sequence[int]) -> Figure:
    """The cell from its input on the left to its output; the stages as the title.

    An edge with the zero op is dashed.
    """
    figure, axes = panel(3.4)
    axes.set(xlim=(-0.3, space.num_nodes - 0.7), ylim=(-1.1, 1.6))
    axes.set_axis_off()
    for (source, target), op in zip(space.edges, architecture, strict=True):
        _draw_edge(axes, source, target, space.ops[op])
    style = {"color": "white", "zorder": 3, **figures.CENTRED}
    for node in range(space.num_nodes):
        circle = {"boxstyle": "circle", "facecolor": BLUE, "edgecolor": "none"}
        axes.text(node, 0, str(node), bbox=circle, **style)
    stages = zip(space.channels, space.stage_sizes, strict=True)
    captions = [f"{space.cells} cells, {size} × {size} × {c}" for c, size in stages]
    axes.set_title("\n→ ".join(captions), size="medium", color=MUTED)
    return figure


@network_diagram.register
def _(space: DenseSpace, architecture: Sequence[int]) -> Figure:
    """From the image on top to the classifier; an arc is a skip.

    A layer that is left out is not drawn.
    """
    ops = [space.ops[op] for op in architecture]
    layers = [
        (op.activation, op.skip, layer.out_channels)
        for op, layer in zip(ops, space.layers, strict=True)
        if op.kind != IDENTITY.kind
    ]
    figure, axes = panel(0.4 + 0.4 * (len(layers) + 2))
    axes.set(xlim=(-1, 1), ylim=(len(layers) + 1.6, -0.6))
    axes.set_axis_off()
    axes.plot((0, 0), (0, len(layers) + 1), color=MUTED, lw=1.2, zorder=0)
    inputs, outputs = space.layers[0].in_channels, space.num_classes
    rows = [("image", False, inputs), *layers, ("classifier", False, outputs)]
    for row, (name, skip, units) in enumerate(rows):
        searched = 0 < row <= len(layers)
        box = {"facecolor": BLUE if searched else MUTED, "edgecolor": "none"}
        axes.text(0, row, name, color="white", bbox=box, **figures.CENTRED)
        axes.text(-0.95, row, f"{units} units", va="center", color=MUTED)
        if skip:
            points = [(0, row - 0.5), (0.9, row), (0, row + 0.5)]
            _draw_curve(axes, points, ec=INK)
    return figure


def _draw_curve(axes: Axes, points: Sequence[tuple[float, float]], **style) -> None:
    """From the first point to the last one, towards the one in the middle."""
    curve = Path(points, [Path.MOVETO, Path.CURVE3, Path.CURVE3])
    axes.add_patch(patches.PathPatch(curve, fill=False, **style))


def _draw_edge(axes: Axes, source: int, target: int, op: Op) -> None:
    """A curve, the higher the longer; above the nodes if it starts at an even one."""
    middle, height = (source + target) / 2, 0.7 * (target - source - 1)
    height = height if source % 2 == 0 else -height
    points = [(source, 0), (middle, 2 * height), (target, 0)]
    colour, style = (MUTED, DASHED) if op.kind == ZERO else (INK, "solid")
    _draw_curve(axes, points, ec=colour, ls=style)
    axes.text(middle, height + 0.08, op.name, ha="center", color=colour)


Fill = dict[str, Any]
NOT_SEARCHED: Fill = {"facecolor": LINE}


class _Part(NamedTuple):
    """One box of the diagram; size and channels are those of its output."""

    name: str
    op: str
    size: int
    channels: int
    stride: int = 1
    fill: Fill | None = NOT_SEARCHED  # None for a dropped layer


def _parts(space: ChainSpace, architecture: Sequence[int]) -> list[_Part]:
    size = strided(space.image_size, space.stem_stride)
    parts = [_Part("stem", "conv", size, space.stem_channels, space.stem_stride)]
    for block in space.fixed:
        size, op = strided(size, block.stride), block.op.name
        parts.append(_Part("fixed", op, size, block.out_channels, block.stride))
    sizes = space.layer_sizes[1:]
    for index, layer in enumerate(space.layers):
        op = space.ops[architecture[index]]
        dropped = op.kind == IDENTITY.kind and space.skippable[index]
        fill = None if dropped else _of_kernel(op.kernel)
        shape = sizes[index], layer.out_channels, layer.stride
        parts.append(_Part(f"layer {index}", op.name, *shape, fill))
    parts.append(_Part("head", "conv", sizes[-1], space.head_channels))
    return [*parts, _Part("classifier", "linear", 1, space.num_classes)]


def _of_kernel(kernel: int) -> Fill:
    return {"facecolor": BLUE, "alpha": STRONGEST * min(kernel / 7, 1.0)}


def _draw_part(axes: Axes, row: int, part: _Part, width: float) -> None:
    box = patches.Rectangle((-width / 2, row - 0.36), width, 0.72, facecolor="none")
    axes.add_patch(box)
    note = f"{part.size} × {part.size} × {part.channels}"
    if part.fill is None:
        box.set(edgecolor=MUTED, linestyle=DASHED)
        note = f"{part.op}, dropped"
    else:
        box.set(**part.fill)
        axes.text(0, row, part.op, color=INK, **figures.CENTRED)
    axes.text(-1.1, row, part.name, va="center", color=MUTED)
    axes.text(0.56, row, note, va="center", color=MUTED)
    if part.stride > 1:
        stride = f"stride {part.stride}"
        axes.text(1.85, row, stride, ha="right", va="center", color=INK)
