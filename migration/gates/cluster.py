"""Gates of the cluster itself: it is healthy before anything begins, and nobody will write back what is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from migration.clients.kubernetes import BUDGETS, NODES, SERVICES
from migration.drain.model import budget_from
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent, Retryable

Facts = Mapping[str, Any]

# Programs that write again whenever what they find isn't what they hold; people and pipelines write once.
CONTINUOUS = (
    "argocd",
    "kustomize-controller",
    "helm-controller",
    "fluxcd",
    "fleet",
    "sveltos",
    "config-sync",
    "crossplane",
)
# Who set a policy by hand may leave word that it is looked after; the value is free text.
PLAN = "vpc-migration/plan"


def ready(node: Mapping[str, Any]) -> bool:
    """Whether a node's Ready condition is true."""
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def healthy(facts: Facts, context: Context) -> str:
    """Nodes ready, budgets met, targets healthy behind the old balancers: a sick cluster isn't moved."""
    kubernetes = context.clients.kubernetes
    nodes = kubernetes.list(NODES)
    unready = sorted(node["metadata"]["name"] for node in nodes if not ready(node))
    if unready or not nodes:
        raise Retryable(f"{len(unready)} of {len(nodes)} nodes aren't ready ({', '.join(unready[:3])})")
    budgets = [budget_from(item) for item in kubernetes.list(BUDGETS)]
    short = [b.key for b in budgets if b.expected and b.current_healthy < b.desired_healthy]
    if short:
        raise Retryable(f"{len(short)} of {len(budgets)} PodDisruptionBudgets aren't met ({', '.join(short[:3])})")
    old, count = facts["old"], 0
    for role in ("ingress", "api") if "ingress" in old else ():
        states = [
            target.state for group in old[role]["targetGroups"] for target in context.clients.aws.target_health(group)
        ]
        if "healthy" not in states:
            raise Retryable(f"the {role} balancer of side {old['name']} has no healthy target")
        count += states.count("healthy")
    return f"{len(nodes)} nodes ready, {len(budgets)} budgets met, {count} targets healthy"


def managers(service: Mapping[str, Any], *path: str) -> list[str]:
    """Field managers that own a field of an object, path as in `managedFields` (``f:spec``, …)."""
    found = []
    for entry in service["metadata"].get("managedFields") or []:
        fields: Any = entry.get("fieldsV1") or {}
        for step in path:
            fields = fields.get(step) if isinstance(fields, Mapping) else None
        if fields is not None:
            found.append(str(entry.get("manager", "")))
    return found


def continuous(names: Iterable[str]) -> list[str]:
    """Those of the field managers that would write their own value back."""
    return sorted({name for name in names if any(known in name.lower() for known in CONTINUOUS)})


def writers_known(facts: Facts, context: Context) -> str:
    """Nobody writes the ingress Service's policy back, and no Service has a balancer of its own without a plan."""
    wanted = facts["ingress"]
    services = context.clients.kubernetes.list(SERVICES)
    ingress = next(
        (
            one
            for one in services
            if (one["metadata"]["namespace"], one["metadata"]["name"]) == (wanted["namespace"], wanted["service"])
        ),
        None,
    )
    if ingress is None:
        raise Permanent(f"there is no Service {wanted['namespace']}/{wanted['service']}; correct migration:ingress")
    owners = managers(ingress, "f:spec", "f:externalTrafficPolicy")
    writers = continuous(owners)
    if writers and PLAN not in (ingress["metadata"].get("annotations") or {}):
        raise Permanent(
            f"{', '.join(writers)} owns externalTrafficPolicy of {wanted['namespace']}/{wanted['service']} and would "
            f"write it back while the ingress moves: pause it there for stages 3 to 6, and say so by annotation {PLAN}"
        )
    _no_health_check_port(facts, context, ingress)
    alone = [
        f"{one['metadata']['namespace']}/{one['metadata']['name']}"
        for one in services
        if one["spec"].get("type") == "LoadBalancer" and PLAN not in (one["metadata"].get("annotations") or {})
    ]
    if alone:
        raise Permanent(
            f"{', '.join(sorted(alone))} of type LoadBalancer: a controller made their balancers in the old VPC, where "
            f"new nodes can't be targets. Make each a NodePort behind a balancer of its own, or say by the annotation "
            f"{PLAN} how it is moved"
        )
    wrote = ", ".join(sorted(set(owners))) or "nobody"
    return f"externalTrafficPolicy was written by {wrote}; no Service has a balancer of its own"


def _no_health_check_port(facts: Facts, context: Context, ingress: Mapping[str, Any]) -> None:
    """A `healthCheckNodePort` goes away with the policy `Cluster`; balancers that check it would lose all targets."""
    port = ingress["spec"].get("healthCheckNodePort")
    if not port:
        return
    arns = facts["old"]["ingress"]["targetGroups"]
    for group in context.clients.aws.target_groups(arns):
        if str(group.get("HealthCheckPort")) == str(port):
            raise Permanent(
                f"target group {group['TargetGroupName']} checks port {port}, the Service's healthCheckNodePort, which "
                f"goes away with externalTrafficPolicy Cluster: let it check traffic-port first"
            )
