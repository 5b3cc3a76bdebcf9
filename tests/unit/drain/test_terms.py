"""Terms of the bound while a drain is on its way: what successors show corrects what pods showed before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migration.drain.index import Changes, Index
from migration.drain.model import Budget, Pod
from migration.drain.plan import View
from migration.drain.terms import Terms
from tests.unit.drain.test_bound import REST, budget, pods, view


def followed(seen: View) -> tuple[Index, Terms]:
    """A view as an index, and its terms, begun."""
    index = Index(REST, View(nodes=frozenset(), pods=(), budgets=(), owners={}))
    index.apply(
        Changes(
            pods=[(pod.uid, pod) for pod in seen.pods],
            budgets=[(one.key, one) for one in seen.budgets],
            facts=seen,
        )
    )
    terms = Terms(index, REST)
    terms.begin(index.lanes.values())
    return index, terms


def successor(pod: Pod, seconds: int) -> Pod:
    """Another of the same owner on the other side, ready after so many seconds."""
    return replace(pod, name="next", uid="u-next", node="new", ready_since=f"2026-05-01T10:00:{seconds:02}Z")


def one_at_a_time() -> Budget:
    return budget("web", allowed=1, expected=4, wants=3)


def test_a_quicker_successor_shortens_the_term_and_the_bound() -> None:
    seen = view(pods("web", 4, starts=40), [one_at_a_time()], web=("Deployment", 4))
    index, terms = followed(seen)
    assert terms.bound_seconds == 160.0
    index.apply(Changes(pods=[("u-next", successor(seen.pods[0], 3)), ("u-web-0", None)]))
    term = terms.of(index.lanes["shop/web"])
    assert (term.pods, term.round_seconds) == (3, 3.0)
    assert terms.bound_seconds == 12.0, "it is about all that was there at first"


def test_a_slower_successor_changes_nothing() -> None:
    seen = view(pods("web", 4, starts=5), [one_at_a_time()], web=("Deployment", 4))
    index, terms = followed(seen)
    index.apply(Changes(pods=[("u-next", successor(seen.pods[0], 50))]))
    assert terms.of(index.lanes["shop/web"]).round_seconds == 5.0


def test_a_stateful_sets_round_keeps_its_pods_end() -> None:
    first = pods("db", 4, kind="StatefulSet", starts=40, grace_seconds=2.0)
    seen = view(first, [budget("db", allowed=1, expected=4, wants=3)], db=("StatefulSet", 4))
    index, terms = followed(seen)
    assert terms.of(index.lanes["shop/db"]).round_seconds == 42.0
    index.apply(Changes(pods=[("u-next", successor(first[0], 3))]))
    assert terms.of(index.lanes["shop/db"]).round_seconds == 5.0


@pytest.mark.parametrize("count", [0, 3])
def test_a_budget_that_is_closed_at_first_has_no_part_in_the_bound(count: int) -> None:
    closed = budget("web", allowed=0, expected=4, wants=4)
    seen = view(pods("web", count, starts=40), [closed], web=("Deployment", 4))
    assert followed(seen)[1].bound_seconds == 0.0
