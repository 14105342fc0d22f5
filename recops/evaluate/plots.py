"""Plots of the report as inline SVG: text stays text, colours follow the page's theme, equal data gives equal bytes.

matplotlib draws with placeholder colours that are then replaced by CSS variables of the page, so that one drawing is
readable in light and dark. Identifiers are salted per plot, for several drawings stand in one document.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_WIDTH = 10.4
"""Inches: as wide as the page's column, so that text has the size of the page's text."""

_TEXT, _GRID = "#010203", "#020304"
_SERIES = ("#030405", "#040506", "#050607", "#060708")
_MARKS = "osD^vPX"
_BASELINE, _BEST = "#070809", "#08090a"
_VARIABLES = {
    _TEXT: "var(--text)",
    _GRID: "var(--grid)",
    _BASELINE: "var(--baseline)",
    _BEST: "var(--agent)",
    **{colour: f"var(--series-{number + 1})" for number, colour in enumerate(_SERIES)},
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": _TEXT,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _TEXT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Bar:
    """One system's mean and interval; `is_agent` decides the colour."""

    name: str
    mean: float
    low: float
    high: float
    is_agent: bool


@dataclass(frozen=True)
class Line:
    """One curve over training steps."""

    name: str
    steps: Sequence[int]
    values: Sequence[float]


def bars_svg(bars: Sequence[Bar], *, xlabel: str, alt: str) -> str:
    """Draw horizontal bars with intervals, the first one on top."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": alt}):
        figure = Figure(figsize=(_WIDTH, 0.36 * len(bars) + 0.9), layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(bars))
        means = np.array([bar.mean for bar in bars])
        reach = np.array([[bar.mean - bar.low, bar.high - bar.mean] for bar in bars]).T
        colours = [_BEST if bar.is_agent else _BASELINE for bar in bars]
        axes.barh(places, means, color=colours, height=0.62)
        axes.errorbar(means, places, xerr=reach, fmt="none", color=_TEXT, elinewidth=1.2, capsize=3)
        axes.set_yticks(places, [bar.name for bar in bars])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(xlabel)
        return _svg(figure, alt)


def differences_svg(bars: Sequence[Bar], *, xlabel: str, alt: str) -> str:
    """Draw points with intervals around a line at zero, the first one on top."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": alt}):
        figure = Figure(figsize=(_WIDTH, 0.34 * len(bars) + 0.9), layout="constrained")
        axes = figure.subplots()
        for place, bar in enumerate(bars):
            colour = _BEST if bar.is_agent else _BASELINE
            axes.plot([bar.low, bar.high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
            axes.plot([bar.mean], [place], marker="o", color=colour, markersize=6)
        axes.axvline(0, color=_TEXT, linewidth=1)
        axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(xlabel)
        return _svg(figure, alt)


def groups_svg(groups: Mapping[str, Sequence[Bar]], *, xlabel: str, alt: str) -> str:
    """Draw points with intervals: a row for each name of the bars, the first on top, in it a point for each group.

    Groups differ in colour and in mark, for there may be more of them than colours.
    """
    names = list(dict.fromkeys(bar.name for bars in groups.values() for bar in bars))
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": alt}):
        figure = Figure(figsize=(_WIDTH, 0.2 * len(names) * (len(groups) + 1) + 1.2), layout="constrained")
        axes = figure.subplots()
        for number, (label, bars) in enumerate(groups.items()):
            places = [names.index(bar.name) + 0.8 * (number + 0.5) / len(groups) - 0.4 for bar in bars]
            reach = np.array([[bar.mean - bar.low, bar.high - bar.mean] for bar in bars]).T
            look: Any = {
                "color": _SERIES[number % len(_SERIES)],
                "marker": _MARKS[number % len(_MARKS)],
                "markersize": 5,
            }
            axes.errorbar(
                [bar.mean for bar in bars], places, xerr=reach, linestyle="none", label=label, capsize=2, **look
            )
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(xlabel)
        axes.legend(loc="lower right")
        return _svg(figure, alt)


def curves_svg(panels: Mapping[str, Sequence[Line]], *, alt: str, share_y: bool) -> str:
    """Draw one panel per quantity, up to three in a row, each with one line per model.

    Args:
        panels: by title, the lines.
        alt: the drawing in words.
        share_y: one scale for all panels, where they show the same quantity.
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": alt}):
        figure = Figure(figsize=(_WIDTH / 3 * columns, 2.4 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=share_y).ravel()
        names = list(dict.fromkeys(line.name for lines in panels.values() for line in lines))
        for axes, (title, lines) in zip(grid, panels.items(), strict=False):
            _panel(axes, title, lines, names)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        return _svg(figure, alt)


def _panel(axes: Axes, title: str, lines: Sequence[Line], names: Sequence[str]) -> None:
    for line in lines:
        colour = _SERIES[names.index(line.name) % len(_SERIES)]
        marker = "o" if len(line.steps) == 1 else None
        axes.plot(line.steps, line.values, color=colour, label=line.name, linewidth=1.5, marker=marker)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("step", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8)


def _svg(figure: Figure, alt: str) -> str:
    """Return the drawing as an element of an HTML page, with `alt` as its text for screen readers."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    # A style element inside a drawing would apply to the whole page, which sets the same rule for its drawings.
    drawing = re.sub(r"<(metadata|style)\b.*?</\1>", "", drawing, flags=re.DOTALL)
    # Groups carry plain identifiers that repeat in every drawing, and nothing refers to them.
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)
    drawing = re.sub(r"font-family: [^;\"]*; ?", "", drawing)
    for colour, variable in _VARIABLES.items():
        drawing = drawing.replace(colour, variable)
    return drawing.replace("<svg", f'<svg role="img" aria-label="{escape(alt, quote=True)}"', 1).strip()
