"""The plan kept change by change is the plan of what is there: any sequence of changes, any rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migration.drain.index import Changes, Index
from migration.drain.model import Budget, Controller, Owner, Pod
from migration.drain.plan import Plan, Rules, View, movable, plan_drain, turn

NODES = frozenset({"old-1", "old-2"})
APPS = ("a", "b", "c")

owners = st.builds(
    Owner,
    kind=st.just("Deployment"),
    namespace=st.sampled_from(["x", "y"]),
    name=st.sampled_from(APPS),
    uid=st.just(""),
    desired=st.integers(0, 6),
    surges=st.booleans(),
    paused=st.booleans(),
)
pods = st.builds(
    Pod,
    namespace=st.sampled_from(["x", "y"]),
    name=st.integers(0, 5).map(str),
    uid=st.just(""),
    node=st.sampled_from(["old-1", "old-2", "new", ""]),
    phase=st.sampled_from(["Running", "Pending", "Succeeded"]),
    ready=st.booleans(),
    terminating=st.booleans(),
    labels=st.sampled_from([{"app": app} for app in APPS]),
    controller=st.sampled_from([None, *(Controller(kind="ReplicaSet", name=app, uid=f"rs-{app}") for app in APPS)]),
    ends_itself=st.booleans(),
    empty_dir=st.booleans(),
    leave_alone=st.sampled_from(["", "", "", "no=yes"]),
)
budgets = st.builds(
    Budget,
    namespace=st.sampled_from(["x", "y"]),
    name=st.just(""),
    selector=st.sampled_from([None, {}, *({"matchLabels": {"app": app}} for app in APPS)]),
    allowed=st.integers(0, 2),
    current_healthy=st.integers(0, 4),
    desired_healthy=st.integers(0, 4),
    expected=st.integers(0, 4),
    fresh=st.booleans(),
)
rules = st.builds(
    Rules,
    tier=st.just("rest"),
    jobs=st.sampled_from(["wait", "evict", "refuse"]),
    finished=st.sampled_from(["leave", "refuse"]),
    empty_dir=st.booleans(),
    bare_pods=st.booleans(),
)


class Both:
    """What is there, and the index that was told of each change."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.pods: dict[str, Pod] = {}
        self.budgets: dict[str, Budget] = {}
        self.facts = View(nodes=NODES, pods=(), budgets=(), owners={})
        self.evicted: set[str] = set()
        self.denied: dict[str, str] = {}
        self.index = Index(rules, self.facts)

    def pod(self, number: int, pod: Pod | None) -> None:
        uid = f"pod-{number}"
        self.pods.pop(uid, None)
        if pod is not None:
            pod = self.pods[uid] = replace(pod, uid=uid)
        self.index.apply(Changes(pods=[(uid, pod)]))

    def budget(self, number: int, budget: Budget | None) -> None:
        uid = f"budget-{number}"
        self.budgets.pop(uid, None)
        if budget is not None:
            budget = self.budgets[uid] = replace(budget, name=uid)
        self.index.apply(Changes(budgets=[(uid, budget)]))

    def know(self, owners: dict[str, Owner]) -> None:
        known = {uid: replace(owner, uid=f"{owner.namespace}-{owner.name}") for uid, owner in owners.items()}
        self.facts = replace(self.facts, owners=known)
        self.index.apply(Changes(facts=self.facts))

    def mark(self, how: str, number: int) -> None:
        uid = f"pod-{number}"
        if how == "evicted":
            self.evicted.add(uid)
            self.index.mark([uid])
        else:
            self.denied[uid] = "refused"
            self.index.mark(denied=[(uid, "refused")])

    @property
    def view(self) -> View:
        return replace(self.facts, pods=list(self.pods.values()), budgets=list(self.budgets.values()))

    @property
    def plan(self) -> Plan:
        return plan_drain(self.view, self.rules, frozenset(self.evicted), self.denied)


one_pod = st.builds(partial, st.just(Both.pod), number=st.integers(0, 9), pod=st.none() | pods)
one_budget = st.builds(partial, st.just(Both.budget), number=st.integers(0, 3), budget=st.none() | budgets)
knowing = st.builds(
    partial, st.just(Both.know), owners=st.dictionaries(st.sampled_from([f"rs-{app}" for app in APPS]), owners)
)
marks = st.builds(partial, st.just(Both.mark), how=st.sampled_from(["evicted", "denied"]), number=st.integers(0, 9))
steps = st.lists(one_pod | one_budget | knowing | marks, max_size=30)


def in_order(plan: Plan) -> Plan:
    """Blocked pods in one order: what was seen first is nothing that a plan promises."""
    return replace(plan, blocked=tuple(sorted(plan.blocked, key=lambda one: (one.pod, one.reason, one.budget))))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules=rules, steps=steps)
def test_after_any_changes_the_index_has_the_plan_of_what_is_there(
    rules: Rules, steps: list[Callable[[Both], None]]
) -> None:
    both = Both(rules)
    for step in steps:
        step(both)
    index, plan = both.index, both.plan
    assert in_order(index.plan()) == in_order(plan)
    assert index.remaining == plan.remaining
    assert index.blocked_count == len(plan.blocked)
    assert index.open == {lane.key for lane in plan.lanes if not lane.closed}
    todo = [one.phase for one in (*plan.lanes, *plan.restarts)] + [plan.phases[pod.uid] for pod in plan.leaving]
    assert index.lowest == min(todo, default=None)
    found = movable(both.view, rules)
    assert index.on_node == {node: count for node in NODES if (count := sum(pod.node == node for pod in found))}
    assert index.unplaced.keys() == {
        pod.uid for pod in both.pods.values() if not pod.node and not pod.terminating and not pod.finished
    }


def test_lanes_that_nothing_touched_are_not_planned_anew() -> None:
    both = Both(Rules(tier="rest"))
    base = Pod(
        namespace="x", name="", uid="", node="old-1", controller=Controller(kind="StatefulSet", name="a", uid="a")
    )
    for number in range(3):
        both.budget(number, Budget(
            namespace="x", name="", selector={"matchLabels": {"app": str(number)}},
            allowed=1, current_healthy=2, desired_healthy=1, expected=2,
        ))  # fmt: skip
        both.pod(number, replace(base, name=str(number), labels={"app": str(number)}))
    before = dict(both.index.lanes)
    both.pod(1, replace(both.pods["pod-1"], ready=False))
    after = both.index.lanes
    assert [after[key] is before[key] for key in sorted(before)] == [True, False, True]
    assert sorted(both.pods.values(), key=turn)[0].uid == "pod-1"


def test_two_pods_of_one_name_have_one_order_whoever_was_seen_first() -> None:
    pod = Pod(namespace="x", name="db-0", uid="", node="old-1", terminating=True)
    both = Both(Rules(tier="rest"))
    both.pod(1, pod)
    both.pod(0, pod)
    assert [one.uid for one in both.index.plan().leaving] == ["pod-0", "pod-1"]
    assert both.index.plan() == both.plan
