"""How many evictions a second: quickly up to what is allowed, down at each sign that the server has too much."""

from __future__ import annotations

from itertools import pairwise

import pytest

from migration.drain.pacer import Pacer
from tests.unit.drain.world import Clock


def second(pacer: Pacer, clock: Clock, *, took: float = 0.02, busy: bool = False, calls: int = 10) -> float:
    """A second of calls that are answered so; what it asks for then."""
    for _ in range(calls):
        clock.sleep(1.0 / calls)
        pacer.answered(took, busy=busy)
    clock.sleep(0.01)
    return pacer.rate


def test_turns_are_spaced_evenly() -> None:
    clock = Clock()
    pacer = Pacer(8, clock, clock.sleep)
    for _ in range(5):
        pacer.take()
    assert clock.now == 1.0  # half of what is allowed, at first


def test_it_begins_at_half_and_is_never_above_what_is_allowed() -> None:
    clock = Clock()
    pacer = Pacer(50, clock, clock.sleep)
    assert pacer.rate == 25
    assert [second(pacer, clock) for _ in range(4)][-1] == 50


def test_one_a_second_is_one_a_second() -> None:
    clock = Clock()
    pacer = Pacer(1, clock, clock.sleep)
    assert pacer.rate == 1
    assert second(pacer, clock, busy=True) == 1


def test_a_busy_server_halves_it_once_for_all_that_was_sent_before() -> None:
    clock = Clock()
    pacer = Pacer(40, clock, clock.sleep)
    for _ in range(5):
        pacer.answered(0.02, busy=True)
    assert pacer.rate == 10


def test_after_that_it_rises_quickly_to_where_the_sign_nearly_came_and_slowly_from_there() -> None:
    clock = Clock()
    pacer = Pacer(40, clock, clock.sleep)
    pacer.answered(0.02, busy=True)
    rates = [pacer.rate, *(second(pacer, clock) for _ in range(8))]
    assert rates[0] == 10, "half of where it was: 20"
    assert {round(later - before, 6) for before, later in pairwise(rates) if later < 16} <= {0.0, 2.0}
    assert 16.0 in rates
    assert {round(later - before, 6) for before, later in pairwise(rates) if before >= 16} == {0.4}


def test_evictions_that_begin_to_take_long_keep_it_where_it_is() -> None:
    clock = Clock()
    pacer = Pacer(400, clock, clock.sleep)
    pacer.answered(0.02)
    second(pacer, clock, took=0.7)
    before = pacer.rate
    assert before < 400
    assert [second(pacer, clock, took=0.7) for _ in range(3)] == [before] * 3


def test_its_own_wait_for_a_processor_is_no_sign() -> None:
    clock = Clock()

    def late(seconds: float) -> None:
        clock.sleep(seconds + 0.6)

    pacer = Pacer(40, clock, late)
    for _ in range(10):
        pacer.take()
    for _ in range(3):
        second(pacer, clock, took=1.3)
    assert pacer.rate == 40


def test_what_the_server_asks_to_wait_is_waited_by_every_thread() -> None:
    clock = Clock()
    pacer = Pacer(1000, clock, clock.sleep)
    pacer.answered(0.02, busy=True, retry_after=7.0)
    pacer.take()
    assert clock.now == 7.0


def test_growing_times_are_a_sign_and_a_server_far_away_is_none() -> None:
    clock = Clock()
    slow, far = Pacer(40, clock, clock.sleep), Pacer(40, clock, clock.sleep)
    second(slow, clock)
    second(far, clock, took=0.4)
    for pacer in (slow, far):
        for _ in range(3):
            second(pacer, clock, took=1.4)
    assert slow.rate == 10
    assert far.rate == 40


def test_slow_evictions_alone_stop_at_a_share_where_a_server_that_says_no_goes_on() -> None:
    clock = Clock()
    pacer = Pacer(50, clock, clock.sleep)
    second(pacer, clock)
    for _ in range(6):
        second(pacer, clock, took=3.0)
    assert pacer.rate == 2
    for _ in range(6):
        second(pacer, clock, busy=True)
    assert pacer.rate == 1


def test_a_few_slow_ones_are_no_sign() -> None:
    clock = Clock()
    pacer = Pacer(50, clock, clock.sleep)
    for _ in range(5):
        pacer.answered(3.0)
        second(pacer, clock)
    assert pacer.rate == 50


def test_one_slow_answer_in_a_second_is_no_sign() -> None:
    clock = Clock()
    pacer = Pacer(40, clock, clock.sleep)
    pacer.answered(0.02)
    pacer.answered(3.0)
    assert second(pacer, clock, calls=20) == 40


@pytest.mark.parametrize("signs", [3, 30])
def test_it_never_stops_altogether(signs: int) -> None:
    clock = Clock()
    pacer = Pacer(40, clock, clock.sleep)
    for _ in range(signs):
        second(pacer, clock, busy=True)
    assert pacer.rate >= 1
