"""How long an operation only waited: what its own work took is the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

WORTH_TELLING = 0.1
"""Seconds of waiting below which nothing is said of it."""


@dataclass
class Waits:
    """A sleeper for a `Deadline` that remembers when it slept; threads may sleep at once. Seconds of `clock`."""

    clock: Callable[[], float] = time.monotonic
    sleeper: Callable[[float], None] = time.sleep
    _slept: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def sleep(self, seconds: float) -> None:
        """Sleep, and remember it even where something ends the sleep."""
        begin = self.clock()
        try:
            self.sleeper(seconds)
        finally:
            with self._lock:
                self._slept.append((begin, self.clock()))

    @property
    def seconds(self) -> float:
        """How long at least one thread slept."""
        with self._lock:
            return covered(self._slept)

    def say(self) -> str:
        """What of the time since the beginning was waiting; empty where hardly any was."""
        waited = self.seconds
        return f"waited {waited:.1f} of {self.clock() - self._began:.1f} s" if waited >= WORTH_TELLING else ""


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of a union of intervals, each a begin and an end."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
