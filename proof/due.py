"""How many requests were due: time × rate, for each kind at each place. Pure.

From the configuration as it was read, and from the marks of whoever runs the proof; never from what the prober says
it owed. A place ends by `active: false` or by its end mark: one that is only gone from the file was dropped, and goes
on being due.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proof.config import Place
from proof.model import Window

START_S = 5.0
"""From a place's begin to its first probe: the file is looked at each second, the first slot is the next whole one."""
EDGE_S = 1.0
"""Counts belong to windows by whole seconds: what an edge may take from either side."""


@dataclass(frozen=True, kw_only=True)
class Configured:
    """The configuration's places as of `t` (epoch seconds)."""

    t: float
    places: tuple[Place, ...]


@dataclass(frozen=True, kw_only=True)
class Span:
    """Seconds (epoch) in which a place is active, unchanged."""

    begin: float
    end: float


@dataclass(frozen=True)
class Spans:
    """When each place was active; a place that is configured and never was has none."""

    by_place: Mapping[str, tuple[Span, ...]]

    def requests(self, place: str, within: Sequence[Span], rate_hz: float) -> int:
        """The least number of requests due from `place`, of one kind, in those stretches of time."""
        seconds = 0.0
        for span in self.by_place.get(place, ()):
            begin = span.begin + START_S
            for part in within:
                seconds += max(0.0, min(span.end, part.end) - max(begin, part.begin) - EDGE_S)
        return math.floor(seconds * rate_hz)


def active_spans(
    configured: Iterable[Configured], edges: Iterable[tuple[float, str, bool]], begin: float, end: float
) -> Spans:
    """When each place was active in a run from `begin` to `end`; `edges` are the marks' (`marks.place_edges`)."""
    changes: list[tuple[float, str, Place | None, bool]] = []
    for told in configured:
        changes += [(told.t, place.name, place, place.active) for place in told.places]
    changes += [(t, name, None, begins) for t, name, begins in edges]
    found: dict[str, list[Span]] = {}
    open_at: dict[str, tuple[float, Place | None]] = {}
    for t, name, place, on in sorted(changes, key=lambda change: change[0]):
        found.setdefault(name, [])
        since = open_at.get(name)
        if since is not None and (not on or (place is not None and since[1] not in (None, place))):
            found[name].append(Span(begin=since[0], end=t))
            del open_at[name]
        if on:
            before = open_at.get(name)
            open_at[name] = (t, place) if before is None else (before[0], place or before[1])
    for name, (since_t, _) in open_at.items():
        found[name].append(Span(begin=since_t, end=end))
    clipped = {
        name: tuple(Span(begin=max(span.begin, begin), end=min(span.end, end)) for span in spans if span.end > begin)
        for name, spans in found.items()
    }
    return Spans(clipped)


def split(windows: Iterable[Window], begin: float, end: float) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """The run cut in two: what lies within `windows`, and the rest."""
    inside: list[Span] = []
    outside: list[Span] = []
    at = begin
    for window in sorted(windows, key=lambda window: window.begin):
        first, last = max(at, window.begin), min(end, end if window.end is None else window.end)
        if last <= first:
            continue
        if first > at:
            outside.append(Span(begin=at, end=first))
        inside.append(Span(begin=first, end=last))
        at = last
    if at < end:
        outside.append(Span(begin=at, end=end))
    return tuple(inside), tuple(outside)
