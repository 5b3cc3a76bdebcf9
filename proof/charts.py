"""The plots of a run."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.ticker import FuncFormatter, MaxNLocator

from proof.config import ELSEWHERE, KINDS, side_of
from proof.drawing import BAD, COLOURS, INK, MUTED, NOWHERE, SHADES, Axis, Book, Canvas, Key, Plot, draw_plot
from proof.model import Drain, EtcdChange, MemberSeen
from proof.series import drain_span
from proof.summary import percentile


def plots(book: Book, drain: Drain) -> list[Plot]:
    """Every plot that has data, in the order in which a reader asks."""
    drawn = (answered_by(book), drained(book, drain), swapped(book), latency(book), writes(book), cpu(book))
    return [plot for plot in drawn if plot is not None]


def latency(book: Book) -> Plot:
    """Latency of the four kinds, median and slowest, with every failed request as a red mark."""
    series = book.series
    colours = {"fresh": COLOURS[0], "kept": COLOURS[1]}

    def draw(canvas: Canvas) -> None:
        for axis, target in zip(canvas.axes, ("ingress", "api"), strict=True):
            top = 1.0
            for how, colour in colours.items():
                by_bin = series.ms[f"{target}_{how}"]
                bins = sorted(index for index, values in by_bin.items() if values)
                slowest = [max(by_bin[index]) for index in bins]
                top = max([top, *slowest])
                axis.plot(series.x(bins), slowest, color=colour, linewidth=0.7, alpha=0.45)
                median = [percentile(by_bin[index], 50) or 0.0 for index in bins]
                axis.plot(series.x(bins), median, color=colour, linewidth=1.4)
            failed = [series.minutes(t) for kind in KINDS if kind.startswith(target) for t in series.failures[kind]]
            if failed:
                axis.vlines(failed, 0.1, top * 4, color=BAD, linewidth=0.9, alpha=0.6)
            axis.set_yscale("log")
            axis.set_ylim(0.3, max(20.0, top * 2))
            axis.yaxis.set_major_formatter(FuncFormatter(_plain))
            axis.set_ylabel(f"{target}, ms")

    keys = [
        Key(label=f"{name}, {what}", colour=colours[how], shape=shape)
        for how, name in (("fresh", "new connection"), ("kept", "kept-alive"))
        for what, shape in (("median", "line"), ("slowest", "thin"))
    ]
    if any(series.failures.values()):
        keys.append(Key(label="failed request", colour=BAD, shape="mark"))
    return draw_plot(book, "Latency and failures", "Requests from every place together.", keys, draw, 2, 4.4)


def answered_by(book: Book) -> Plot | None:
    """Share of the answers by side and, in shades, by address; by address alone where no side is known."""
    series = book.series
    if not any(series.peers.values()):
        return None
    keys: dict[str, Key] = {}
    coloured: dict[str, dict[str, tuple[str, float]]] = {}
    for target, peers in series.peers.items():
        ordered = sorted(peers, key=lambda peer: (_place(book, peer), _number(peer)))
        coloured[target] = {}
        for at, peer in enumerate(ordered):
            side = side_of(peer, book.sides)
            nth = sum(side_of(other, book.sides) == side for other in ordered[:at])
            if book.sides:
                coloured[target][peer] = book.colour_of(side), SHADES[nth % len(SHADES)]
            else:
                colour = COLOURS[at % len(COLOURS)]
                coloured[target][peer] = colour, 1.0
                keys[peer] = Key(label=peer, colour=colour, shape="area")

    def draw(canvas: Canvas) -> None:
        for axis, target in zip(canvas.axes, ("ingress", "api"), strict=True):
            peers = series.peers[target]
            bins = sorted({index for counts in peers.values() for index in counts})
            if bins:
                sums = [sum(counts[index] for counts in peers.values()) or 1 for index in bins]
                floor = [0.0] * len(bins)
                for peer, (colour, alpha) in coloured[target].items():
                    share = [100 * peers[peer][index] / total for index, total in zip(bins, sums, strict=True)]
                    top = [a + b for a, b in zip(floor, share, strict=True)]
                    axis.fill_between(series.x(bins), floor, top, color=colour, alpha=alpha, linewidth=0)
                    floor = top
            axis.set_ylim(0, 100)
            axis.set_ylabel(f"{target}, %")

    found = {side_of(peer, book.sides) for peers in series.peers.values() for peer in peers}
    legend = book.side_keys(found) if book.sides else tuple(keys.values())
    text = "Share of the answers by side, a shade for each balancer address: this is the traffic moving."
    return draw_plot(book, "Who answered", text, legend, draw, 2, 3.4)


def drained(book: Book, drain: Drain) -> Plot | None:
    """Pods by side over time, and the fastest that the drain could have been."""
    series = book.series
    if not book.sides or len(series.pods) < 2:
        return None
    span = drain_span(series.pods, book.windows)
    text = "Pods that can be moved, by the side of their node."
    if span is not None and span.end is not None:
        text += f" The last of the {span.pods} on {span.side} was gone after {span.end - span.begin:.0f} s."
    bound = drain.lower_bound_s if span is not None else None
    if bound is not None:
        terms = f": {drain.terms.rstrip('.')}" if drain.terms else ""
        text += f" At best {bound:.0f} s{terms}."

    def draw(canvas: Canvas) -> None:
        axis = canvas.axes[0]
        x = [series.minutes(t) for t, _ in series.pods] + [series.last]
        for side in [one.name for one in book.sides] + [ELSEWHERE]:
            if any(side in counts for _, counts in series.pods):
                values = [counts.get(side, 0) for _, counts in series.pods]
                y = [*values, values[-1]]
                axis.step(x, y, where="post", color=book.colour_of(side), linewidth=1.8)
        if span is not None and bound is not None:
            begin = series.minutes(span.begin)
            axis.plot([begin, begin + bound / 60], [span.pods, 0], color=INK, linewidth=1.3, linestyle=(0, (4, 2.5)))
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.set_ylabel("pods")

    keys = book.side_keys({side for _, counts in series.pods for side in counts})
    if bound is not None:
        keys += (Key(label="lower bound", colour=INK, shape="dash"),)
    return draw_plot(book, "Drain", text, keys, draw, 1, 2.6)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A member over time. Stretches in epoch seconds; `state`: voter, learner or unhealthy."""

    label: str
    address: str
    stretches: tuple[tuple[float, float, str], ...]
    leading: tuple[tuple[float, float, str], ...]


def swapped(book: Book) -> Plot | None:
    """etcd's members with their leader, and the addresses that answer for the API, as a timeline."""
    series = book.series
    rows = member_rows(series.etcd, series.end)
    if not rows:
        return None
    rows.sort(key=lambda row: (_place(book, row.address), row.label))
    peers = series.peers["api"]
    served = sorted(peers, key=lambda peer: (_place(book, peer), _number(peer)))
    minute, width = series.minutes, series.width

    def draw(canvas: Canvas) -> None:
        above, below = canvas.axes
        for at, row in enumerate(rows):
            colour = book.colour(row.address)
            for state, look in _LOOKS.items():
                spans = [(minute(a), (b - a) / 60) for a, b, what in row.stretches if what == state]
                if spans:
                    drawn = look | ({"color": colour} if "color" not in look else {})
                    above.broken_barh(spans, (at - 0.34, 0.68), linewidth=0, **drawn)
            leading = [(minute(a), (b - a) / 60) for a, b, _ in row.leading]
            if leading:
                above.broken_barh(leading, (at - 0.13, 0.26), color=INK, linewidth=0)
        _rows(above, [row.label for row in rows], "etcd")
        for at, peer in enumerate(served):
            spans = [(index * width / 60, width / 60) for index, count in sorted(peers[peer].items()) if count]
            below.broken_barh(_joined(spans, 2.1 * width / 60), (at - 0.34, 0.68), color=book.colour(peer), linewidth=0)
        _rows(below, served, "API answers")

    states = {what for row in rows for _, _, what in row.stretches}
    found = {side_of(address, book.sides) for address in (*(row.address for row in rows), *served)}
    keys = book.side_keys(found) if book.sides else (Key(label="voter", colour=NOWHERE, shape="area"),)
    if "learner" in states:
        keys += (Key(label="learner (no vote yet)", colour=NOWHERE, shape="pale"),)
    if "unhealthy" in states:
        keys += (Key(label="voter out of order", colour=BAD, shape="area"),)
    keys += (Key(label="leader", colour=INK, shape="line"),)
    text = "Each member of etcd while it votes, who leads, and which balancer addresses answer for the API."
    heights = (max(1, len(rows)), max(1, len(served)))
    return draw_plot(book, "Control plane", text, keys, draw, 2, 0.9 + 0.27 * sum(heights), heights)


_LOOKS: dict[str, dict[str, Any]] = {"voter": {}, "learner": {"alpha": 0.35}, "unhealthy": {"color": BAD}}


def member_rows(changes: Sequence[EtcdChange], end: float) -> list[Row]:
    """Rows by member: one whose name came later than its address is the same."""
    names: dict[str, str] = {}
    stretches: dict[str, list[tuple[float, float, str]]] = {}
    leading: dict[str, list[tuple[float, float, str]]] = {}
    until = [*[change.t for change in changes][1:], end]
    for change, following in zip(changes, until, strict=False):
        for member in change.members or ():
            key = member.address or member.name
            names[key] = member.name
            _extend(stretches.setdefault(key, []), change.t, following, _state(member))
            if member.name == change.leader:
                _extend(leading.setdefault(key, []), change.t, following, "leader")
    return [
        Row(label=names[key], address=key, stretches=tuple(spans), leading=tuple(leading.get(key, ())))
        for key, spans in stretches.items()
    ]


def _extend(stretches: list[tuple[float, float, str]], begin: float, end: float, state: str) -> None:
    """Add a stretch, joined with the last one where nothing changed in between."""
    if stretches and stretches[-1][1:] == (begin, state):
        begin = stretches.pop()[0]
    stretches.append((begin, end, state))


def _state(member: MemberSeen) -> str:
    if member.learner:
        return "learner"
    return "voter" if member.healthy else "unhealthy"


def _joined(spans: list[tuple[float, float]], gap: float) -> list[tuple[float, float]]:
    """Spans (begin, length) with those joined that are no further apart than `gap`."""
    joined: list[tuple[float, float]] = []
    for begin, length in spans:
        if joined and begin - (joined[-1][0] + joined[-1][1]) <= gap:
            joined[-1] = (joined[-1][0], begin + length - joined[-1][0])
        else:
            joined.append((begin, length))
    return joined


def _rows(axis: Axis, labels: list[str], title: str) -> None:
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.set_ylabel(title)


def writes(book: Book) -> Plot | None:
    """Acknowledged writes a second and the time since the last one; violated budgets as red lines."""
    series = book.series
    if not series.acknowledged:
        return None
    bins = sorted(series.gap)

    def draw(canvas: Canvas) -> None:
        rates = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(series.acknowledged)]
        times = [series.minutes((a[0] + b[0]) / 2) for a, b in pairwise(series.acknowledged)]
        canvas.axes[0].plot(times, rates, color=COLOURS[0], linewidth=1.2)
        canvas.axes[0].set_ylim(0, max([1.0, *rates]) * 1.15)
        canvas.axes[0].set_ylabel("a second")
        gaps = [series.gap.get(index, 0.0) for index in bins]
        canvas.axes[1].fill_between(series.x(bins), gaps, color=COLOURS[2], alpha=0.6, linewidth=0)
        canvas.axes[1].set_ylim(0, max(1.0, *gaps, 0.0) * 1.1)
        canvas.axes[1].set_ylabel("gap, s")
        for t in series.violations:
            for axis in canvas.axes:
                axis.axvline(series.minutes(t), color=BAD, linewidth=1)

    keys = [
        Key(label="writes acknowledged", colour=COLOURS[0]),
        Key(label="time since the last one", colour=COLOURS[2], shape="area"),
    ]
    if series.violations:
        keys.append(Key(label="budget below what it asks for", colour=BAD, shape="mark"))
    return draw_plot(book, "Writes and budgets", "Keys written through the API.", keys, draw, 2, 3.0)


def cpu(book: Book) -> Plot | None:
    """CPU by group of processes, and how busy the machine was; None when nothing was sampled."""
    series = book.series
    if not series.machine:
        return None
    bins = sorted(series.machine)
    groups = sorted(series.cpu, key=lambda name: -sum(sum(values) for values in series.cpu[name].values()))
    colours = {group: COLOURS[at % len(COLOURS)] for at, group in enumerate(groups)}

    def draw(canvas: Canvas) -> None:
        above, below = canvas.axes
        if groups:
            stack = [[_mean(series.cpu[group].get(index, [])) for index in bins] for group in groups]
            above.stackplot(series.x(bins), stack, colors=list(colours.values()), alpha=0.85, linewidth=0)
        above.set_ylim(bottom=0)
        above.set_ylabel("% of a core")
        below.fill_between(
            series.x(bins), [_mean(series.machine[index]) for index in bins], color=MUTED, alpha=0.4, linewidth=0
        )
        below.set_ylim(0, 100)
        below.set_ylabel("machine, %")

    keys = [Key(label=group, colour=colour, shape="area") for group, colour in colours.items()]
    keys.append(Key(label="whole machine", colour=MUTED, shape="pale"))
    text = "Where a slow answer comes from when it is the machine that is short of time."
    return draw_plot(book, "CPU", text, keys, draw, 2, 3.4)


def _place(book: Book, address: str) -> int:
    order = [side.name for side in book.sides]
    side = side_of(address, book.sides)
    return order.index(side) if side in order else len(order)


def _number(address: str) -> int:
    try:
        return int(ipaddress.ip_address(address))
    except ValueError:
        return 0


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _plain(value: float, _: int | None) -> str:
    return f"{value:g}"
