"""Emptying some nodes of a tier of pods: looked at first, then cordoned and drained under every budget."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from migration.clients.documents import Document, mapping
from migration.clients.kubernetes import NODES, SERVICES
from migration.contracts.workers import DrainInputs, DrainRules
from migration.drain.bound import Bound, lower_bound
from migration.drain.brake import Pace
from migration.drain.cluster import Cluster
from migration.drain.executor import Drainer, Tally
from migration.drain.nodes import Change, change_nodes, cordoned, name_of
from migration.drain.plan import Blocked, Rules, View, plan_drain
from migration.drain.room import room_for
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent
from migration.workers.fleet import some_pods


@dataclass(frozen=True, kw_only=True)
class Work:
    """Which pods leave, and how. `off` names what is left (a VPC's id, a selector), for rolling restarts.

    `by_option`: the rules are a command's options; remedies name those then.
    """

    tier: Literal["ingress", "rest"]
    rules: DrainRules
    off: str
    by_option: bool = False

    @classmethod
    def of(cls, inputs: DrainInputs) -> Work:
        """What an operation is asked for."""
        return cls(tier=inputs.tier, rules=inputs.rules, off=inputs.vpc_id)


@dataclass(frozen=True, kw_only=True)
class First:
    """What the look before the first eviction saw."""

    view: View
    rules: Rules
    bound: Bound


def empty(nodes: Sequence[Document], inputs: DrainInputs, context: Context) -> tuple[Tally, Bound]:
    """Cordon these nodes and drain them of the tier; what was done, and the least that it takes.

    Raises `Permanent` before anything is changed where there is no room, afterwards naming every blocked pod.
    """
    work, tally = Work.of(inputs), Tally()
    first = look_first(nodes, work, context)
    cordon(nodes, cordoned, "cordoned and tainted", context)
    if blocked := drain(nodes, work, first.rules, context, tally):
        listed = "\n".join(f"  - {item}" for item in blocked)
        raise Permanent(
            f"{tally.evictions} pods were evicted, {len(blocked)} can't be moved; resolve these and run the same up "
            f"again:\n{listed}"
        )
    return tally, first.bound


def room(nodes: Sequence[Document], inputs: DrainInputs, context: Context) -> Bound:
    """Only look whether what is on these nodes finds room elsewhere; raises `Permanent` where it doesn't."""
    return look_first(nodes, Work.of(inputs), context).bound


def _cluster(nodes: Sequence[Document], context: Context) -> Cluster:
    return Cluster(context.clients.kubernetes, frozenset(map(name_of, nodes)), context.deadline.clock)


def cordon(nodes: Sequence[Document], change: Change, what: str, context: Context) -> None:
    """Change the nodes, and say of how many that was new; `what` is the word for it."""
    api = context.clients.kubernetes
    changed = change_nodes(api, nodes, change, alive=context.alive, deadline=context.deadline)
    if changed:
        context.log(f"{changed} of {len(nodes)} nodes {what}")


def look_first(nodes: Sequence[Document], work: Work, context: Context, *, refuse: bool = True) -> First:
    """Say what stays and the least it takes; with `refuse`, refuse where those that move find no room.

    Raises `Permanent` where the cluster shows no pod at all.
    """
    rules = rules_of(work, context)
    view = _cluster(nodes, context).exact()
    some_pods(view.pods)
    plan = plan_drain(view, rules)
    moved = [pod for lane in plan.lanes for pod in (*lane.free, *lane.pods)]
    moved += [pod for restart in plan.restarts for pod in restart.pods]
    verdict = room_for(view, moved, context.clients.kubernetes.list(NODES))
    if verdict.refusal and work.rules.require_room and refuse:
        remedy = "give --no-require-room" if work.by_option else rules.remedy("requireRoom", "false")
        raise Permanent(
            f"there is no room for the {len(moved)} pods to move: {verdict.refusal}; add nodes to the new side, or "
            f"{remedy} if an autoscaler adds them (a moved pod without a node stops the drain then)"
        )
    if warned := verdict.refusal or verdict.warning:
        context.log(f"warning: nodes without a taint may not hold the pods to move: {warned}")
    ended = sum(1 for pod in view.pods if pod.finished and pod.node in view.nodes and not pod.stays)
    if ended and rules.finished == "leave":
        context.log(f"{ended} ended pods stay on the nodes; their logs go with them")
    if plan.ending:
        context.log(f"{len(plan.ending)} pods run to completion and are waited for (drain.jobs)")
    bound = lower_bound(view, rules, per_second=float(work.rules.max_evictions_per_second))
    context.log(bound.sentence)
    return First(view=view, rules=rules, bound=bound)


def rules_of(work: Work, context: Context) -> Rules:
    """The drain's rules; without a selector of its own the ingress Service's says which pods are ingress pods."""
    rules = work.rules
    selector, namespace = dict(rules.ingress_selector), rules.ingress_namespace
    if work.tier == "ingress" and not selector:
        selector = _selector(context, namespace, rules.ingress_service)
    more = rules.more_ingress if work.tier == "ingress" else ()
    return Rules(
        tier=work.tier,
        ingress_namespace=namespace,
        ingress_selector=selector,
        more_ingress=tuple((one.namespace, _selector(context, one.namespace, one.service)) for one in more),
        unprotected=rules.unprotected_max_unavailable,
        empty_dir=rules.empty_dir,
        bare_pods=rules.bare_pods,
        jobs=rules.jobs,
        finished=rules.finished_pods,
        host_path=rules.host_path,
        local_volumes=rules.local_volumes,
        by_option=work.by_option,
    )


def _selector(context: Context, namespace: str, name: str) -> dict[str, str]:
    """The labels of a Service's pods; raises `Permanent` where it names none."""
    service = context.clients.kubernetes.find(SERVICES, name, namespace)
    selector: dict[str, str] = dict(mapping(service or {}, "spec", "selector"))
    if not selector:
        raise Permanent(
            f"the ingress pods can't be told: Service {namespace}/{name} is missing or has no "
            f"selector; set migration:drain.ingressSelector"
        )
    return selector


def drain(nodes: Sequence[Document], work: Work, settled: Rules, context: Context, tally: Tally) -> list[Blocked]:
    """Move what may be moved by the rules that `look_first` came to, counting in `tally`; returns what is blocked.

    Raises `executor.Unfinished`.
    """
    rules = work.rules
    pace = Pace(
        per_second=float(rules.max_evictions_per_second),
        rescan=rules.rescan_seconds,
        stall=rules.stall_seconds,
        pending=rules.pending_seconds,
        unplaced=rules.max_unplaced_pods,
        width=rules.concurrency,
    )
    cluster = _cluster(nodes, context)
    cluster.start()
    try:
        with ThreadPoolExecutor(rules.concurrency, thread_name_prefix="evict") as pool:
            drainer = Drainer(
                cluster,
                settled,
                pool,
                off=work.off,
                pace=pace,
                deadline=context.deadline,
                alive=context.alive,
                log=context.log,
                tally=tally,
            )
            blocked = drainer.run()
    finally:
        cluster.close()
    if not blocked:
        context.log(
            f"done: {tally.evictions} evicted, {tally.restarts} rolling restarts, {tally.rejected} refusals (429)"
        )
    return blocked
