"""What requests at fixed times say: the longest time without an acknowledgement, what failed, what wasn't asked.

Pure. Times are seconds since 1970 of one clock, lengths in milliseconds.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from rehearsal.world import Fact


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: when it was due, when it ended, and how; `error` is empty where it succeeded."""

    number: int
    due: float
    ended: float
    error: str = ""


class Gap(Fact):
    """A time without an acknowledged write: from the last one before it."""

    begin: float
    ms: float


class Failure(Fact):
    """Requests that failed with the same words."""

    words: str
    count: int


class Tally(Fact):
    """Requests that were due in a window. `skipped` weren't sent, since this machine was too busy to be in time."""

    asked: int
    failed: int
    failures: tuple[Failure, ...]
    skipped: int


def gaps(acknowledged: Iterable[float], begin: float, end: float) -> list[Gap] | None:
    """Every time between two acknowledgements that reaches into a window, in order.

    A gap that the window's begin lies in is counted whole; one that its end lies in, up to there. None, which is: not
    measured, where nothing was acknowledged before the window, in it, or after it. Then nobody knows how long it was.
    """
    at = sorted(acknowledged)
    inside = any(begin < one <= end for one in at)
    if not inside or at[0] > begin or at[-1] <= end:
        return None
    reaching = [(one, other) for one, other in pairwise(at) if other > begin and one < end]
    return [Gap(begin=one, ms=round((min(other, end) - one) * 1000, 1)) for one, other in reaching]


def longest(acknowledged: Iterable[float], begin: float, end: float) -> Gap | None:
    """The longest of `gaps`; None where that wasn't measured."""
    found = gaps(acknowledged, begin, end)
    return None if found is None else max(found, key=lambda one: one.ms)


def by_second(acknowledged: Iterable[float], begin: float, end: float) -> tuple[float, ...]:
    """The longest gap (ms) that begins in each second of a window; 0 where none does: a longer one reaches over it."""
    found = [0.0] * ceil(end - begin)
    for gap in gaps(acknowledged, begin, end) or []:
        second = max(0, int(gap.begin - begin))
        found[second] = max(found[second], gap.ms)
    return tuple(found)


def tally(asked: Iterable[Asked], skipped: Iterable[float], begin: float, end: float) -> Tally:
    """What became of the requests that were due in a window; `skipped` is when others were due."""
    due = [one for one in asked if begin < one.due <= end]
    # By what is said, wherever it is said.
    words = Counter(re.sub(r" at https?://\S+", "", one.error) for one in due if one.error)
    return Tally(
        asked=len(due),
        failed=sum(words.values()),
        failures=tuple(Failure(words=text, count=count) for text, count in words.most_common()),
        skipped=sum(begin < one <= end for one in skipped),
    )


def acknowledged(asked: Iterable[Asked]) -> list[float]:
    """When those that succeeded did."""
    return [one.ended for one in asked if not one.error]


class Spread(Fact):
    """Of several measurements: how many there are, the middle, the 95th percentile (nearest rank) and the worst."""

    count: int
    median: float
    p95: float
    worst: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None of none."""
        if not values:
            return None
        order = sorted(values)
        return cls(
            count=len(order),
            median=round(statistics.median(order), 1),
            p95=order[ceil(0.95 * len(order)) - 1],
            worst=order[-1],
        )
