"""How far a drain is, for people: what is done, how fast, how long it will take at least, and what decides that."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence

from migration.drain.bound import Term, duration

# Seconds over which the rate is taken.
OVER = 30.0
SHOWN = 3


class Progress:
    """A drain of so many pods and nodes, told now and then."""

    def __init__(self, *, pods: int, nodes: Collection[str], clock: Callable[[], float]) -> None:
        self._pods, self._nodes, self._clock = pods, len(nodes), clock
        self._seen: deque[tuple[float, int]] = deque([(clock(), 0)])

    def say(self, *, gone: int, left: int, full: int, terms: Sequence[Term]) -> str:
        """One line: `gone` pods have left, `left` remain, on `full` nodes; `terms` of what still has to go."""
        now = self._clock()
        self._seen.append((now, gone))
        while len(self._seen) > 2 and now - self._seen[1][0] >= OVER:
            self._seen.popleft()
        then, before = self._seen[0]
        rate = (gone - before) / (now - then) if now > then else 0.0
        first = sorted((one for one in terms if one.seconds), key=lambda one: (-one.seconds, one.limit))[:SHOWN]
        pods, nodes = max(self._pods, gone + left), self._nodes
        told = [f"{gone:,} of {pods:,} pods and {nodes - full} of {nodes} nodes done"]
        told.append(f"{rate:.1f} pods/s")
        least = max([left / rate if rate else 0.0, *(one.seconds for one in first[:1])])
        if left and least:
            told.append(f"about {duration(least)} more")
        if first:
            limits = ", ".join(f"{one.limit} ({one.pods} pods, {one.at_once} at once)" for one in first)
            told.append(f"longest: {limits}")
        return "; ".join(told)
