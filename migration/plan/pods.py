"""The pods that a drain would move, from what the cluster shows: the drain's own planner and bound, asked before."""

from __future__ import annotations

from collections import defaultdict

from migration.contracts.gates import worker_groups
from migration.contracts.plan import Blocked, DrainBound, DrainPlan, DrainTerm, Limit, PodsMove
from migration.drain.bound import Bound, lower_bound
from migration.drain.cluster import Cluster
from migration.drain.nodes import name_of, nodes_of
from migration.drain.plan import Rules, View, movable, plan_drain
from migration.gates import Live
from migration.runtime.deadline import Retryable
from migration.settings import Settings
from migration.stages.table import emptied


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
        jobs=c.drain.jobs,
        finished=c.drain.finished_pods,
        host_path=c.drain.host_path,
        local_volumes=c.drain.local_volumes,
    )
    view = Cluster(live.kubernetes, nodes).exact()
    seen = told(view, rules, lower_bound(view, rules, per_second=c.drain.max_evictions_per_second))
    return PodsMove(stage=emptied().number, **dict(seen))


def told(view: View, rules: Rules, bound: Bound) -> DrainPlan:
    """What a drain would do with the pods of a view; `bound` is the least that takes."""
    plan = plan_drain(view, rules)
    reasons: dict[str, list[str]] = defaultdict(list)
    for one in plan.blocked:
        reasons[(f"budget {one.budget}: " if one.budget else "") + one.reason].append(one.pod)
    return DrainPlan(
        nodes=len(view.nodes),
        pods=len(movable(view, rules)),
        limits=tuple(
            Limit(key=lane.key, protected=lane.budget is not None, pods=len(lane.pods), allowed=lane.allowed)
            for lane in plan.lanes
            if lane.pods
        ),
        restarts=tuple(restart.owner.key for restart in plan.restarts),
        blocked=tuple(Blocked(reason=reason, pods=tuple(names)) for reason, names in reasons.items()),
        bound=drain_bound(bound),
    )


def drain_bound(bound: Bound) -> DrainBound | None:
    """The least a drain can take, with its longest terms, as it is told; None where nothing has to be evicted."""
    if not bound.pods:
        return None
    return DrainBound(
        seconds=bound.seconds,
        streaming_seconds=bound.streaming_seconds,
        evictions=bound.pods,
        per_second=round(bound.per_second),
        terms=tuple(
            DrainTerm(limit=term.limit, pods=term.pods, at_once=term.at_once, round_seconds=term.round_seconds)
            for term in bound.terms
        ),
    )
