"""Emptying a side's nodes of one tier of pods, under every budget; or taking the cordon back.

Inputs: `wanted` ("drained" or "present"), `tier` ("ingress" or "rest"), `groups`, `vpcId`, `ingressNamespace`,
`ingressService` and/or `ingressSelector`, `unprotectedMaxUnavailable`, `emptyDir`, `barePods`,
`maxEvictionsPerSecond`; optional `rescanSeconds` (5), `stallSeconds` (900), `concurrency` (16).
Outputs: `nodes`, `pods`, `evictions`, `restarts`, `rejected429`, `seconds`, `blocked` (empty, or this raises).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from migration.clients.kubernetes import SERVICES
from migration.drain.cluster import Cluster
from migration.drain.executor import Drainer, Pace, Tally
from migration.drain.nodes import change_nodes, cordoned, name_of, nodes_of, uncordoned
from migration.drain.plan import Rules
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent

# Only a second look, at least this long after the last pod went, shows what slipped past the taint.
RESCAN_SECONDS = 5.0


def run(inputs: Mapping[str, Any], previous: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:
    """Drain, or uncordon what an earlier drain cordoned. Raises `Permanent` naming every blocked pod."""
    wanted, tier = inputs["wanted"], inputs["tier"]
    if wanted not in ("drained", "present") or tier not in ("ingress", "rest"):
        raise Permanent(f"drain: wanted is {wanted!r} and tier {tier!r}; drained|present and ingress|rest exist")
    began = context.deadline.clock()
    api = context.clients.kubernetes
    instances = [i.id for i in context.clients.aws.instances_of_groups(inputs["groups"])]
    nodes = nodes_of(api, instances)
    change = cordoned if wanted == "drained" else uncordoned
    changed = change_nodes(api, nodes, change, alive=context.alive, deadline=context.deadline)
    if changed:
        context.log(
            f"{changed} of {len(nodes)} nodes {'cordoned and tainted' if wanted == 'drained' else 'uncordoned'}"
        )
    tally = Tally()
    if wanted == "drained" and nodes:
        tally = _drain(inputs, frozenset(name_of(node) for node in nodes), context)
    return {
        "wanted": wanted,
        "tier": tier,
        "nodes": len(nodes),
        "pods": tally.pods,
        "evictions": tally.evictions,
        "restarts": tally.restarts,
        "rejected429": tally.rejected,
        "seconds": round(context.deadline.clock() - began, 1),
        "blocked": [],
    }


def rules_of(inputs: Mapping[str, Any], context: Context) -> Rules:
    """The drain's rules; without a selector of its own the ingress Service's says which pods are ingress pods."""
    selector = dict(inputs.get("ingressSelector") or {})
    namespace = inputs.get("ingressNamespace") or ""
    if inputs["tier"] == "ingress" and not selector:
        name = inputs.get("ingressService") or ""
        service = context.clients.kubernetes.find(SERVICES, name, namespace) if name else None
        selector = dict(((service or {}).get("spec") or {}).get("selector") or {})
        if not selector:
            raise Permanent(
                f"the ingress pods can't be told: Service {namespace}/{name or '?'} is missing or has no selector; "
                f"set migration:drain.ingressSelector"
            )
    return Rules(
        tier=inputs["tier"],
        ingress_namespace=namespace,
        ingress_selector=selector,
        unprotected=inputs.get("unprotectedMaxUnavailable", "25%"),
        empty_dir=bool(inputs.get("emptyDir", False)),
        bare_pods=bool(inputs.get("barePods", False)),
    )


def _drain(inputs: Mapping[str, Any], nodes: frozenset[str], context: Context) -> Tally:
    pace = Pace(
        per_second=float(inputs.get("maxEvictionsPerSecond", 50)),
        rescan=float(inputs.get("rescanSeconds", RESCAN_SECONDS)),
        stall=float(inputs.get("stallSeconds", 900)),
    )
    cluster = Cluster(context.clients.kubernetes, nodes, context.deadline.clock)
    rules = rules_of(inputs, context)
    cluster.start()
    try:
        with ThreadPoolExecutor(int(inputs.get("concurrency", 16)), thread_name_prefix="evict") as pool:
            drainer = Drainer(
                cluster,
                rules,
                pool,
                off=inputs.get("vpcId") or "old",
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
    return tally
