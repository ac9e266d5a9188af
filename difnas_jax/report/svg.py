"""Figures as SVG: text stays text, and notes appear under the pointer."""

import io
import re
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from difnas_jax.report import figures

# By the names that the style sheet of the pages gives them, for light and dark.
COLOURS = {
    "ink": figures.INK,
    "muted": figures.MUTED,
    "line": figures.LINE,
    "pale": figures.PALE,
    "blue": figures.BLUE,
    "orange": figures.ORANGE,
    "green": figures.GREEN,
    "page": "#ffffff",
}
PIXELS = 1.15  # of a page by point of a figure, whose text is then of 11.5 pixels


def svg(figure: Figure, name: str) -> str:
    """The figure as an SVG file; equal figures give equal files.

    Args:
      figure: drawn; where an artist has a URL, this becomes a note under the pointer
        in place of a link.
      name: differs between the figures of a page, whose definitions share one scope.
    """
    file = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": name}
    unknown = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context(settings):
        style = {"transparent": True, "dpi": figures.DPI, "metadata": unknown}
        figure.savefig(file, format="svg", **style)
    link = re.compile(r"""<a xlink:href=(["'])(.*?)\1[^>]*>""", re.DOTALL)
    return link.sub(r"<g><title>\2</title>", file.getvalue()).replace("</a>", "</g>")


def inline(text: str, title: str) -> str:
    """A part of a page: its colours follow the style sheet, its text has one size.

    Args:
      text: what `svg` returns.
      title: for those who cannot see it.
    """
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', text)[1])  # type: ignore[index]
    head = f'<svg role="img" aria-label="{title}" width="{PIXELS * width:.0f}"'
    drawing = text[text.index("<svg") :]
    drawing = re.sub(r' id="[\w.]+_\d{1,4}"', "", drawing)  # of groups, never used
    drawing = re.sub(r"<svg .*?(?= viewBox)", head, drawing, count=1)
    drawing = re.sub(r' xmlns\S*| version="1.1"', "", drawing)
    for name, colour in COLOURS.items():
        drawing = drawing.replace(colour, f"var(--{name})")
    return drawing
