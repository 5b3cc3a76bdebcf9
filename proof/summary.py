"""What the files of a run add up to. Reads only the disk, so a run that was killed can be summed up as
well.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from proof import marks
from proof.config import KINDS, LIVEZ, Kind, Livez, Place, ProbeRate, listener_kind, listener_of
from proof.due import Configured, Span, Spans, active_spans, split
from proof.model import (
    BETWEEN,
    IDLE,
    Asked,
    Budgets,
    Cell,
    CellSecond,
    Cpu,
    CpuSecond,
    End,
    Etcd,
    FailedProbe,
    GroupPeak,
    Kinds,
    Meta,
    Name,
    Note,
    Owners,
    Probed,
    Second,
    Summary,
    Window,
    Writes,
    clock,
    label_at,
)
from proof.prober import LIVEZ_S
from proof.recorder import EVENTS, LIVEZ_FAILED, PROBE_FAILED, SECONDS
from proof.writer import JOURNAL, read_journal

META = "meta.json"
CONFIGURED = "configured"
END = "end.json"
MOST_FAILURES = 300
"""Single failures listed in the summary; the counts are always whole, and `events.jsonl` has every one."""


@dataclass
class Tally:
    """The sums of one cell (or of one kind over all places) in one part of the run."""

    period_s: float
    due: int = 0
    expected: int = 0
    sent: int = 0
    failed: int = 0
    starved: Counter[str] = field(default_factory=Counter[str])
    reopened: int = 0
    late_ms: float = 0.0
    ms: list[float] = field(default_factory=list[float])
    by_window: Counter[str] = field(default_factory=Counter[str])
    why: Counter[str] = field(default_factory=Counter[str])
    failed_at: list[float] = field(default_factory=list[float])

    def add_second(self, cell: CellSecond) -> None:
        self.due += cell.due
        self.sent += cell.sent
        self.failed += cell.failed
        self.reopened += cell.reopened
        self.late_ms = max(self.late_ms, cell.late_ms)
        self.ms += cell.ms

    def add_failure(self, failure: FailedProbe) -> None:
        if failure.starved:
            self.starved[failure.window] += 1
            return
        self.by_window[failure.window] += 1
        self.why[f"{failure.phase}: {failure.detail}"] += 1
        self.failed_at.append(failure.t)

    def add(self, other: Tally) -> None:
        """The same kind at another place."""
        self.due += other.due
        self.expected += other.expected
        self.sent += other.sent
        self.failed += other.failed
        self.starved += other.starved
        self.reopened += other.reopened
        self.late_ms = max(self.late_ms, other.late_ms)
        self.ms += other.ms
        self.by_window += other.by_window
        self.why += other.why
        self.failed_at += other.failed_at

    def cell(self) -> Cell:
        """The sums. What has neither answer nor failure (a fault of the prober's, or its death) counts as failed."""
        unknown = max(0, self.due - len(self.ms) - self.failed)
        why = self.why + Counter({"no result was recorded": unknown})
        return Cell(
            due=self.due,
            expected=self.expected,
            sent=self.sent,
            failed=self.failed + unknown,
            longest_outage_s=longest_outage(self.failed_at, self.period_s),
            p50_ms=percentile(self.ms, 50),
            p99_ms=percentile(self.ms, 99),
            starved=self.starved.total(),
            starved_by_window=dict(self.starved),
            reopened=self.reopened,
            worst_late_ms=round(self.late_ms, 1),
            failed_by_window=dict(self.by_window),
            why=dict(why.most_common(5)),
            first_failure=clock(min(self.failed_at)) if self.failed_at else None,
            last_failure=clock(max(self.failed_at)) if self.failed_at else None,
        )


def percentile(values: list[float], percent: float) -> float | None:
    """Nearest-rank percentile; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def longest_outage(failed_at: list[float], period_s: float) -> float:
    """Longest stretch of consecutive failures of one cell, from the first one's due time to the next
    success's (seconds).

    Due times of neighbours are one period apart, so one lone failure is an outage of one period.
    """
    longest, begin, last = 0.0, None, None
    for at in sorted(failed_at):
        if begin is None or last is None or at - last > 1.5 * period_s:
            begin = at
        last = at
        longest = max(longest, last - begin + period_s)
    return round(longest, 3)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Decoded lines of a file that may not exist or end in a torn line."""
    try:
        stream = path.open(encoding="utf-8")
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            try:
                yield json.loads(line)
            except ValueError:
                continue


def seconds(out: Path) -> Iterator[Second]:
    """The run's seconds, one after the other."""
    return (Second.model_validate(line) for line in lines(out / SECONDS))


M = TypeVar("M", bound=BaseModel)


def read(path: Path, model: type[M]) -> M | None:
    """The model in a file; None for one that isn't there or was never written whole."""
    try:
        return model.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None


class Part:
    """Tallies of one part of the run (idle, or the rest): per kind, and per kind and place."""

    def __init__(self, period_s: float, listener_period_s: float) -> None:
        self._period, self._listener_period = period_s, listener_period_s
        self.cells: dict[str, Tally] = {}

    def cell(self, name: str) -> Tally:
        return self.cells.setdefault(name, Tally(self._period_of(name.split("/")[1])))

    def _period_of(self, kind: Kind | Livez) -> float:
        if kind == LIVEZ:
            return LIVEZ_S
        return self._period if listener_of(kind) is None else self._listener_period

    def expect(self, kinds: Sequence[Kind], spans: Spans, within: tuple[Span, ...]) -> None:
        """What was due of these kinds, in the stretches of time that are this part."""
        for place in spans.by_place:
            for kind in kinds:
                requests = spans.requests(place, within, 1 / self._period_of(kind))
                if requests:
                    self.cell(f"{place}/{kind}").expected = requests

    def kinds(self) -> Kinds:
        """Every kind that was probed, or due."""
        there = dict.fromkeys(name.split("/")[1] for name in self.cells)
        every = (*KINDS, *sorted(kind for kind in there if listener_of(kind) is not None))
        found: list[tuple[Kind, Probed | None]] = [(kind, self.probed(kind)) for kind in every]
        return {kind: probed for kind, probed in found if probed is not None}

    def probed(self, kind: Kind | Livez) -> Probed | None:
        """One kind, over all places and by place; None where it was neither probed nor due."""
        places = {name.split("/")[0]: tally for name, tally in self.cells.items() if name.split("/")[1] == kind}
        if not places:
            return None
        whole = Tally(self._period_of(kind))
        for tally in places.values():
            whole.add(tally)
        by_place = {place: tally.cell() for place, tally in places.items()}
        # An outage is one place's: failures of two places one after the other are two outages.
        longest = max(cell.longest_outage_s for cell in by_place.values())
        total: dict[str, Any] = dict(whole.cell())
        return Probed.model_validate(total | {"longest_outage_s": longest, "by_place": by_place})


NOTED = (
    "watcher_died",
    "config_refused",
    "budgets_relisted",
    "pods_relisted",
    "owners_relisted",
    "write_cleanup_failed",
)


def summarize(out: Path) -> Summary:
    """Sum up the directory of a run, finished or not."""
    meta, end = read(out / META, Meta), read(out / END, End)
    period = 1 / (meta.config.rate_hz if meta else ProbeRate().rate_hz)
    windows = marks.windows(marks.read(out))
    others = 1 / (meta.config.listener_rate_hz if meta else ProbeRate().listener_rate_hz)
    parts = {True: Part(period, others), False: Part(period, others)}
    cpu: dict[str, _Cpu] = {}
    last = meta.begin if meta else None
    for second in seconds(out):
        last = max(last or 0.0, second.t)
        label = label_at(windows, second.t + 0.5)
        for name, cell in second.cells.items():
            parts[label == IDLE].cell(name).add_second(cell)
        if second.cpu is not None:
            cpu.setdefault(label or BETWEEN, _Cpu()).add(second.cpu)
    failures: list[FailedProbe] = []
    notes: list[Note] = []
    names = Names(end.names if end else {})
    configured: list[Configured] = []
    for event in lines(out / EVENTS):
        if event["event"] == CONFIGURED:
            places = tuple(Place.model_validate(place) for place in event["places"])
            configured.append(Configured(t=event["t"], places=places))
        elif event["event"] in (PROBE_FAILED, LIVEZ_FAILED):
            # By whole seconds, as the counts are.
            label = label_at(windows, math.floor(event["t"]) + 0.5) or BETWEEN
            failure = FailedProbe(**event, window=label, at=clock(event["t"]))
            parts[label == IDLE].cell(failure.cell).add_failure(failure)
            if failure.event == PROBE_FAILED and len(failures) < MOST_FAILURES:
                failures.append(failure)
        elif event["event"] == "name_empty":
            names.add(event, label_at(windows, event["t"]) or BETWEEN)
        elif event["event"] in NOTED:
            notes.append(
                Note(
                    at=clock(event["t"]),
                    event=event["event"],
                    detail=event.get("detail", ""),
                    watcher=event.get("watcher"),
                )
            )
    spans = Spans({})
    if meta is not None and last is not None:
        spans = _expect(meta, out, configured, (end.probed_until or end.end) if end else last, windows, parts)
    return Summary(
        run=meta.run if meta else None,
        begin=meta.begin if meta else None,
        end=end.end if end else last,
        finished=end is not None,
        config=meta.config if meta else None,
        windows=tuple(windows),
        probes=parts[False].kinds(),
        idle=parts[True].kinds(),
        livez=parts[False].probed(LIVEZ) or Probed(),
        writes=_writes(out, end, windows),
        budgets=_budgets(end, windows),
        owners=end.owners if end else Owners(),
        etcd=_etcd(end, windows),
        names=names.facts(),
        cpu={label: sums.facts() for label, sums in cpu.items()},
        peak_rss_mb=end.peak_rss_mb if end else 0,
        evictions=end.evictions if end else {},
        failures=tuple(failures),
        notes=tuple(notes),
        never_active=tuple(name for name, active in spans.by_place.items() if not active),
    )


def _expect(
    meta: Meta, out: Path, configured: list[Configured], until: float, windows: list[Window], parts: dict[bool, Part]
) -> Spans:
    """Put what was due into both parts of the run; when each place was active."""
    if not configured:
        # Nobody wrote down how they changed: every place of the beginning was due all along.
        places = tuple(Place(name=name) for name in meta.config.places)
        configured = [Configured(t=meta.begin, places=places)]
    edges = marks.place_edges(marks.read(out))
    spans = active_spans(configured, edges, meta.begin, until)
    kinds: list[Kind] = [
        kind for kind in KINDS if (meta.config.ingress if kind.startswith("ingress") else meta.config.api)
    ]
    kinds += [listener_kind(name) for name in meta.config.listeners]
    idle, rest = split((window for window in windows if window.label == IDLE), meta.begin, until)
    parts[True].expect(kinds, spans, idle)
    parts[False].expect(kinds, spans, rest)
    return spans


def _writes(out: Path, end: End | None, windows: list[Window]) -> Writes:
    if end is not None:
        writes = end.writes or Writes()
        begin = writes.longest_gap_begin
        window = None if begin is None else label_at(windows, begin) or BETWEEN
        return writes.model_copy(update={"longest_gap_window": window})
    _, numbers = read_journal(out / JOURNAL)
    return Writes(acknowledged=len(numbers), problem="the run did not end in order")


def _budgets(end: End | None, windows: list[Window]) -> Budgets:
    """With when and in which window each violation began."""
    if end is None:
        return Budgets()
    told = tuple(
        item.model_copy(update={"window": label_at(windows, item.begin) or BETWEEN, "at": clock(item.begin)})
        for item in end.budgets.details
    )
    return end.budgets.model_copy(update={"details": told})


def _etcd(end: End | None, windows: list[Window]) -> Etcd:
    if end is None or end.etcd is None:
        return Etcd()
    at = end.etcd.min_healthy_at
    down = tuple(one.model_copy(update={"window": label_at(windows, one.begin) or BETWEEN}) for one in end.etcd.down)
    known: dict[str, Any] = dict(end.etcd) | {"min_healthy_at": None, "down": down}
    if at is not None:
        known |= {"min_healthy_at": clock(at), "min_healthy_window": label_at(windows, at) or BETWEEN}
    return Etcd.model_validate(known)


@dataclass
class _Empty:
    """Answers without an address: how many, where, from when (epoch seconds) to when, and the last one's code."""

    first: float
    last: float
    answer: str
    by_window: Counter[str] = field(default_factory=Counter[str])


class Names:
    """How often a name had no address, by place and window. `counted` is what the watcher counted in all."""

    def __init__(self, counted: dict[str, Asked]) -> None:
        self._counted = counted
        self._empty: dict[str, _Empty] = {}

    def add(self, event: dict[str, Any], window: str) -> None:
        at, answer = event["t"], event["answer"]
        found = self._empty.setdefault(f"{event['place']}/{event['name']}", _Empty(at, at, answer))
        found.by_window[window] += 1
        found.last, found.answer = at, answer

    def facts(self) -> dict[str, Name]:
        everything = {key: Name(**dict(counts)) for key, counts in self._counted.items()}
        for key, found in self._empty.items():
            empty = found.by_window.total()
            # A run that was killed left its events, but not its counts.
            counted = dict(self._counted.get(key, Asked(asked=empty))) | {"empty": empty}
            everything[key] = Name(
                **counted,
                by_window=dict(found.by_window),
                first=clock(found.first),
                last=clock(found.last),
                answer=found.answer,
            )
        return everything


@dataclass
class _Cpu:
    seconds: int = 0
    machine: float = 0.0
    machine_peak: float = 0.0
    groups: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def add(self, sampled: CpuSecond) -> None:
        self.seconds += 1
        self.machine += sampled.machine
        self.machine_peak = max(self.machine_peak, sampled.machine)
        for name, group in sampled.groups.items():
            self.groups.setdefault(name, []).append(group.cpu)

    def facts(self) -> Cpu:
        return Cpu(
            seconds=self.seconds,
            machine=round(self.machine / self.seconds, 1),
            machine_peak=self.machine_peak,
            groups={
                name: GroupPeak(cpu=round(sum(values) / self.seconds, 1), peak=max(values))
                for name, values in self.groups.items()
            },
        )
