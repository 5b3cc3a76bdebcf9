"""The pods that a drain would move, from what the cluster shows: the drain's own planner, asked before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from migration.clients.documents import listed
from migration.clients.kubernetes import PODS
from migration.contracts.gates import worker_groups
from migration.contracts.plan import Blocked, BudgetMove, PodsMove
from migration.drain.cluster import Cluster
from migration.drain.model import scaled
from migration.drain.nodes import name_of, nodes_of
from migration.drain.plan import Lane, Rules, View, movable, owner_of, plan_drain
from migration.gates import Live
from migration.plan.bound import drain_bound
from migration.runtime.deadline import Retryable
from migration.settings import Settings
from migration.stages.table import emptied

# Seconds. The API's times are whole seconds, so nothing quicker can be told.
_LEAST = 1.0


def pods(settings: Settings, live: Live) -> PodsMove:
    """What a drain of the old side's nodes would find now. Raises `Retryable` where machines run that aren't nodes."""
    c = settings.configuration
    instances = live.aws.instances_of_groups(worker_groups(settings, c.from_))
    nodes = frozenset(name_of(node) for node in nodes_of(live.kubernetes, [one.id for one in instances]))
    if instances and not nodes:
        raise Retryable(f"{len(instances)} instances of {c.from_} run, but none is a node of this cluster")
    rules = Rules(
        tier="rest",
        unprotected=c.drain.unprotected_max_unavailable,
        empty_dir=c.drain.empty_dir,
        bare_pods=c.drain.bare_pods,
    )
    view = Cluster(live.kubernetes, nodes).exact()
    readiness = {item["metadata"]["uid"]: seconds_to_ready(item) for item in live.kubernetes.list(PODS)}
    return told(view, rules, readiness, c.drain.max_evictions_per_second)


def seconds_to_ready(item: Mapping[str, Any]) -> float | None:
    """How long a pod took from its creation to being ready; None while it isn't."""
    for condition in listed(item, "status", "conditions"):
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            ready, created = condition.get("lastTransitionTime"), item["metadata"].get("creationTimestamp")
            if ready and created:
                return (datetime.fromisoformat(ready) - datetime.fromisoformat(created)).total_seconds()
    return None


def told(view: View, rules: Rules, readiness: Mapping[str, float | None], per_second: int) -> PodsMove:
    """What a drain would do with the pods of a view, and the least that takes."""
    plan = plan_drain(view, rules)
    limits = tuple(_limit(lane, view, rules, readiness) for lane in plan.lanes)
    reasons: dict[str, list[str]] = defaultdict(list)
    for one in plan.blocked:
        reasons[(f"budget {one.budget}: " if one.budget else "") + one.reason].append(one.pod)
    evictions = sum(len(lane.pods) + len(lane.free) for lane in plan.lanes)
    return PodsMove(
        stage=emptied().number,
        nodes=len(view.nodes),
        pods=len(movable(view, rules)),
        limits=tuple(one for one in limits if one.pods),
        restarts=tuple(restart.owner.key for restart in plan.restarts),
        blocked=tuple(Blocked(reason=reason, pods=tuple(names)) for reason, names in reasons.items()),
        bound=drain_bound(limits, evictions, per_second),
    )


def _limit(lane: Lane, view: View, rules: Rules, readiness: Mapping[str, float | None]) -> BudgetMove:
    """A lane's numbers. Its quickest pod stands for all: a bound must not be more than it takes."""
    times = [time for pod in lane.pods if (time := readiness.get(pod.uid)) is not None]
    if lane.budget is not None:
        most = max(lane.allowed, lane.budget.expected - lane.budget.desired_healthy)
    else:
        owner = owner_of(lane.pods[0], view) if lane.pods else None
        desired = len(lane.pods) if owner is None or owner.desired is None else owner.desired
        most = max(lane.allowed, 1, scaled(rules.unprotected, desired, up=True))
    return BudgetMove(
        key=lane.key,
        protected=lane.budget is not None,
        pods=len(lane.pods),
        allowed=lane.allowed,
        at_once=most,
        each_seconds=max(_LEAST, min(times, default=_LEAST)),
    )
