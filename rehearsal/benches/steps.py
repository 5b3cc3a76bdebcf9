"""What an engine's event log tells of one `up`: which steps it took, when, and when all that ran only waited. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

_WAITED = re.compile(r"(?m)^(?P<label>.+): waited (?P<waited>[\d.]+) of (?P<whole>[\d.]+) s$")
"""As `migration.runtime.waits` says it at an operation's end."""
CHANGING = {
    "create": "create",
    "create-replacement": "create",
    "update": "update",
    "delete": "delete",
    "delete-replaced": "delete",
}
"""The engine's names of steps that do something, and what of a no-op resource is as much."""
DYNAMIC = "pulumi-python:dynamic/"
WAITING, WHOLLY = (":Drain",), "drain"
"""Operations that are waiting as a whole, by type and by their lines' first word: what a drain takes is what the pods'
owners and budgets take."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One change of one resource; `begin` and `end` in epoch seconds, as the event log showed them."""

    type: str
    name: str
    op: str
    begin: float
    end: float

    @property
    def kind(self) -> str:
        """components, operations or resources; empty for what every program has."""
        return kind_of(self.type)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """When something only waited (epoch seconds); `name` is the resource's, empty where only its operation is known."""

    begin: float
    end: float
    type: str = ""
    name: str = ""


def kind_of(type: str) -> str:
    """What of the floor a resource of this type is as much as: components, operations, resources, or nothing of it."""
    if type.startswith(("pulumi:pulumi:Stack", "pulumi:providers:")):
        return ""
    if type.startswith(DYNAMIC):
        return "operations"
    return "components" if type.startswith("migration:") else "resources"


@dataclass
class Seen:
    """Fed with every event of a log as it is written; `clock` gives epoch seconds."""

    clock: Callable[[], float]
    steps: list[Step] = field(default_factory=list[Step])
    waits: list[Interval] = field(default_factory=list[Interval])
    _begun: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def __call__(self, event: dict[str, Any]) -> None:
        """Take one event."""
        now = self.clock()
        if "resourcePreEvent" in event:
            meta = event["resourcePreEvent"]["metadata"]
            self._begun[meta["urn"], meta["op"]] = now
        for ended in ("resOutputsEvent", "resOpFailedEvent"):
            if ended in event:
                self._end(event[ended]["metadata"], now)
        if "diagnosticEvent" in event:
            text = event["diagnosticEvent"].get("message", "")
            for found in _WAITED.finditer(text):
                if found["label"].startswith(WHOLLY):
                    continue
                # Where in its run an operation waited it doesn't say; most wait for what they did, at their end.
                self.waits.append(Interval(begin=now - float(found["waited"]), end=now))

    def _end(self, meta: dict[str, Any], now: float) -> None:
        begin = self._begun.pop((meta["urn"], meta["op"]), None)
        if begin is None or meta["op"] not in CHANGING:
            return
        step = Step(type=meta["type"], name=meta["urn"].rpartition("::")[2], op=meta["op"], begin=begin, end=now)
        self.steps.append(step)
        if step.type.endswith(WAITING):
            self.waits.append(Interval(begin=begin, end=now, type=step.type, name=step.name))


def changed(steps: Iterable[Step]) -> dict[str, Counter[str]]:
    """How many steps of each kind, by what of a no-op resource is as much."""
    found: dict[str, Counter[str]] = {}
    for step in steps:
        if step.kind:
            found.setdefault(step.kind, Counter())[CHANGING[step.op]] += 1
    return found


def read_waits(text: str) -> list[Interval]:
    """What the lab's plugin wrote (`lab.plugins.waits`)."""
    return [Interval(**json.loads(line)) for line in text.splitlines() if line.strip()]


def waited(steps: Sequence[Step], waits: Sequence[Interval]) -> float:
    """Seconds in which something ran and all that ran only waited: without them, the rest would have been as long.

    While one resource works, others' waits cost nothing, so they aren't counted.
    """
    # A component is on its way until all in it is there.
    running = [(one.begin, one.end) for one in steps if one.kind in ("operations", "resources")]
    waiting = _merged(waits)
    moments = sorted({moment for interval in (*running, *waiting) for moment in interval})
    total = 0.0
    for begin, end in pairwise(moments):
        runs = sum(one[0] <= begin and end <= one[1] for one in running)
        idle = sum(one[0] <= begin and end <= one[1] for one in waiting)
        total += end - begin if runs and idle >= runs else 0.0
    return total


def _merged(waits: Sequence[Interval]) -> list[tuple[float, float]]:
    """Intervals of which no two of one resource overlap: it waits once at a time."""
    found: list[tuple[float, float]] = []
    last: dict[tuple[str, str], tuple[float, float]] = {}
    for one in sorted(waits, key=lambda wait: wait.begin):
        key = (one.type, one.name)
        before = last.get(key) if one.name else None
        if before is not None and one.begin < before[1]:
            found.remove(before)
            last[key] = (before[0], max(before[1], one.end))
        else:
            last[key] = (one.begin, one.end)
        found.append(last[key])
    return found
