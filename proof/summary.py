"""What the files of a run add up to. Reads only the disk, so a run that was killed can be summed up as
well.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from proof import marks
from proof.config import KINDS
from proof.recorder import EVENTS, SECONDS
from proof.writer import JOURNAL, read_journal

IDLE = "idle"
BETWEEN = "between stages"
MOST_FAILURES = 300
"""Single failures listed in the summary; the counts are always whole, and `events.jsonl` has every one."""


@dataclass
class Tally:
    """The sums of one cell (or of one kind over all places) in one part of the run."""

    period_s: float
    due: int = 0
    sent: int = 0
    failed: int = 0
    reopened: int = 0
    late_ms: float = 0.0
    ms: list[float] = field(default_factory=list)
    by_window: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    failed_at: list[float] = field(default_factory=list)

    def add_second(self, cell: dict[str, Any]) -> None:
        self.due += cell["due"]
        self.sent += cell["sent"]
        self.failed += cell.get("failed", 0)
        self.reopened += cell.get("reopened", 0)
        self.late_ms = max(self.late_ms, cell.get("late_ms", 0.0))
        self.ms += cell.get("ms", ())

    def add_failure(self, event: dict[str, Any], window: str) -> None:
        self.by_window[window] += 1
        self.why[f"{event['phase']}: {event['detail']}"] += 1
        self.failed_at.append(event["t"])

    def as_json(self) -> dict[str, Any]:
        # Neither answered nor failed: a fault of the prober's, or its death. It must not pass for an answer.
        unknown = max(0, self.due - len(self.ms) - self.failed)
        if unknown:
            self.why["no result was recorded"] += unknown
        return {
            "due": self.due,
            "sent": self.sent,
            "failed": self.failed + unknown,
            "longest_outage_s": longest_outage(self.failed_at, self.period_s),
            "p50_ms": percentile(self.ms, 50),
            "p99_ms": percentile(self.ms, 99),
            "reopened": self.reopened,
            "worst_late_ms": round(self.late_ms, 1),
            "failed_by_window": dict(self.by_window),
            "why": dict(self.why.most_common(5)),
            "first_failure": clock(min(self.failed_at)) if self.failed_at else None,
            "last_failure": clock(max(self.failed_at)) if self.failed_at else None,
        }


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


def clock(t: float) -> str:
    """Epoch seconds as UTC text."""
    return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-4] + "Z"


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


def read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


class Part:
    """Tallies of one part of the run (idle, or the rest): per kind, and per kind and place."""

    def __init__(self, period_s: float) -> None:
        self._period = period_s
        self.cells: dict[str, Tally] = {}

    def cell(self, name: str) -> Tally:
        return self.cells.setdefault(name, Tally(self._period))

    def as_json(self) -> dict[str, Any]:
        kinds: dict[str, Any] = {}
        for kind in KINDS:
            places = {name.split("/")[0]: tally for name, tally in self.cells.items() if name.split("/")[1] == kind}
            if not places:
                continue
            whole = Tally(self._period)
            for tally in places.values():
                whole.due += tally.due
                whole.sent += tally.sent
                whole.failed += tally.failed
                whole.reopened += tally.reopened
                whole.late_ms = max(whole.late_ms, tally.late_ms)
                whole.ms += tally.ms
                whole.by_window += tally.by_window
                whole.why += tally.why
                whole.failed_at += tally.failed_at
            by_place = {place: tally.as_json() for place, tally in places.items()}
            # An outage is one place's: failures of two places one after the other are two outages.
            longest = max(item["longest_outage_s"] for item in by_place.values())
            kinds[kind] = whole.as_json() | {"longest_outage_s": longest, "by_place": by_place}
        return kinds


def summarize(out: Path) -> dict[str, Any]:
    """Sum up the directory of a run, finished or not."""
    meta, end = read_json(out / "meta.json"), read_json(out / "end.json")
    config = meta.get("config", {})
    period = 1 / config.get("rate_hz", 10.0)
    windows = marks.windows(marks.read(out))
    parts = {True: Part(period), False: Part(period)}
    cpu: dict[str, _Cpu] = {}
    last = meta.get("begin")
    for line in lines(out / SECONDS):
        last = max(last or 0, line["t"])
        label = marks.label_at(windows, line["t"] + 0.5)
        for name, cell in line["cells"].items():
            parts[label == IDLE].cell(name).add_second(cell)
        if "cpu" in line:
            cpu.setdefault(label or BETWEEN, _Cpu()).add(line["cpu"])
    failures, notes, names = [], [], Names(end.get("names", {}))
    for event in lines(out / EVENTS):
        if event["event"] == "probe_failed":
            # By whole seconds, as the counts are.
            label = marks.label_at(windows, math.floor(event["t"]) + 0.5)
            parts[label == IDLE].cell(event["cell"]).add_failure(event, label or BETWEEN)
            if len(failures) < MOST_FAILURES:
                failures.append(event | {"window": label or BETWEEN, "at": clock(event["t"])})
        elif event["event"] == "name_empty":
            names.add(event, marks.label_at(windows, event["t"]) or BETWEEN)
        elif event["event"] in ("watcher_died", "config_refused", "budgets_relisted", "write_cleanup_failed"):
            notes.append({"at": clock(event["t"]), "event": event["event"], "detail": event.get("detail", ""),
                          "watcher": event.get("watcher")})  # fmt: skip
    return {
        "run": meta.get("run"),
        "begin": meta.get("begin"),
        "end": end.get("end", last),
        "finished": bool(end),
        "config": config,
        "windows": [{"label": w.label, "begin": w.begin, "end": w.end} for w in windows],
        "probes": parts[False].as_json(),
        "idle": parts[True].as_json(),
        "writes": end.get("writes", _unread(out)),
        "budgets": end.get("budgets", {"watched": 0, "violations": 0}),
        "etcd": end.get("etcd"),
        "names": names.as_json(),
        "cpu": {label: sums.as_json() for label, sums in cpu.items()},
        "peak_rss_mb": end.get("peak_rss_mb", 0),
        "failures": failures,
        "notes": notes,
    }


def _unread(out: Path) -> dict[str, Any]:
    _, numbers = read_journal(out / JOURNAL)
    return {"acknowledged": len(numbers), "lost": 0, "read_back": False, "longest_gap_s": 0.0,
            "problem": "the run did not end in order"}  # fmt: skip


class Names:
    """How often a name had no address, by place and window. `counted` is what the watcher counted in all."""

    def __init__(self, counted: dict[str, Any]) -> None:
        self._counted = counted
        self._empty: dict[str, dict[str, Any]] = {}

    def add(self, event: dict[str, Any], window: str) -> None:
        found = self._empty.setdefault(
            f"{event['place']}/{event['name']}", {"empty": 0, "by_window": Counter(), "first": event["t"]}
        )
        found["empty"] += 1
        found["by_window"][window] += 1
        found["last"] = event["t"]
        found["answer"] = event["answer"]

    def as_json(self) -> dict[str, Any]:
        everything = {key: {"asked": 0, "empty": 0} | counts for key, counts in self._counted.items()}
        for key, found in self._empty.items():
            everything[key] = everything.get(key, {"asked": found["empty"]}) | {
                **found,
                "by_window": dict(found["by_window"]),
                "first": clock(found["first"]),
                "last": clock(found["last"]),
            }
        return everything


@dataclass
class _Cpu:
    seconds: int = 0
    machine: float = 0.0
    machine_peak: float = 0.0
    groups: dict[str, list[float]] = field(default_factory=dict)

    def add(self, sampled: dict[str, Any]) -> None:
        self.seconds += 1
        self.machine += sampled["machine"]
        self.machine_peak = max(self.machine_peak, sampled["machine"])
        for name, group in sampled["groups"].items():
            self.groups.setdefault(name, []).append(group["cpu"])

    def as_json(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "machine": round(self.machine / self.seconds, 1),
            "machine_peak": self.machine_peak,
            "groups": {
                name: {"cpu": round(sum(values) / self.seconds, 1), "peak": max(values)}
                for name, values in self.groups.items()
            },
        }
