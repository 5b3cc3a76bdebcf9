"""What the proof saw, on disk within seconds: a crash loses at most the seconds that were not yet closed.

- `seconds.jsonl`: a line a second, per cell: due, sent, failed, reopened, latencies, who answered.
- `events.jsonl`: one line for everything worth a sentence (each failed probe, budget violations, leader
  changes …).

Both are append-only. A second is written when every request that was due in it has its result, at the latest
SETTLE_S after the last of them must have ended.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from proof.config import LIVEZ
from proof.prober import Failure

SECONDS = "seconds.jsonl"
EVENTS = "events.jsonl"
PROBE_FAILED, LIVEZ_FAILED = "probe_failed", "livez_failed"
SETTLE_S = 1.5


@dataclass
class Bin:
    """One second of one cell."""

    due: int = 0
    sent: int = 0
    failed: int = 0
    reopened: int = 0
    late_ms: float = 0.0
    ms: list[float] = field(default_factory=list[float])
    peers: dict[str, int] = field(default_factory=dict[str, int])

    def as_json(self) -> dict[str, Any]:
        """As `model.CellSecond` reads it; what is zero is left out of a file that has one of these for each second."""
        data: dict[str, Any] = {"due": self.due, "sent": self.sent}
        if self.failed:
            data["failed"] = self.failed
        if self.reopened:
            data["reopened"] = self.reopened
        return data | {"late_ms": round(self.late_ms, 1), "ms": self.ms, "peers": self.peers}


@dataclass
class Totals:
    """Running sums of one cell, for the live display."""

    due: int = 0
    sent: int = 0
    failed: int = 0
    reopened: int = 0


class DiskRecorder:
    """Implements `prober.Recorder`. `wall` turns the loop's clock into epoch seconds.

    `flush` is called from a worker thread and is the only thing that touches files.
    """

    def __init__(self, out: Path, wall: Callable[[float], float], timeout_s: float) -> None:
        self._wall = wall
        self._settle = timeout_s + SETTLE_S
        self._bins: dict[int, dict[str, Bin]] = {}
        self._extra: dict[int, dict[str, Any]] = {}
        self._lines: list[str] = []
        self._seconds: TextIO = (out / SECONDS).open("a", encoding="utf-8")
        self._events: TextIO = (out / EVENTS).open("a", encoding="utf-8")
        self.totals: dict[str, Totals] = {}
        self.last_failure: str | None = None
        self.worst_late_ms = 0.0

    def _bin(self, cell: str, due: float) -> Bin:
        second = math.floor(self._wall(due))
        return self._bins.setdefault(second, {}).setdefault(cell, Bin())

    def due(self, cell: str, due: float, late_ms: float) -> None:
        bin_, totals = self._bin(cell, due), self.totals.setdefault(cell, Totals())
        bin_.due += 1
        totals.due += 1
        # Sent unless `not_sent` says otherwise within the same tick.
        bin_.sent += 1
        totals.sent += 1
        bin_.late_ms = max(bin_.late_ms, late_ms)
        self.worst_late_ms = max(self.worst_late_ms, late_ms)

    def answered(self, cell: str, due: float, ms: float, peer: str) -> None:
        bin_ = self._bin(cell, due)
        bin_.ms.append(round(ms, 1))
        bin_.peers[peer] = bin_.peers.get(peer, 0) + 1

    def reopened(self, cell: str, due: float) -> None:
        self._bin(cell, due).reopened += 1
        self.totals[cell].reopened += 1

    def failed(self, cell: str, seq: int, due: float, failure: Failure) -> None:
        self._bin(cell, due).failed += 1
        self.totals[cell].failed += 1
        kind = PROBE_FAILED
        if cell.endswith(f"/{LIVEZ}"):
            kind = LIVEZ_FAILED
        else:
            self.last_failure = f"{cell}: {failure.phase}: {failure.detail}"
        self.event(kind, self._wall(due), cell=cell, seq=seq, **asdict(failure))

    def not_sent(self, cell: str, seq: int, due: float, late_ms: float) -> None:
        bin_, totals = self._bin(cell, due), self.totals[cell]
        bin_.sent -= 1
        totals.sent -= 1
        bin_.failed += 1
        totals.failed += 1
        if cell.endswith(f"/{LIVEZ}"):
            return
        self.last_failure = f"{cell}: not sent: the prober was {late_ms:.0f} ms late"
        failure = Failure(
            phase="not_sent",
            detail="the prober was late",
            peer=None,
            elapsed_ms=0.0,
            loop_late_ms=round(late_ms, 1),
            starved=True,
        )
        self.event(PROBE_FAILED, self._wall(due), cell=cell, seq=seq, **asdict(failure))

    def event(self, kind: str, at: float, **data: Any) -> None:
        """Note something at `at` (epoch seconds)."""
        self._lines.append(json.dumps({"t": round(at, 3), "event": kind, **data}))

    def sample(self, at: float, key: str, value: Any) -> None:
        """Put a value beside the probes in the line of that second (CPU, etcd, writes)."""
        self._extra.setdefault(math.floor(at), {})[key] = value

    def _settled(self, second: int) -> bool:
        """Everything that was due in it has its result. (What turns up later for it becomes a second line.)"""
        return all(len(bin_.ms) + bin_.failed == bin_.due for bin_ in self._bins.get(second, {}).values())

    def take(self, now: float, *, everything: bool = False) -> tuple[list[str], list[str]]:
        """Lines that are ready to be written: (seconds, events). Call on the event loop; hand the result to
        `write`.
        """
        ready = sorted(
            second
            for second in self._bins.keys() | self._extra.keys()
            if everything or second + 1 + (0 if self._settled(second) else self._settle) <= now
        )
        lines: list[str] = []
        for second in ready:
            cells = {name: bin_.as_json() for name, bin_ in self._bins.pop(second, {}).items()}
            lines.append(json.dumps({"t": second, "cells": cells, **self._extra.pop(second, {})}))
        events, self._lines = self._lines, []
        return lines, events

    def write(self, lines: tuple[list[str], list[str]]) -> None:
        """Append and sync. Runs in a worker thread: a sync can take as long as several probes."""
        for stream, new in ((self._seconds, lines[0]), (self._events, lines[1])):
            if new:
                stream.write("\n".join(new) + "\n")
                stream.flush()
                os.fsync(stream.fileno())

    def close(self) -> None:
        self._seconds.close()
        self._events.close()
