"""Plots of a run as inline SVG, drawn from its files."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from proof.config import KINDS
from proof.recorder import EVENTS, SECONDS
from proof.summary import lines, percentile

MOST_BINS = 500
INK, MUTED, GRID, BAD = "#1f2933", "#6b7785", "#e4e8ee", "#c81e4a"
COLOURS = ("#2563eb", "#0d9488", "#d97706", "#7c3aed", "#be185d", "#4d7c0f", "#0369a1", "#78716c")
BANDS = ("#eef3fb", "#f8f9fb")
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "proof",
}


@dataclass
class Series:
    """The run in bins of `width` seconds; x values are minutes since the first second."""

    begin: float
    width: float
    ms: dict[str, dict[int, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    peers: dict[str, dict[str, dict[int, int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    )
    cpu: dict[str, dict[int, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    machine: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    gap: dict[int, float] = field(default_factory=dict)
    acknowledged: dict[int, int] = field(default_factory=dict)
    failures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    violations: list[float] = field(default_factory=list)
    end: float = 0.0

    def minutes(self, t: float) -> float:
        return (t - self.begin) / 60

    def x(self, bins: Any) -> list[float]:
        return [(index + 0.5) * self.width / 60 for index in bins]


def read_series(out: Path) -> Series | None:
    """Everything the plots need, in one pass; None when the run has no whole second."""
    span = [line["t"] for line in lines(out / SECONDS)]
    if not span:
        return None
    series = Series(begin=min(span), width=max(1.0, (max(span) + 1 - min(span)) / MOST_BINS), end=max(span) + 1)
    for line in lines(out / SECONDS):
        index = int((line["t"] - series.begin) / series.width)
        for name, cell in line["cells"].items():
            kind = name.split("/")[1]
            series.ms[kind][index] += cell.get("ms", ())
            for peer, count in cell.get("peers", {}).items():
                series.peers[kind.split("_")[0]][peer.rsplit(":", 1)[0]][index] += count
        if "cpu" in line:
            series.machine[index].append(line["cpu"]["machine"])
            for group, used in line["cpu"]["groups"].items():
                series.cpu[group][index].append(used["cpu"])
        if line.get("writes"):
            series.gap[index] = max(series.gap.get(index, 0.0), line["writes"]["gap_s"])
            series.acknowledged[index] = line["writes"]["acknowledged"]
    for event in lines(out / EVENTS):
        if event["event"] == "probe_failed":
            series.failures[event["cell"].split("/")[1]].append(event["t"])
        elif event["event"] == "budget_violated":
            series.violations.append(event["t"])
    return series


def latency(series: Series, windows: list[dict[str, Any]]) -> str:
    """Latency of the four kinds, median and worst, with every failed request as a red mark."""
    figure, axes = _figure(2, 4.6)
    for axis, target in zip(axes, ("ingress", "api"), strict=True):
        top = 1.0
        for kind, colour in zip((f"{target}_fresh", f"{target}_kept"), (COLOURS[0], COLOURS[1]), strict=True):
            bins = sorted(index for index, values in series.ms[kind].items() if values)
            median = [percentile(series.ms[kind][index], 50) or 0.0 for index in bins]
            worst = [max(series.ms[kind][index]) for index in bins]
            top = max([top, *worst])
            label = kind.split("_")[1]
            axis.plot(series.x(bins), median, color=colour, linewidth=1.4, label=f"{label}, median")
            axis.plot(series.x(bins), worst, color=colour, linewidth=0.7, alpha=0.45, label=f"{label}, slowest")
        failed = [t for kind in KINDS if kind.startswith(target) for t in series.failures[kind]]
        if failed:
            axis.vlines(
                [series.minutes(t) for t in failed], 0.5, top * 2, color=BAD, linewidth=0.9, alpha=0.6, label="failed"
            )
        axis.set_yscale("log")
        axis.set_ylim(0.3, max(20.0, top * 2))
        axis.set_ylabel(f"{target}, ms")
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), fontsize=7.5, frameon=False)
    return _finish(figure, axes, series, windows)


def answered_by(series: Series, windows: list[dict[str, Any]]) -> str:
    """Share of the answers by the address that gave them: what shows that the traffic moved."""
    figure, axes = _figure(2, 3.6)
    for axis, target in zip(axes, ("ingress", "api"), strict=True):
        peers = sorted(series.peers[target], key=lambda peer: [int(part) for part in re.findall(r"\d+", peer)])
        bins = sorted({index for peer in peers for index in series.peers[target][peer]})
        sums = [sum(series.peers[target][peer].get(index, 0) for peer in peers) or 1 for index in bins]
        shares = [
            [100 * series.peers[target][peer].get(index, 0) / total for index, total in zip(bins, sums, strict=True)]
            for peer in peers
        ]
        if bins:
            colours = [COLOURS[number % len(COLOURS)] for number in range(len(peers))]
            axis.stackplot(series.x(bins), shares, labels=peers, colors=colours, alpha=0.85, linewidth=0)
            axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), fontsize=7.5, frameon=False)
        axis.set_ylim(0, 100)
        axis.set_ylabel(f"{target}, %")
    return _finish(figure, axes, series, windows)


def cpu(series: Series, windows: list[dict[str, Any]]) -> str | None:
    """CPU by group of processes, in percent of one core, and how busy the machine was; None when nothing
    was sampled.
    """
    if not series.machine:
        return None
    figure, axes = _figure(2, 3.8)
    bins = sorted(series.machine)
    groups = sorted(series.cpu, key=lambda name: -sum(sum(values) for values in series.cpu[name].values()))
    if groups:
        stack = [[_mean(series.cpu[group].get(index, [])) for index in bins] for group in groups]
        colours = [COLOURS[number % len(COLOURS)] for number in range(len(groups))]
        axes[0].stackplot(series.x(bins), stack, labels=groups, colors=colours, alpha=0.85, linewidth=0)
        axes[0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), fontsize=7.5, frameon=False)
    axes[0].set_ylabel("% of a core")
    axes[1].fill_between(series.x(bins), [_mean(series.machine[index]) for index in bins], color=MUTED, alpha=0.4)
    axes[1].set_ylim(0, 100)
    axes[1].set_ylabel("machine, %")
    return _finish(figure, axes, series, windows)


def writes(series: Series, windows: list[dict[str, Any]]) -> str | None:
    """Acknowledged writes a second and the time since the last one; violated budgets as red lines."""
    if not series.acknowledged:
        return None
    figure, axes = _figure(2, 3.2)
    bins = sorted(series.acknowledged)
    steps = [0, *(series.acknowledged[b] - series.acknowledged[a] for a, b in pairwise(bins))]
    spans = [1, *(max(1, b - a) for a, b in pairwise(bins))]
    rates = [step / (span * series.width) for step, span in zip(steps, spans, strict=True)]
    axes[0].plot(series.x(bins[1:]), rates[1:], color=COLOURS[0], linewidth=1.2)
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("writes a second")
    gaps = [series.gap.get(index, 0.0) for index in bins]
    axes[1].fill_between(series.x(bins), gaps, color=COLOURS[2], alpha=0.6)
    axes[1].set_ylim(0, max(1.0, *gaps, 0.0) * 1.1)
    axes[1].set_ylabel("gap, s")
    for t in series.violations:
        for axis in axes:
            axis.axvline(series.minutes(t), color=BAD, linewidth=1)
    return _finish(figure, axes, series, windows)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _figure(rows: int, height: float) -> tuple[Figure, list[Axes]]:
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(rows, 1, figsize=(11, height), sharex=True, squeeze=False)
        return figure, [axes[row][0] for row in range(rows)]


def _finish(figure: Figure, axes: list[Axes], series: Series, windows: list[dict[str, Any]]) -> str:
    last = series.minutes(series.end)
    for number, window in enumerate(windows):
        left = max(0.0, series.minutes(window["begin"]))
        right = min(last, series.minutes(window["end"] or series.end))
        if right <= left:
            continue
        for axis in axes:
            axis.axvspan(left, right, color=BANDS[number % 2], zorder=-5, linewidth=0)
            axis.axvline(left, color=GRID, linewidth=0.8, zorder=-4)
        label = window["label"].removeprefix("stage ")
        if (right - left) / last > 0.012 * max(1, len(label) / 2):
            axes[0].text((left + right) / 2, 1.02, label, transform=axes[0].get_xaxis_transform(), ha="center",
                         fontsize=8, color=MUTED)  # fmt: skip
    with plt.rc_context(STYLE):
        for axis in axes:
            axis.set_xlim(0, last)
            axis.grid(axis="y", color=GRID, linewidth=0.6)
            axis.set_axisbelow(True)
        axes[-1].set_xlabel("minutes")
        figure.tight_layout()
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    plt.close(figure)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
