"""Bounded waiting with an injected clock, and the two kinds of failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


class Permanent(Exception):
    """Trying again changes nothing: the message says what is wrong and what to do."""


class Refused(Permanent):
    """Several reasons at once, each a sentence of its own with its remedy."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


class Retryable(Exception):
    """May pass by itself: the caller tries again until its deadline."""


class OutOfTime(Permanent):
    """The deadline passed; the message names what was waited for and what was last seen."""


def always() -> None:
    """What may always go on."""


@dataclass
class Deadline:
    """A point in time after which no new attempt begins. Seconds of a monotonic clock."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleeper: Callable[[float], None] = time.sleep
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self._end = self.clock() + self.seconds

    @property
    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._end - self.clock())

    def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the deadline."""
        self.sleeper(min(seconds, self.remaining))

    def until(
        self, attempt: Callable[[], T | None], what: str, pause: float = 0.5, alive: Callable[[], None] = always
    ) -> T:
        """The first result of `attempt` that is not None; `Retryable` counts as none.

        `alive` is asked before each attempt, and raises what ends the wait.
        Raises `OutOfTime` with `what` and the last reason when the deadline passes first, and `TypeError` for a
        bool, whose False would pass for a result: `until_true` takes those.
        """
        reason = ""
        while True:
            try:
                alive()
                result = attempt()
                if isinstance(result, bool):
                    raise TypeError(f"the attempt for {what} gave {result}; conditions are waited for by until_true")
                if result is not None:
                    return result
            except Retryable as error:
                reason = f" (last: {error})"
            if self.remaining <= 0:
                raise OutOfTime(f"gave up after {self.seconds:g} s waiting for {what}{reason}; run the same up again")
            self.sleep(pause)

    def until_true(
        self, condition: Callable[[], bool], what: str, pause: float = 0.5, alive: Callable[[], None] = always
    ) -> None:
        """Return once `condition` is true; False and `Retryable` mean: not yet. Raises as `until` does."""
        self.until(lambda: "true" if condition() else None, what, pause, alive)
