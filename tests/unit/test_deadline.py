"""Waiting with a bound: what counts as a result, what as not yet, and what can't be misused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from migration.runtime.deadline import Deadline, OutOfTime, Retryable


def deadline(seconds: float = 3.0) -> Deadline:
    """One whose clock is moved by its sleeps alone."""
    now = [0.0]

    def sleep(pause: float) -> None:
        now[0] += max(pause, 0.001)

    return Deadline(seconds, lambda: now[0], sleep)


def answers(*values: object) -> Callable[[], object]:
    """An attempt that gives these in turn, raising those that are exceptions."""
    left = iter(values)

    def attempt() -> object:
        value = next(left)
        if isinstance(value, Exception):
            raise value
        return value

    return attempt


@pytest.mark.parametrize("result", ["found", 0, "", [], ()])
def test_everything_but_none_is_a_result(result: object) -> None:
    assert deadline().until(answers(None, Retryable("not yet"), result), "it") == result


@pytest.mark.parametrize("result", [True, False])
def test_a_bool_is_no_result_since_false_would_pass_for_success(result: bool) -> None:
    with pytest.raises(TypeError, match="until_true"):
        deadline().until(lambda: result, "it")


def test_a_condition_is_waited_for_until_it_is_true() -> None:
    seen = [False, False, True]
    deadline().until_true(lambda: seen.pop(0), "it")
    assert seen == []


def test_a_condition_that_stays_false_runs_out_of_time() -> None:
    with pytest.raises(OutOfTime, match="gave up after 3 s waiting for the lamp;"):
        deadline().until_true(lambda: False, "the lamp")


def test_the_last_reason_is_told() -> None:
    def never() -> str | None:
        raise Retryable("it is dark")

    with pytest.raises(OutOfTime, match=r"waiting for the lamp \(last: it is dark\)"):
        deadline().until(never, "the lamp")
