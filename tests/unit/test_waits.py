"""How long an operation only waited."""

from __future__ import annotations

import pytest

from migration.runtime.deadline import Deadline
from migration.runtime.waits import Waits, covered


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_waits_of_a_deadline_are_told_apart_from_work() -> None:
    clock = Clock()
    waits = Waits(clock, clock.sleep)
    deadline = Deadline(60.0, clock, waits.sleep)
    clock.now += 2.0
    deadline.sleep(1.5)
    deadline.sleep(0.5)
    assert waits.seconds == 2.0
    assert waits.say() == "waited 2.0 of 4.0 s"


def test_nothing_is_said_of_hardly_any() -> None:
    clock = Clock()
    waits = Waits(clock, clock.sleep)
    assert waits.say() == ""
    waits.sleep(0.05)
    assert waits.say() == ""


def test_a_wait_that_something_ends_counts() -> None:
    clock = Clock()

    def ended(seconds: float) -> None:
        clock.now += seconds / 2
        raise KeyboardInterrupt

    waits = Waits(clock, ended)
    with pytest.raises(KeyboardInterrupt):
        waits.sleep(4.0)
    assert waits.seconds == 2.0


def test_threads_that_wait_at_once_wait_once() -> None:
    assert covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0), (5.5, 5.6)]) == 4.0
    assert covered([]) == 0.0
