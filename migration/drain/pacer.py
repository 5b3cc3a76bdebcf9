"""How many evictions a second the API server is asked for: as many as it sustains, and never more than was allowed.

Additive increase, multiplicative decrease, as TCP finds a network's share (RFC 5681): doubled each second until the
first sign that the server has too much, then halved at each such sign and raised a step each second. Signs are an
answer of priority and fairness (429 without a budget's cause), a server error, and evictions that take long.

Time is the weaker sign: it is taken here, and on a busy machine some of it is this program's own wait for a processor.
How many are asked for at once is bounded anyway (`migration.drain.brake.Pace.width`), so that a slow server is asked
for less by itself. Slow evictions alone never lower the rate as far as a server that says no does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

# Seconds. An eviction that takes longer than `SLOW`, and `TIMES` the quickest one seen, counts as slow: a server that
# is far away is no slow one. Kubernetes' own objective for calls that change something is a p99 of 1 s
# (kubernetes/community, sig-scalability, API call latency).
SLOW, TIMES = 1.0, 4.0
# This share of a second's answers being slow is a sign.
SHARE = 0.1
# Of the most that is allowed: where it begins, a step, and what slow evictions leave of it.
BEGIN, STEP, WHILE_SLOW = 0.5, 0.05, 0.1
# Evictions a second that are always asked for.
LEAST = 1.0
EVERY = 1.0


class Pacer:
    """At most `rate` calls a second, evenly spaced, over all threads. Times in seconds."""

    def __init__(self, most: float, clock: Callable[[], float], sleeper: Callable[[float], None]) -> None:
        self._most, self._clock, self._sleep = most, clock, sleeper
        self.rate = most * BEGIN if most > LEAST else most
        self._next = 0.0
        self._doubling = True
        self._quickest = float("inf")
        self._answers = self._slow = 0
        self._since = clock()
        self._lowered_at = float("-inf")
        self._lock = threading.Lock()

    def take(self) -> None:
        """Wait for this call's turn."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + 1.0 / self.rate
        if turn > now:
            self._sleep(turn - now)

    def answered(self, seconds: float, *, busy: bool = False, retry_after: float = 0.0) -> None:
        """A call was answered after `seconds`. `busy`: by a server that has too much; it may say how long to wait."""
        with self._lock:
            now = self._clock()
            if busy:
                self._next = max(self._next, now + retry_after)
                self._lower(now, LEAST)
            else:
                self._quickest = min(self._quickest, seconds)
            self._answers += 1
            self._slow += seconds > max(SLOW, TIMES * self._quickest)
            if now - self._since < EVERY:
                return
            if self._slow > SHARE * self._answers:
                self._lower(now, self._most * WHILE_SLOW)
            elif now - self._lowered_at >= EVERY:
                self._raise()
            self._answers = self._slow = 0
            self._since = now

    def _lower(self, now: float, least: float) -> None:
        """Halve it, but not below `least`; the answers to what was sent before that are no second sign."""
        self._doubling = False
        if now - self._lowered_at >= EVERY:
            self.rate = min(self.rate, max(min(least, self._most), self.rate / 2))
            self._lowered_at = now

    def _raise(self) -> None:
        self.rate = min(self._most, self.rate * 2 if self._doubling else self.rate + self._most * STEP)
