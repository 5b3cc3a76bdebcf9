"""How many evictions a second the API server is asked for: as many as it sustains, and never more than was allowed.

As TCP finds a network's share: doubled each second until the first sign that the server has too much, then halved at
each such sign (RFC 5681), raised quickly again to a little less than where the sign came, and slowly from there (the
idea of CUBIC, RFC 9438). Signs are an answer of priority and fairness (429 without a budget's cause), a server error,
and evictions that take long; before they take too long, the rate stays as it is.

Time is the weaker sign: it is taken here, and on a busy machine some of it is this program's own wait for a processor.
How late threads come back from their sleep says how long that is, and it is taken off. Slow evictions alone never
lower the rate as far as a server that says no does.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from statistics import median

# Seconds. An eviction that takes longer than `SLOW`, and `TIMES` the quickest one seen, counts as slow: a server that
# is far away is no slow one. Kubernetes' own objective for calls that change something is a p99 of 1 s
# (kubernetes/community, sig-scalability, API call latency).
SLOW, TIMES = 1.0, 4.0
# This share of a second's answers being slow is a sign; as many that take this part of `SLOW` keep the rate as it is.
SHARE, PART = 0.1, 0.5
# Of the most that is allowed: where it begins, a step, a small step, and what slow evictions leave of it.
BEGIN, STEP, SMALL_STEP, WHILE_SLOW = 0.5, 0.05, 0.01, 0.04
# Of the rate at which the last sign came: small steps from there on.
NEAR = 0.8
# An eviction waits for a processor of ours twice: to be sent, and for its answer to be taken.
WAITS = 2
# Evictions a second that are always asked for.
LEAST = 1.0
EVERY = 1.0
# Sleeps that `_own_wait` looks at.
RECENT = 20


class Pacer:
    """At most `rate` calls a second, evenly spaced, over all threads. Times in seconds."""

    def __init__(self, most: float, clock: Callable[[], float], sleeper: Callable[[float], None]) -> None:
        self._most, self._clock, self._sleep = most, clock, sleeper
        self.rate = most * BEGIN if most > LEAST else most
        self._next = 0.0
        self._sign_at = float("inf")
        self._quickest = float("inf")
        self._answers = self._slow = self._slower = 0
        self._late: deque[float] = deque(maxlen=RECENT)
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
            with self._lock:
                self._late.append(max(0.0, self._clock() - turn))

    def answered(self, seconds: float, *, busy: bool = False, retry_after: float = 0.0) -> None:
        """A call was answered after `seconds`. `busy`: by a server that has too much; it may say how long to wait."""
        with self._lock:
            now = self._clock()
            if busy:
                self._next = max(self._next, now + retry_after)
                self._lower(now, LEAST)
            else:
                self._quickest = min(self._quickest, seconds)
            theirs, limit = seconds - WAITS * self._own_wait(), max(SLOW, TIMES * self._quickest)
            self._answers += 1
            self._slow += theirs > limit
            self._slower += theirs > PART * limit
            if now - self._since < EVERY:
                return
            if self._slow > SHARE * self._answers:
                self._lower(now, self._most * WHILE_SLOW)
            elif self._slower <= SHARE * self._answers and now - self._lowered_at >= EVERY:
                self._raise()
            self._answers = self._slow = self._slower = 0
            self._since = now

    def _own_wait(self) -> float:
        """How long a thread of ours waits for a processor, the median of late."""
        return median(self._late) if self._late else 0.0

    def _lower(self, now: float, least: float) -> None:
        """Halve it, but not below `least`; the answers to what was sent before that are no second sign."""
        if now - self._lowered_at >= EVERY:
            self._sign_at = self.rate
            self.rate = min(self.rate, max(min(least, self._most), self.rate / 2))
            self._lowered_at = now

    def _raise(self) -> None:
        near = NEAR * self._sign_at
        if self._sign_at == float("inf"):
            self.rate = min(self._most, self.rate * 2)
        elif self.rate < near:
            self.rate = min(near, self.rate + self._most * STEP)
        else:
            self.rate = min(self._most, self.rate + self._most * SMALL_STEP)
