"""How a plot of a run is drawn: twice, for a wide window (and paper) and for a phone's, over the stages' bands."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from proof.config import ELSEWHERE, Side, side_of
from proof.model import BACK, IDLE, Window
from proof.series import Series

INK, MUTED, GRID, BAD = "#1f2933", "#6b7785", "#dfe4ea", "#c81e4a"
SIDES = ("#c2740c", "#2563eb", "#0d9488", "#7c3aed")
"""By the sides' order in the configuration: old and new side must never be taken for each other."""
NOWHERE = "#94a0ae"
COLOURS = ("#2563eb", "#0d9488", "#d97706", "#7c3aed", "#be185d", "#4d7c0f", "#0369a1", "#78716c")
BANDS = ("#edf2fa", "#f7f9fc")
SHADES = (1.0, 0.78, 0.6, 0.46)
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "proof",
}

# matplotlib's stubs leave the types of its keyword arguments open, which a strict checker refuses at each call.
Axis = Any
_mpl: Any = mpl


def styled() -> AbstractContextManager[None]:
    """Within, what is drawn looks as the project's plots do."""
    return _mpl.rc_context(STYLE)


@dataclass(frozen=True, kw_only=True)
class Key:
    """One entry of a plot's legend. `shape`: line, thin, area, pale, dash or mark."""

    label: str
    colour: str
    shape: str = "line"


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot with its legend; `wide` and `narrow` are the same data as SVG."""

    title: str
    text: str
    legend: tuple[Key, ...]
    wide: str
    narrow: str


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a plot is drawn for: width in inches, whether stages' names fit, height in relation to the wide one."""

    width: float
    named: bool
    height: float


WIDE = Shape(width=10.6, named=True, height=1.0)
NARROW = Shape(width=4.5, named=False, height=0.92)


@dataclass(kw_only=True)
class Canvas:
    """One drawing under way."""

    axes: list[Axis]
    shape: Shape


@dataclass
class Book:
    """Everything the plots of one run share: data, windows, names of stages, sides."""

    series: Series
    windows: tuple[Window, ...]
    names: dict[str, str] = field(default_factory=dict[str, str])
    """Names of stages by their window's label."""
    sides: tuple[Side, ...] = ()

    def colour(self, address: str) -> str:
        """A side's colour for one of its addresses."""
        return self.colour_of(side_of(address, self.sides))

    def colour_of(self, side: str) -> str:
        order = [one.name for one in self.sides]
        return SIDES[order.index(side) % len(SIDES)] if side in order else NOWHERE

    def side_keys(self, sides: Iterable[str], shape: str = "area") -> tuple[Key, ...]:
        """The legend of those sides, in the configuration's order."""
        order = [*(one.name for one in self.sides), ELSEWHERE]
        named = sorted(set(sides), key=order.index)
        return tuple(Key(label=side, colour=self.colour_of(side), shape=shape) for side in named)


def draw_plot(
    book: Book,
    title: str,
    text: str,
    keys: Sequence[Key],
    draw: Callable[[Canvas], None],
    rows: int,
    height: float,
    heights: Sequence[int] | None = None,
) -> Plot:
    """`height` in inches, of the wide drawing; `heights` of the rows in relation to each other."""

    def drawn(shape: Shape) -> str:
        with styled():
            figure: Any = Figure(figsize=(shape.width, height * shape.height + 0.35), layout="constrained")
            FigureCanvasSVG(figure)
            axes = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=heights)
            canvas = Canvas(axes=[row[0] for row in axes], shape=shape)
            draw(canvas)
            _bands(book, canvas)
            for axis in canvas.axes:
                axis.set_xlim(0, book.series.last)
                axis.grid(axis="y", color=GRID, linewidth=0.6)
                axis.set_axisbelow(True)
                axis.margins(x=0)
            canvas.axes[-1].set_xlabel("minutes")
            sink = io.StringIO()
            figure.savefig(sink, format="svg", metadata={"Date": None}, transparent=True)
        svg = sink.getvalue()
        return svg[svg.index("<svg") :]

    return Plot(title=title, text=text, legend=tuple(keys), wide=drawn(WIDE), narrow=drawn(NARROW))


def _bands(book: Book, canvas: Canvas) -> None:
    """Each window as a band behind everything, with its name above; a name without room goes one line higher."""
    last, taken = book.series.last, [-1.0, -1.0, -1.0]
    shown = [w for w in book.windows if book.series.minutes(w.begin) < last]
    for number, window in enumerate(shown):
        left = max(0.0, book.series.minutes(window.begin))
        right = min(last, last if window.end is None else book.series.minutes(window.end))
        if right <= left:
            continue
        for axis in canvas.axes:
            axis.axvspan(left, right, color=BANDS[number % 2], zorder=-5, linewidth=0)
            # Above what fills the plot, so that it parts that, too.
            axis.axvline(left, color=INK, alpha=0.16, linewidth=0.7, zorder=5)
        for label in _labels(book, window, canvas.shape):
            # A digit of 8 points takes about 0.064 inches, the plot nine tenths of the width.
            half = 0.5 * (len(label) * 0.064 + 0.06) * last / (0.9 * canvas.shape.width)
            middle = min(max((left + right) / 2, half), last - half)
            fits = 2 * half <= right - left
            level = next((at for at, until in enumerate(taken) if middle - half >= until), None)
            if level is None or (len(label) > 2 and not fits):
                continue
            taken[level] = middle + half
            canvas.axes[0].annotate(
                label,
                (middle, 1.0),
                xytext=(0, 3 + 10 * level),
                xycoords=canvas.axes[0].get_xaxis_transform(),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=MUTED,
                annotation_clip=False,
            )
            break


def _labels(book: Book, window: Window, shape: Shape) -> list[str]:
    """What a band may be called, best first."""
    if window.label == IDLE:
        return ["at rest", "rest"]
    short = window.label.removeprefix("stage ").replace(BACK, "←")
    name = book.names.get(window.label, "")
    return [f"{short} {name}", short] if name and shape.named else [short]
