"""The least time of a drain, on literals: which limit decides, what the rate decides, and what stands apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from migration.drain.bound import Closed, Term, lower_bound, observed_round
from migration.drain.model import Budget, Controller, Owner, Pod, pod_from
from migration.drain.plan import Rules, View, plan_drain

REST = Rules(tier="rest", unprotected="25%")


def pods(app: str, count: int, *, kind: str = "ReplicaSet", starts: int = 10, **changes: Any) -> list[Pod]:
    """`count` ready pods of one owner, each ready `starts` seconds after its creation."""
    base = Pod(
        namespace="shop",
        name="",
        uid="",
        node="old",
        labels={"app": app},
        controller=Controller(kind=kind, name=app, uid=f"c-{app}"),
        created="2026-05-01T10:00:00Z",
        ready_since=f"2026-05-01T10:00:{starts:02}Z",
    )
    return [replace(base, name=f"{app}-{n}", uid=f"u-{app}-{n}", **changes) for n in range(count)]


def budget(app: str, *, allowed: int, expected: int, wants: int) -> Budget:
    return Budget(
        namespace="shop",
        name=app,
        selector={"matchLabels": {"app": app}},
        allowed=allowed,
        current_healthy=wants + allowed,
        desired_healthy=wants,
        expected=expected,
    )


def view(every: list[Pod], budgets: list[Budget], **owners: tuple[str, int]) -> View:
    """`owners`: kind and replicas by app."""
    described = {
        f"c-{app}": Owner(kind=kind, namespace="shop", name=app, uid=f"o-{app}", desired=desired)
        for app, (kind, desired) in owners.items()
    }
    return View(nodes=frozenset({"old"}), pods=every, budgets=budgets, owners=described)


def test_the_slowest_budget_decides() -> None:
    seen = view(
        [*pods("web", 40), *pods("db", 7, kind="StatefulSet", starts=20)],
        [budget("web", allowed=4, expected=40, wants=36), budget("db", allowed=1, expected=7, wants=6)],
        web=("Deployment", 40),
        db=("StatefulSet", 7),
    )
    bound = lower_bound(seen, REST, per_second=50)
    assert bound.terms == (
        Term(limit="shop/db", pods=7, at_once=1, round_seconds=25.0),
        Term(limit="shop/web", pods=40, at_once=4, round_seconds=10.0),
    )
    assert [(term.rounds, term.seconds) for term in bound.terms] == [(7, 175.0), (10, 100.0)]
    assert (bound.seconds, bound.pods) == (175.0, 47)
    assert bound.sentence == (
        "at least 2 min 55 s: shop/db lets 1 of 7 pods go at once, and they take 25 s to be ready again"
    )


def test_the_last_round_counts_even_if_it_is_not_full() -> None:
    seen = view(pods("web", 41), [budget("web", allowed=4, expected=41, wants=37)], web=("Deployment", 41))
    assert lower_bound(seen, REST, per_second=50).seconds == 110.0


def test_with_many_pods_the_rate_decides() -> None:
    seen = view(pods("web", 300), [budget("web", allowed=300, expected=300, wants=0)], web=("Deployment", 300))
    bound = lower_bound(seen, REST, per_second=10)
    assert bound.seconds == 30.0
    assert bound.sentence == "at least 30 s: 300 pods at no more than 10 evictions a second"


def test_a_budget_that_allows_none_stands_apart_and_decides_nothing() -> None:
    seen = view(
        [*pods("web", 4), *pods("queue", 3)],
        [budget("web", allowed=1, expected=4, wants=3), budget("queue", allowed=0, expected=3, wants=2)],
        web=("Deployment", 4),
        queue=("Deployment", 3),
    )
    bound = lower_bound(seen, REST, per_second=50)
    assert bound.closed == (Closed(budget="shop/queue", pods=3),)
    assert [term.limit for term in bound.terms] == ["shop/web"]
    assert bound.sentence.endswith("; closed now: shop/queue")


def test_a_budget_that_allows_less_for_a_moment_counts_as_it_will_when_all_are_healthy() -> None:
    seen = view(pods("web", 40), [budget("web", allowed=1, expected=40, wants=30)], web=("Deployment", 40))
    assert lower_bound(seen, REST, per_second=50).terms[0].at_once == 10


def test_pods_without_a_budget_count_by_owner_and_the_default() -> None:
    bound = lower_bound(view(pods("web", 10), [], web=("Deployment", 10)), REST, per_second=50)
    assert bound.terms == (Term(limit="Deployment shop/web", pods=10, at_once=3, round_seconds=10.0),)


def test_an_owner_without_a_budget_counts_as_it_will_with_all_its_pods_ready() -> None:
    seen = view(pods("web", 8), [], web=("Deployment", 10))
    assert plan_drain(seen, REST).lanes[0].allowed == 1
    assert lower_bound(seen, REST, per_second=50).terms[0].at_once == 3


def test_only_the_three_longest_are_kept() -> None:
    seen = view(
        [pod for n in range(1, 6) for pod in pods(f"a{n}", n)],
        [budget(f"a{n}", allowed=1, expected=n + 1, wants=n) for n in range(1, 6)],
        **{f"a{n}": ("Deployment", n) for n in range(1, 6)},
    )
    assert [term.limit for term in lower_bound(seen, REST, per_second=50).terms] == ["shop/a5", "shop/a4", "shop/a3"]


def test_an_estimate_may_be_given() -> None:
    seen = view(pods("web", 4), [budget("web", allowed=1, expected=4, wants=3)], web=("Deployment", 4))
    assert lower_bound(seen, REST, per_second=50, estimate=lambda lane, view: 60.0).seconds == 240.0


def test_nothing_to_move_takes_no_time() -> None:
    bound = lower_bound(view([], []), REST, per_second=50)
    assert (bound.seconds, bound.terms, bound.sentence) == (0.0, (), "no pod to evict")


@pytest.mark.parametrize(
    ("kind", "grace", "seconds"),
    [
        ("Deployment", 30.0, 10.0),  # its next pod starts at the eviction
        ("StatefulSet", 30.0, 15.0),  # ends within 5 s, whatever it may take
        ("StatefulSet", 2.0, 12.0),  # may not take longer than 2 s
    ],
)
def test_a_round_is_the_start_and_where_names_are_kept_the_end_before_it(
    kind: str, grace: float, seconds: float
) -> None:
    seen = view(pods("web", 3, grace_seconds=grace), [], web=(kind, 3))
    assert observed_round(plan_drain(seen, REST).lanes[0], seen) == seconds


def test_a_start_is_the_quickest_of_those_seen() -> None:
    slow = pods("web", 4, starts=59)
    every = [*pods("web", 1, starts=10), *slow[1:3], replace(slow[3], ready_since="")]
    seen = view(every, [], web=("Deployment", 4))
    assert observed_round(plan_drain(seen, REST).lanes[0], seen) == 10.0


def test_what_a_pod_waited_for_a_node_is_no_part_of_its_start() -> None:
    waited = pods("web", 3, starts=42, placed="2026-05-01T10:00:40Z")
    seen = view(waited, [], web=("Deployment", 3))
    assert observed_round(plan_drain(seen, REST).lanes[0], seen) == 2.0


def test_bare_pods_are_followed_by_nothing() -> None:
    seen = view(pods("web", 1, controller=None), [])
    bound = lower_bound(seen, replace(REST, bare_pods=True), per_second=50)
    assert bound.terms == (Term(limit="Pod shop/web-0", pods=1, at_once=1, round_seconds=0.0),)


def test_a_pods_times_are_read_from_the_api() -> None:
    item = {
        "metadata": {"namespace": "a", "name": "b", "uid": "c", "creationTimestamp": "2026-05-01T10:00:00Z"},
        "spec": {"terminationGracePeriodSeconds": 0},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-05-01T10:01:12Z"}],
        },
    }
    pod = pod_from(item)
    assert (pod.start_seconds, pod.grace_seconds) == (72.0, 0.0)
    placed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-05-01T10:01:02Z"}
    assert pod_from({**item, "status": {"conditions": [placed, *item["status"]["conditions"]]}}).start_seconds == 10.0
    item["status"]["conditions"][0]["status"] = "False"
    assert pod_from(item).start_seconds is None
