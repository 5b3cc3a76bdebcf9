"""The plot of `make bench-swap`: gaps of the pairs, and those of the migration second by second over its members."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from proof.drawing import BAD, BANDS, COLOURS, GRID, MUTED, STYLE
from rehearsal.benches.members import Moved, Stream
from rehearsal.benches.pairs import Episode, Pair

# matplotlib's stubs leave the types of its keyword arguments open, which a strict checker refuses at each call.
Axis = Any
_mpl: Any = mpl
LEAST_MS, MOST_MS = 1.0, 10_000.0
"""Two runs are read side by side: the axis is the same. What is longer is at its edge."""


def draw(pairs: Sequence[Pair], moved: Moved | None, path: Path) -> Path:
    """Write the plot as SVG; what wasn't measured isn't in it. The path."""
    with _mpl.rc_context(STYLE):
        figure: Any = Figure(figsize=(10.6, 6.4), layout="constrained")
        FigureCanvasSVG(figure)
        above, below = figure.subplots(2, 1)
        _pairs(above, pairs)
        _migration(below, moved)
        for axis in (above, below):
            axis.set_yscale("log")
            axis.set_ylim(LEAST_MS, MOST_MS)
            axis.yaxis.set_major_formatter("{x:g}")
            axis.grid(axis="y", color=GRID, linewidth=0.6)
            axis.set_axisbelow(True)
            axis.set_ylabel("ms without a write")
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path


def _pairs(axis: Axis, pairs: Sequence[Pair]) -> None:
    axis.set_title("A leader that hands over, and one that is killed", loc="left", fontsize=10)
    axis.set_xlabel("pair")
    axis.xaxis.get_major_locator().set_params(integer=True)
    kinds = (("planned", COLOURS[0], [one.planned for one in pairs]), ("killed", BAD, [one.killed for one in pairs]))
    for label, colour, episodes in kinds:
        _dots(axis, label, colour, episodes)
    if pairs:
        axis.legend(frameon=False, ncols=3, loc="lower right")


def _dots(axis: Axis, label: str, colour: str, episodes: Sequence[Episode]) -> None:
    gaps = [(number, one.gap_ms) for number, one in enumerate(episodes, 1) if one.gap_ms is not None]
    idle = [(number, one.idle_ms) for number, one in enumerate(episodes, 1) if one.idle_ms is not None]
    axis.plot(*_columns(gaps), "o", color=colour, markersize=5, label=label)
    axis.plot(*_columns(idle), "_", color=MUTED, markersize=7, label=None if label == "killed" else "at rest, before")


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [at for at, _ in points], [min(MOST_MS, max(LEAST_MS, value)) for _, value in points]


def _migration(axis: Axis, moved: Moved | None) -> None:
    axis.set_title("All members moved: the longest gap that begins in each second", loc="left", fontsize=10)
    axis.set_xlabel("seconds")
    if moved is None:
        return
    for number, member in enumerate(moved.members):
        begin = member.began - moved.begin
        axis.axvspan(begin, begin + member.seconds, color=BANDS[number % 2], zorder=-5, linewidth=0)
        axis.annotate(member.name, (begin, 1.0), xycoords=axis.get_xaxis_transform(), xytext=(3, -10),
                      textcoords="offset points", fontsize=8, color=MUTED)  # fmt: skip
    _stream(axis, "at etcd", COLOURS[0], moved.etcd)
    _stream(axis, "through the balancer", COLOURS[2], moved.balancer)
    # Where a look saw another leader than the one before.
    for look in moved.leaders[1:]:
        axis.axvline(look.at - moved.begin, color=BAD, linewidth=0.8)
    axis.legend(frameon=False, ncols=2, loc="lower right")


def _stream(axis: Axis, label: str, colour: str, stream: Stream) -> None:
    points = [(second + 0.5, ms) for second, ms in enumerate(stream.second_ms) if ms > 0]
    axis.plot(*_columns(points), "-", color=colour, linewidth=1.1, label=label)
    if stream.idle_ms is not None:
        axis.axhline(stream.idle_ms, color=colour, linewidth=0.7, linestyle=":")
