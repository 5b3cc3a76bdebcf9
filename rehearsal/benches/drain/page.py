"""The report for people: a plot, and a table on the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from proof.drawing import BAD, COLOURS, GRID, MUTED, WIDE, Axis, styled
from rehearsal.benches.drain.model import Report, Run, Scale

HEIGHT = 3.2
"""Of one scale's plot, in inches."""


def plot(scales: Sequence[Scale]) -> str:
    """Pods left on old nodes over time, a line a run; dashed where the bound is. SVG."""
    with styled():
        figure = Figure(figsize=(WIDE.width, HEIGHT * len(scales)), layout="constrained")
        FigureCanvasSVG(figure)
        axes: list[Axis] = [row[0] for row in figure.subplots(len(scales), 1, squeeze=False)]
        for scale, axis in zip(scales, axes, strict=True):
            _draw(scale, axis)
        sink = io.StringIO()
        figure.savefig(sink, format="svg", metadata={"Date": None})
    return sink.getvalue()


def _draw(scale: Scale, axis: Axis) -> None:
    for run, colour in zip(scale.runs, COLOURS, strict=False):
        label = f"{run.name}: {run.wall:.0f} s" + ("" if run.ok else " (doesn't count)")
        axis.step([one.at for one in run.left], [one.pods for one in run.left], where="post", color=colour, label=label)
    if scale.bound is not None:
        axis.axvline(scale.bound.seconds, color=BAD, linestyle="--", label=f"LB: {scale.bound.seconds:.0f} s")
    axis.set_title(f"{scale.world.nodes} nodes, {scale.world.pods} pods, seed {scale.world.seed}", color=MUTED)
    axis.set_ylabel("pods left")
    axis.set_xlabel("seconds")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.grid(axis="y", color=GRID, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.legend(frameon=False, fontsize=8)


def table(scale: Scale) -> Table:
    """One scale's runs."""
    bound = scale.bound
    title = f"{scale.name}: {scale.world.nodes} nodes, {scale.world.pods} pods, seed {scale.world.seed}"
    if bound is not None and scale.calibration is not None:
        title += (
            f"\nLB {bound.seconds:.1f} s: {bound.terms[0].budget} {bound.terms[0].seconds:.1f} s, "
            f"P/q {bound.rate_seconds:.1f} s (q {scale.calibration.per_second:.1f}/s); "
            f"streaming {bound.streaming_seconds:.1f} s"
        )
    found = Table(title=title, title_justify="left")
    for name in ("run", "wall s", "÷ LB", "pods/s", "evictions", "429s", "violations", "p99 s", "CPU s", "MB"):
        found.add_column(name, justify="left" if name == "run" else "right")
    for run in scale.runs:
        found.add_row(*_row(run, scale))
    return found


def _row(run: Run, scale: Scale) -> list[str]:
    ratio = scale.ratios.get(run.name)
    return [
        run.name + ("" if run.ok else " (doesn't count)"),
        f"{run.wall:.1f}",
        "-" if ratio is None else f"{ratio:.2f}",
        f"{run.rate:.1f}",
        str(run.evictions),
        str(run.refused),
        str(len(run.violations)),
        "-" if run.p99 is None else f"{run.p99:.2f}",
        f"{run.cpu.commands:.1f}",
        "-" if run.memory_mb is None else f"{run.memory_mb:.0f}",
    ]


def show(report: Report, console: Console) -> None:
    """Tables, aims, and what keeps it from being ok."""
    for scale in report.scales:
        console.print(table(scale))
        if scale.told_ratio is not None:
            console.print(f"the drain's own bound ÷ this LB: {scale.told_ratio:.2f}")
    if report.sittings > 1:
        console.print(f"measured in {report.sittings} sittings: each began a cluster of its own")
    for aim in report.aims:
        console.print(str(aim), style="" if aim.kept else "bold", markup=False, highlight=False)
    for sentence in report.trouble:
        console.print(f"not ok: {sentence}", markup=False, highlight=False)
