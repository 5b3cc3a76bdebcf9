"""What the plots show: a run's files in bins of time, and the changes in between."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from proof.config import LIVEZ
from proof.model import EtcdChange, Window
from proof.recorder import EVENTS
from proof.summary import lines, seconds

MOST_BINS = 400

Bins = dict[int, float]


def _lists() -> dict[str, dict[int, list[float]]]:
    return defaultdict(lambda: defaultdict(list))


def _counts() -> dict[str, dict[str, Counter[int]]]:
    return defaultdict(lambda: defaultdict(Counter))


@dataclass
class Series:
    """The run in bins of `width` seconds from `begin` to `end` (epoch seconds)."""

    begin: float
    end: float
    width: float
    ms: dict[str, dict[int, list[float]]] = field(default_factory=_lists)
    """Latencies by kind."""
    peers: dict[str, dict[str, Counter[int]]] = field(default_factory=_counts)
    """Answers by target (ingress, api) and address."""
    cpu: dict[str, dict[int, list[float]]] = field(default_factory=_lists)
    machine: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    gap: Bins = field(default_factory=dict[int, float])
    acknowledged: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """Writes so far, at the last second of each bin (epoch)."""
    pods: list[tuple[float, dict[str, int]]] = field(default_factory=list[tuple[float, dict[str, int]]])
    """Movable pods by side, at each second (epoch) at which they changed."""
    etcd: list[EtcdChange] = field(default_factory=list[EtcdChange])
    failures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Epoch seconds of failed requests by kind."""
    violations: list[float] = field(default_factory=list[float])

    def minutes(self, t: float) -> float:
        """Minutes since the run began."""
        return (t - self.begin) / 60

    def x(self, bins: list[int]) -> list[float]:
        """The middle of each bin, in minutes."""
        return [(index + 0.5) * self.width / 60 for index in bins]

    @property
    def last(self) -> float:
        """The run's end, in minutes."""
        return self.minutes(self.end)


def read_series(out: Path) -> Series | None:
    """Everything the plots need; None when the run has no whole second."""
    span = [second.t for second in seconds(out)]
    if not span:
        return None
    begin, end = min(span), max(span) + 1
    series = Series(begin=begin, end=end, width=max(1.0, (end - begin) / MOST_BINS))
    filled = -1
    for second in seconds(out):
        index = int((second.t - series.begin) / series.width)
        for name, cell in second.cells.items():
            kind = name.split("/")[1]
            if kind == LIVEZ:
                continue
            series.ms[kind][index] += cell.ms
            for peer, count in cell.peers.items():
                series.peers[kind.split("_")[0]][peer.rsplit(":", 1)[0]][index] += count
        if second.cpu is not None:
            series.machine[index].append(second.cpu.machine)
            for group, used in second.cpu.groups.items():
                series.cpu[group][index].append(used.cpu)
        if second.writes is not None:
            series.gap[index] = max(series.gap.get(index, 0.0), second.writes.gap_s)
            if series.acknowledged and index == filled:
                series.acknowledged.pop()
            series.acknowledged.append((second.t, second.writes.acknowledged))
            filled = index
        if second.pods is not None and (not series.pods or series.pods[-1][1] != second.pods):
            series.pods.append((second.t, second.pods))
    for event in lines(out / EVENTS):
        if event["event"] == "probe_failed":
            series.failures[event["cell"].split("/")[1]].append(event["t"])
        elif event["event"] == "budget_violated":
            series.violations.append(event["t"])
        elif event["event"] == "etcd_changed":
            series.etcd.append(EtcdChange(t=event["t"], members=event["members"], leader=event["leader"]))
    return series


@dataclass(frozen=True, kw_only=True)
class DrainSpan:
    """When one side's pods went, and how many there were (epoch seconds)."""

    side: str
    begin: float
    pods: int
    end: float | None
    """When the last one was gone; None where some stayed."""


def drain_span(pods: list[tuple[float, dict[str, int]]], windows: tuple[Window, ...]) -> DrainSpan | None:
    """The longest fall of one side's pods to none, or to the fewest it came to; None where no side lost any.

    It begins with the last moment at which the side had as many as when the window began in which they went.
    """
    found: tuple[int, str, int, int] | None = None
    for side in {name for _, counts in pods for name in counts}:
        values = [counts.get(side, 0) for _, counts in pods]
        low = min(range(len(values)), key=lambda at: (values[at], at))
        high = max(range(low + 1), key=lambda at: (values[at], at))
        if found is None or values[high] - values[low] > found[0]:
            found = (values[high] - values[low], side, high, low)
    if found is None or found[0] <= 0:
        return None
    _, side, high, low = found
    # Pods come and go all the time: what counts as the drain's begin lies in the window in which it ends.
    ending = next((w for w in reversed(windows) if w.holds(pods[low][0])), None)
    if ending is not None:
        inside = [at for at in range(low + 1) if pods[at][0] >= ending.begin]
        before = max((at for at in range(low + 1) if pods[at][0] < ending.begin), default=None)
        candidates = ([before] if before is not None else []) + inside
        high = max(candidates, key=lambda at: (pods[at][1].get(side, 0), at))
    count = pods[high][1].get(side, 0)
    # The count changes with the next sample: until then the side had all of them.
    begin = pods[high + 1][0] if high + 1 < len(pods) else pods[high][0]
    end = pods[low][0] if pods[low][1].get(side, 0) == 0 else None
    return DrainSpan(side=side, begin=begin, pods=count, end=end)
