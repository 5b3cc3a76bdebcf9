"""`status.disruptedPods`: who keeps a budget closed, what isn't in its numbers yet; the controller's lag."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from migration.drain.disrupted import kept_closed
from migration.drain.inflight import HIDDEN, InFlight
from migration.drain.model import Budget, Pod, budget_from
from tests.unit.drain.world import Clock

NOON = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
POD = Pod(namespace="shop", name="db-0", uid="2", node="new", created="2026-01-01T12:00:06Z")
BUDGET = Budget(
    namespace="shop",
    name="db",
    selector={"matchLabels": {"app": "db"}},
    allowed=1,
    current_healthy=3,
    desired_healthy=2,
    expected=3,
    disrupted={"db-0": "2026-01-01T12:00:00Z"},
)


def kept(pod: Pod | None, budget: Budget = BUDGET) -> list[str]:
    return [str(one) for one in kept_closed(budget, lambda namespace, name: pod, NOON)]


def test_a_pod_that_is_back_under_its_name_keeps_the_budget_closed_for_two_minutes_since_its_eviction() -> None:
    assert kept(POD) == [
        "shop/db still counts shop/db-0 as leaving, which is there again (status.disruptedPods), for 90 s more"
    ]


@pytest.mark.parametrize(
    "pod",
    [
        None,  # it has gone: the controller drops the name at its next look
        replace(POD, terminating=True),  # it is going
        replace(POD, created="2026-01-01T11:00:00Z"),  # it is the one that was let go, not yet told to end
        replace(POD, created=""),  # nobody knows
    ],
)
def test_what_the_controller_only_has_to_look_at_is_another_matter(pod: Pod | None) -> None:
    assert kept(pod) == []


def test_a_name_that_is_kept_for_longer_than_that_keeps_nothing_closed() -> None:
    assert kept(POD, replace(BUDGET, disrupted={"db-0": "2026-01-01T11:58:00Z"})) == []


def test_names_are_read_from_the_api() -> None:
    status = {"disruptedPods": {"db-0": "2026-01-01T12:00:00Z"}}
    item = {"metadata": {"namespace": "shop", "name": "db", "uid": "1"}, "spec": {}, "status": status}
    assert budget_from(item).disrupted == status["disruptedPods"]
    assert budget_from({**item, "status": {}}).disrupted == {}


def test_an_eviction_counts_until_the_watch_shows_it_in_the_budget() -> None:
    flight = InFlight(Clock())
    flight.send("shop/db", POD)
    assert flight.unseen("shop/db") == 1
    flight.answer("shop/db", POD, let_go=True)
    assert flight.unseen("shop/db") == 1
    flight.see(replace(BUDGET, disrupted={}))  # a version from before
    assert flight.unseen("shop/db") == 1
    flight.see(BUDGET)
    assert flight.unseen("shop/db") == 0


def test_what_was_refused_changed_nothing() -> None:
    flight = InFlight(Clock())
    flight.send("shop/db", POD)
    flight.answer("shop/db", POD, let_go=False)
    assert flight.unseen("shop/db") == 0


def test_the_watch_may_be_quicker_than_the_answer() -> None:
    flight = InFlight(Clock())
    flight.send("shop/db", POD)
    flight.see(BUDGET)
    flight.see(replace(BUDGET, disrupted={}))
    flight.answer("shop/db", POD, let_go=True)
    assert (flight.unseen("shop/db"), flight.waiting(lambda pod: False)) == (0, (0, 0.0))


def test_what_a_list_hid_counts_for_a_moment_only_and_one_that_isnt_answered_for_as_long_as_that_takes() -> None:
    clock = Clock()
    flight = InFlight(clock)
    flight.send("shop/db", POD)
    clock.sleep(60)
    assert flight.unseen("shop/db") == 1
    flight.answer("shop/db", POD, let_go=True)
    clock.sleep(HIDDEN + 0.1)
    assert flight.unseen("shop/db") == 0


def test_the_controller_is_behind_by_the_oldest_name_it_has_not_dropped() -> None:
    clock = Clock()
    flight = InFlight(clock)
    flight.send("shop/db", POD)
    flight.answer("shop/db", POD, let_go=True)
    flight.see(BUDGET)
    clock.sleep(3)
    assert flight.waiting(lambda pod: False) == (1, 3.0)
    assert flight.waiting(lambda pod: True) == (0, 0.0)  # it is back: that is waited for in another way
    flight.see(replace(BUDGET, disrupted={}))
    assert flight.waiting(lambda pod: False) == (0, 0.0)


def test_what_is_on_its_way_to_the_api_or_to_the_watch_waits_too_and_is_no_sign_of_a_late_controller() -> None:
    clock = Clock()
    flight = InFlight(clock)
    flight.send("shop/db", POD)
    clock.sleep(60)
    assert flight.waiting(lambda pod: False) == (1, 0.0)
    flight.answer("shop/db", POD, let_go=True)
    clock.sleep(HIDDEN / 2)
    assert flight.waiting(lambda pod: False) == (1, 0.0)
    clock.sleep(HIDDEN)
    assert flight.waiting(lambda pod: False) == (0, 0.0)
