"""Gates of the cluster itself: it is healthy before anything begins, and nobody will write back what is changed."""

from __future__ import annotations

from collections.abc import Iterable

from migration.clients.documents import Document, listed, mapping
from migration.clients.kubernetes import BUDGETS, NODES, SERVICES
from migration.contracts.gates import ClusterHealthy, WritersKnown
from migration.drain.model import budget_from
from migration.drain.nodes import ready
from migration.gates.live import Live
from migration.ingress.service import refuse_health_check_ports
from migration.runtime.deadline import Permanent, Retryable

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


def healthy(q: ClusterHealthy, live: Live) -> str:
    """Nodes ready, budgets met, targets healthy behind the old balancers: a sick cluster isn't moved."""
    kubernetes = live.kubernetes
    nodes = kubernetes.list(NODES)
    unready = sorted(node["metadata"]["name"] for node in nodes if not ready(node))
    if unready or not nodes:
        raise Retryable(f"{len(unready)} of {len(nodes)} nodes aren't ready ({', '.join(unready[:3])})")
    budgets = [budget_from(item) for item in kubernetes.list(BUDGETS)]
    short = [b.key for b in budgets if b.expected and b.current_healthy < b.desired_healthy]
    if short:
        raise Retryable(f"{len(short)} of {len(budgets)} PodDisruptionBudgets aren't met ({', '.join(short[:3])})")
    old, count = live.side(q.old), 0
    for role, balancer in (*live.ingresses(old).items(), ("API", live.api(old))):
        states = [target.state for group in balancer.target_groups for target in live.aws.target_health(group)]
        if "healthy" not in states:
            raise Retryable(f"the {role} balancer of side {old.name} has no healthy target")
        count += states.count("healthy")
    return f"{len(nodes)} nodes ready, {len(budgets)} budgets met, {count} targets healthy"


def managers(service: Document, *path: str) -> list[str]:
    """Field managers that own a field of an object, path as in `managedFields` (``f:spec``, …)."""
    found: list[str] = []
    for entry in listed(service, "metadata", "managedFields"):
        fields = mapping(entry, "fieldsV1", *path[:-1])
        if path[-1] in fields:
            found.append(str(entry.get("manager", "")))
    return found


def continuous(names: Iterable[str]) -> list[str]:
    """Those of the field managers that would write their own value back."""
    return sorted({name for name in names if any(known in name.lower() for known in CONTINUOUS)})


def writers_known(q: WritersKnown, live: Live) -> str:
    """Nobody writes the ingress Service's policy back, and no Service has a balancer of its own without a plan."""
    services = live.kubernetes.list(SERVICES)
    named = {f"{one['metadata']['namespace']}/{one['metadata']['name']}": one for one in services}
    every = [group for one in live.ingresses(live.side(q.old)).values() for group in one.target_groups]
    described = live.aws.target_groups(list(dict.fromkeys(every)))
    owners: list[str] = []
    for name in (f"{q.namespace}/{q.service}", *q.more):
        ingress = named.get(name)
        if ingress is None:
            raise Permanent(f"there is no Service {name}; correct migration:ingress")
        wrote = managers(ingress, "f:spec", "f:externalTrafficPolicy")
        writers = continuous(wrote)
        if writers and PLAN not in (ingress["metadata"].get("annotations") or {}):
            raise Permanent(
                f"{', '.join(writers)} owns externalTrafficPolicy of {name} and would "
                f"write it back while the ingress moves: pause it there for stages 3 to 6, and say so by annotation "
                f"{PLAN}"
            )
        refuse_health_check_ports(ingress, described)
        owners += wrote
    alone = [
        f"{one['metadata']['namespace']}/{one['metadata']['name']}"
        for one in services
        if one["spec"].get("type") == "LoadBalancer"
        and PLAN not in (one["metadata"].get("annotations") or {})
        and f"{one['metadata']['namespace']}/{one['metadata']['name']}" not in q.carried
    ]
    if alone:
        raise Permanent(
            f"{', '.join(sorted(alone))} of type LoadBalancer: a controller made their balancers in the old VPC, where "
            f"new nodes can't be targets. Make each a NodePort behind a balancer of its own, or say by the annotation "
            f"{PLAN} how it is moved"
        )
    said = ", ".join(sorted(set(owners))) or "nobody"
    others = f"no Service but {', '.join(q.carried)}, which is carried," if q.carried else "no Service"
    return f"externalTrafficPolicy was written by {said}; {others} has a balancer of its own"
