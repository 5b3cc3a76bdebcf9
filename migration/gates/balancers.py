"""Gates of the load balancers: targets are there and healthy before anything is sent to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from migration.runtime.context import Context
from migration.runtime.deadline import Permanent, Retryable

Facts = Mapping[str, Any]


def _healthy(context: Context, groups: Iterable[str], what: str) -> set[str]:
    """Ids of the targets, all of which are healthy; raises `Retryable` naming those that aren't, or if none are."""
    targets = [target for group in groups for target in context.clients.aws.target_health(group)]
    counted = [target for target in targets if target.state != "draining"]
    ill = [f"{target.id} {target.state} {target.reason}".strip() for target in counted if target.state != "healthy"]
    if ill:
        more = f" and {len(ill) - 3} more" if len(ill) > 3 else ""
        raise Retryable(f"{what}: {', '.join(ill[:3])}{more}")
    if not counted:
        raise Retryable(f"{what}: no target is registered")
    return {target.id for target in counted}


def api_served(facts: Facts, context: Context) -> str:
    """Every old member is a healthy target, by address, of the new side's API balancer."""
    api = facts["new"].get("api")
    if not api:
        raise Retryable("the new side has no API balancer yet")
    balancer = context.clients.aws.elbv2.describe_load_balancers(LoadBalancerArns=[api["arn"]])["LoadBalancers"][0]
    state = balancer.get("State", {}).get("Code", "active")
    if state != "active":
        raise Retryable(f"the new API balancer is {state}")
    found = _healthy(context, api["targetGroups"], "new API balancer")
    missing = sorted({member["address"] for member in facts["members"]} - found)
    if missing:
        raise Retryable(f"the new API balancer lacks {', '.join(missing)}")
    return f"{api['dnsName']} serves {', '.join(sorted(found))}"


def new_targets(facts: Facts, context: Context) -> str:
    """Every running worker of the new side is a healthy ingress target, and the API's targets are healthy."""
    new, aws = facts["new"], context.clients.aws
    ingress = _healthy(context, new["ingress"]["targetGroups"], "new ingress balancer")
    api = _healthy(context, new["api"]["targetGroups"], "new API balancer")
    running = {one.id for one in aws.instances_of_groups(new["workerGroups"]) if one.lifecycle == "InService"}
    missing = sorted(running - ingress)
    if missing:
        raise Retryable(f"{len(missing)} workers aren't ingress targets yet ({', '.join(missing[:3])})")
    return f"{len(ingress)} ingress and {len(api)} API targets are healthy"


def api_instances(facts: Facts, context: Context) -> str:
    """Before the listener moves to the group that Auto Scaling feeds: it holds every member, all healthy and new."""
    new, aws = facts["new"], context.clients.aws
    group = new.get("apiInstanceTargetGroup")
    if not group:
        raise Permanent(f"side {new['name']} has no API target group of instances: it is made at stage 7")
    found = _healthy(context, [group], "API target group of instances")
    members = {one.id for one in aws.instances_of_groups(new["memberGroups"]) if one.state == "running"}
    wanted = len(facts["members"])
    if len(members) != wanted:
        raise Permanent(
            f"{len(members)} of {wanted} members run on side {new['name']}: all must have moved before the old side "
            f"goes; raise migration:controlPlaneMoved at stage 7 first"
        )
    if members - found:
        raise Retryable(f"{', '.join(sorted(members - found))} aren't in the API target group of instances")
    return f"{len(found)} members are healthy as instances"
