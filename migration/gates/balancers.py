"""Gates of the load balancers: targets are there and healthy before anything is sent to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from migration.clients.documents import mapping
from migration.clients.kubernetes import SERVICES, NotFound
from migration.contracts.gates import (
    ApiGroupHealthy,
    ApiServedByNewBalancer,
    BalancerRef,
    BehindBalancer,
    NewTargetsHealthy,
    OldTargetsServe,
)
from migration.etcd.where import address_of
from migration.gates.live import Live
from migration.ingress.service import instances_with_pods
from migration.runtime.deadline import Permanent, Retryable
from migration.stages.table import swapped


def _healthy(live: Live, groups: Iterable[str], what: str, silent: Collection[str] = ()) -> set[str]:
    """Ids of the targets, all of which are healthy; raises `Retryable` naming those that aren't, or if none are.

    What is `silent` needn't be.
    """
    targets = [target for group in groups for target in live.aws.target_health(group)]
    counted = [target for target in targets if target.state != "draining" and target.id not in silent]
    ill = [f"{target.id} {target.state} {target.reason}".strip() for target in counted if target.state != "healthy"]
    if ill:
        more = f" and {len(ill) - 3} more" if len(ill) > 3 else ""
        raise Retryable(f"{what}: {', '.join(ill[:3])}{more}")
    if not counted:
        raise Retryable(f"{what}: no target is registered")
    return {target.id for target in counted}


def api_served(q: ApiServedByNewBalancer, live: Live) -> str:
    """Every old member is a healthy target, by address, of the new side's API balancer."""
    api = live.api(live.side(q.new))
    balancer = live.aws.elbv2.describe_load_balancers(LoadBalancerArns=[api.arn])["LoadBalancers"][0]
    state = balancer.get("State", {}).get("Code", "active")
    if state != "active":
        raise Retryable(f"the new API balancer is {state}")
    found = _healthy(live, api.target_groups, "new API balancer")
    machines = live.aws.instances_of_groups([member.group for member in q.members])
    where = {member.name: address_of(member, machines) for member in q.members}
    nowhere = sorted(name for name, address in where.items() if address is None)
    if nowhere:
        raise Retryable(f"no machine of {', '.join(nowhere)} runs, so its API server can't be a target")
    missing = sorted(f"{name} ({address})" for name, address in where.items() if address not in found)
    if missing:
        raise Retryable(f"the new API balancer lacks {', '.join(missing)}")
    return f"{api.dns_name} serves {', '.join(sorted(found))}"


def new_targets(q: NewTargetsHealthy, live: Live) -> str:
    """Every running worker of the new side is a healthy ingress target, and the API's targets are healthy.

    Where the policy is `Local`, as it is again once the pods have moved, those are that run a ready ingress pod; the
    others answer no health check by design.
    """
    new = live.side(q.new)
    machines = [one for one in live.aws.instances_of_groups(q.worker_groups) if one.lifecycle == "InService"]
    ingresses = live.ingresses(new)
    behind = q.behind or (
        BehindBalancer(
            role="ingress", name="", namespace=q.namespace, service=q.service, worker_groups=q.worker_groups
        ),
    )
    named = _by_name(live, ingresses) if q.behind else {}
    counted: set[str] = set()
    quiet = 0
    for one in behind:
        groups = ingresses["ingress"].target_groups if not q.behind else named.get(one.name, ())
        if not groups:
            raise Retryable(f"side {new.name} has no target group {one.name} yet")
        running = {machine.id for machine in machines if machine.group in one.worker_groups}
        silent = _silent(live, one, running)
        quiet = max(quiet, len(silent))
        what = "new ingress balancer" if one.role == "ingress" else f"new balancer {one.role}"
        counted |= _healthy(live, groups, what, silent)
        known = {target.id for group in groups for target in live.aws.target_health(group)}
        missing = sorted(running - known)
        if missing:
            which = f" of {one.name}" if one.name else ""
            raise Retryable(f"{len(missing)} workers aren't ingress targets{which} yet ({', '.join(missing[:3])})")
    api = _healthy(live, live.api(new).target_groups, "new API balancer")
    said = f"; {quiet} more without an ingress pod" if quiet else ""
    groups = f" behind {len(behind)} target groups" if len(behind) > 1 else ""
    return f"{len(counted)} ingress{groups} and {len(api)} API targets are healthy{said}"


def _by_name(live: Live, ingresses: Mapping[str, BalancerRef]) -> dict[str, tuple[str, ...]]:
    """Target groups (ARN) of all ingress balancers by their names."""
    arns = list(dict.fromkeys(arn for balancer in ingresses.values() for arn in balancer.target_groups))
    return {group["TargetGroupName"]: (group["TargetGroupArn"],) for group in live.aws.target_groups(arns)}


def _silent(live: Live, behind: BehindBalancer, running: set[str]) -> set[str]:
    """Those of the machines that answer no health check by design; raises where no ready pod runs on any."""
    name = f"{behind.namespace}/{behind.service}"
    try:
        service = live.kubernetes.get(SERVICES, behind.service, behind.namespace)
    except NotFound:
        raise Permanent(
            f"Service {name} does not exist; set migration:ingress to the one behind the balancers"
        ) from None
    if mapping(service, "spec").get("externalTrafficPolicy") != "Local":
        return set()
    silent = running - instances_with_pods(live.kubernetes, behind.namespace, behind.service)
    if silent == running:
        raise Retryable(f"no worker of the new side runs a ready pod of {name}")
    return silent


def old_targets(q: OldTargetsServe, live: Live) -> str:
    """Each old balancer has a healthy target and none that is still looked at, so that traffic may go back to it.

    An unhealthy target among healthy ones is no objection: with a policy of `Local` nodes without an ingress pod are.
    """
    old = live.side(q.old)
    told: list[str] = []
    for what, balancer in (*live.ingresses(old).items(), ("API", live.api(old))):
        targets = [target for group in balancer.target_groups for target in live.aws.target_health(group)]
        waiting = [target.id for target in targets if target.state == "initial"]
        if waiting:
            raise Retryable(f"old {what} balancer: {len(waiting)} targets are still looked at ({waiting[0]})")
        healthy = [target.id for target in targets if target.state == "healthy"]
        if not healthy:
            raise Retryable(f"old {what} balancer: none of {len(targets)} targets is healthy")
        told.append(f"{len(healthy)} of {len(targets)} {what} targets")
    return f"the old balancers have {' and '.join(told)} healthy"


def api_instances(q: ApiGroupHealthy, live: Live) -> str:
    """Before the listener moves to the group that Auto Scaling feeds: it holds every member, all healthy and new."""
    new = live.side(q.new)
    if new.api_instances is None:
        raise Permanent(f"side {new.name} has no API target group of instances: it is made at stage {swapped().number}")
    found = _healthy(live, [new.api_instances], "API target group of instances")
    members = {one.id for one in live.aws.instances_of_groups(q.member_groups) if one.state == "running"}
    wanted = len(q.member_groups)
    if len(members) != wanted:
        raise Permanent(
            f"{len(members)} of {wanted} members run on side {new.name}: all must have moved before the old side "
            f"goes; raise migration:controlPlaneMoved at stage {swapped().number} first"
        )
    if members - found:
        raise Retryable(f"{', '.join(sorted(members - found))} aren't in the API target group of instances")
    return f"{len(found)} members are healthy as instances"
