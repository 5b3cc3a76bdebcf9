"""Emptying a side's nodes of one tier of pods, under every budget; or taking the cordon back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from migration.clients.documents import mapping
from migration.clients.kubernetes import SERVICES
from migration.contracts.workers import DrainInputs, DrainResult
from migration.drain.bound import Bound, lower_bound
from migration.drain.cluster import Cluster
from migration.drain.executor import Drainer, Pace, Tally
from migration.drain.nodes import change_nodes, cordoned, name_of, nodes_of, uncordoned
from migration.drain.plan import Rules
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent


def run(inputs: DrainInputs, previous: DrainResult | None, context: Context) -> DrainResult:
    """Drain, or uncordon what an earlier drain cordoned. Raises `Permanent` naming every blocked pod."""
    wanted = inputs.wanted
    began = context.deadline.clock()
    api = context.clients.kubernetes
    instances = [i.id for i in context.clients.aws.instances_of_groups(inputs.groups)]
    nodes = nodes_of(api, instances)
    change = cordoned if wanted == "drained" else uncordoned
    changed = change_nodes(api, nodes, change, alive=context.alive, deadline=context.deadline)
    if changed:
        context.log(
            f"{changed} of {len(nodes)} nodes {'cordoned and tainted' if wanted == 'drained' else 'uncordoned'}"
        )
    tally, bound = Tally(), None
    if wanted == "drained" and nodes:
        tally, bound = _drain(inputs, frozenset(name_of(node) for node in nodes), context)
    return DrainResult(
        wanted=wanted,
        tier=inputs.tier,
        nodes=len(nodes),
        pods=tally.pods,
        evictions=tally.evictions,
        restarts=tally.restarts,
        rejected429=tally.rejected,
        seconds=round(context.deadline.clock() - began, 1),
        blocked=(),
        bound_seconds=round(bound.seconds, 1) if bound else None,
        bound=bound.sentence if bound else "",
    )


def rules_of(inputs: DrainInputs, context: Context) -> Rules:
    """The drain's rules; without a selector of its own the ingress Service's says which pods are ingress pods."""
    rules = inputs.rules
    selector, namespace = dict(rules.ingress_selector), rules.ingress_namespace
    if inputs.tier == "ingress" and not selector:
        service = context.clients.kubernetes.find(SERVICES, rules.ingress_service, namespace)
        selector = dict(mapping(service or {}, "spec", "selector"))
        if not selector:
            raise Permanent(
                f"the ingress pods can't be told: Service {namespace}/{rules.ingress_service} is missing or has no "
                f"selector; set migration:drain.ingressSelector"
            )
    return Rules(
        tier=inputs.tier,
        ingress_namespace=namespace,
        ingress_selector=selector,
        unprotected=rules.unprotected_max_unavailable,
        empty_dir=rules.empty_dir,
        bare_pods=rules.bare_pods,
    )


def _drain(inputs: DrainInputs, nodes: frozenset[str], context: Context) -> tuple[Tally, Bound]:
    pace = Pace(
        per_second=float(inputs.rules.max_evictions_per_second),
        rescan=inputs.rules.rescan_seconds,
        stall=inputs.rules.stall_seconds,
    )
    cluster = Cluster(context.clients.kubernetes, nodes, context.deadline.clock)
    rules = rules_of(inputs, context)
    bound = lower_bound(cluster.exact(), rules, per_second=pace.per_second)
    context.log(bound.sentence)
    cluster.start()
    try:
        with ThreadPoolExecutor(inputs.rules.concurrency, thread_name_prefix="evict") as pool:
            drainer = Drainer(
                cluster,
                rules,
                pool,
                off=inputs.vpc_id,
                pace=pace,
                deadline=context.deadline,
                alive=context.alive,
                log=context.log,
            )
            blocked = drainer.run()
    finally:
        cluster.close()
    tally = drainer.tally
    if blocked:
        listed = "\n".join(f"  - {item}" for item in blocked)
        raise Permanent(
            f"{tally.evictions} pods were evicted, {len(blocked)} can't be moved; resolve these and run the same up "
            f"again:\n{listed}"
        )
    context.log(f"done: {tally.evictions} evicted, {tally.restarts} rolling restarts, {tally.rejected} refusals (429)")
    return tally, bound
