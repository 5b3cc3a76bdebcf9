"""The plot of `make bench-up`: each stage's ratios to the floor, with the aim as a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from proof.drawing import BAD, COLOURS, GRID, STYLE
from rehearsal.benches.up_rows import TO_FLOOR, Report, StageRow

_mpl: Any = mpl
KINDS = (
    ("its own up, without waits", lambda row: row.up_ratio),
    ("up that changes nothing", lambda row: row.again_ratio),
    ("preview", lambda row: row.preview_ratio),
)


def draw(found: Report, path: Path) -> None:
    """Write the plot of the largest size that has rows; a ratio that wasn't measured has no bar."""
    most = max((row.groups for row in found.rows), default=0)
    rows: list[StageRow] = sorted((row for row in found.rows if row.groups == most), key=lambda row: row.stage)
    with _mpl.rc_context(STYLE):
        figure: Any = Figure(figsize=(8.4, 3.2), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        width = 0.8 / len(KINDS)
        for number, (label, value) in enumerate(KINDS):
            places = [index + (number - 1) * width for index in range(len(rows))]
            axes.bar(places, [value(row) or 0.0 for row in rows], width * 0.92, color=COLOURS[number], label=label)
        axes.axhline(TO_FLOOR, color=BAD, linewidth=1.0, label=f"aim: {TO_FLOOR:g}")
        axes.set_xticks(range(len(rows)), [f"{row.stage}\n{row.name}" for row in rows])
        axes.set_ylabel("time ÷ floor")
        axes.set_title(f"{most} worker groups", loc="left")
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None})
