"""Targets: registered by id and port, `initial` until somebody's health check speaks, `draining` before they are gone.

Source: Elastic Load Balancing, Network Load Balancers, "Target groups" (target health status, deregistration delay).
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from moto.elbv2.exceptions import TargetGroupNotFoundError, TargetNotRunning
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup

from lab.aws.hooks import Refused, active, define, inner_rule, instead
from lab.aws.world import WORLD

DESCRIPTIONS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.NotRegistered": "Target is not registered to the target group",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.InvalidState": "Target is in the stopped or terminated state",
}

inner_rule("instance_of_another_vpc", "ELB API reference, RegisterTargets: the target is in the target group's VPC")
inner_rule(
    "address_outside_the_vpc",
    "ELB API reference, TargetDescription, AvailabilityZone: 'all' if the address is outside the VPC; and the NLB user"
    " guide, Target type: RFC 1918, RFC 6598 or the VPC's subnets",
)


def key_of(target_id: str, port: Any) -> str:
    return f"{target_id}:{port}"


def _used_by(group: FakeTargetGroup) -> list[str]:
    """The balancers with a listener to the group: moto appends and never removes, so it is looked up instead."""
    backend = WORLD.elbv2
    return [
        balancer.arn
        for balancer in backend.load_balancers.values()
        if any(
            group.arn in backend._get_target_group_arns_from(action.data)
            for listener in balancer.listeners.values()
            for rule in listener.rules.values()
            for action in rule.actions
        )
    ]


# moto assigns and appends to it; both go nowhere, the truth is in the listeners.
define(FakeTargetGroup, "load_balancer_arns", property(_used_by, lambda _self, _value: None))


@instead(FakeTargetGroup, "register")
def register(_original: Any, group: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
    """RegisterTargets: all or none; registering again changes nothing, also while it drains it comes back."""
    entries: dict[str, dict[str, Any]] = {}
    for target in targets:
        entry = _checked(group, target)
        entries[key_of(entry["Id"], entry["Port"])] = entry
    for key, entry in entries.items():
        group.deregistered_targets.pop(key, None)
        if key not in group.targets:
            group.targets[key] = entry
            WORLD.health.get(group.arn, {}).pop(key, None)
    WORLD.bump()


def _checked(group: FakeTargetGroup, target: dict[str, Any]) -> dict[str, Any]:
    port = int(target.get("Port") or group.port)
    entry: dict[str, Any] = {"Id": target["Id"], "Port": port, "since": WORLD.clock()}
    if group.target_type == "instance":
        instance = WORLD.ec2.get_instance_by_id(target["Id"])
        if instance is None:
            raise Refused("InvalidTarget", f"The following targets are not valid instances: '{target['Id']}'")
        if instance.vpc_id != group.vpc_id and active("instance_of_another_vpc"):
            raise Refused(
                "InvalidTarget",
                f"The following targets are not in the target group VPC '{group.vpc_id}': '{target['Id']}'",
            )
        if instance.state != "running":
            raise TargetNotRunning(instance_id=target["Id"])
        entry["AvailabilityZone"] = instance.availability_zone
    elif group.target_type == "ip":
        entry["AvailabilityZone"] = _zone_of_address(group, target)
    return entry


def _zone_of_address(group: FakeTargetGroup, target: dict[str, Any]) -> str:
    wanted = target.get("AvailabilityZone")
    try:
        address = ip_address(target["Id"])
    except ValueError:
        raise Refused("ValidationError", f"The IP address '{target['Id']}' is not a valid IPv4 address") from None
    for by_zone in WORLD.ec2.subnets.values():
        for subnet in by_zone.values():
            if subnet.vpc_id == group.vpc_id and address in ip_network(subnet.cidr_block):
                zone = subnet.availability_zone
                if wanted and wanted != zone and active("address_outside_the_vpc"):
                    raise Refused(
                        "ValidationError",
                        f"The IP address '{address}' is within the VPC, and cannot have its Availability Zone"
                        f" overridden to '{wanted}' from '{zone}'",
                    )
                return zone
    if active("address_outside_the_vpc"):
        if not any(address in ip_network(n) for n in WORLD.settings.private_networks):
            raise Refused(
                "ValidationError",
                f"The IP address '{address}' is not a valid target: it must be in a subnet of the VPC or from"
                " 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12 or 192.168.0.0/16",
            )
        if wanted != "all":
            raise Refused(
                "ValidationError",
                f"You must specify a valid Availability Zone or select 'all' for all enabled Availability zones, since"
                f" the IP address '{address}' is outside the VPC",
            )
    return wanted or "all"


@instead(FakeTargetGroup, "deregister")
def deregister(_original: Any, group: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
    """DeregisterTargets: drains for the group's delay (capped by the lab's setting). An unknown target is no error.

    Source: ELB API reference, DeregisterTargets: "If the specified target does not exist, the action returns
    successfully".
    """
    delay = min(
        float(group.attributes.get("deregistration_delay.timeout_seconds", 300)), WORLD.settings.deregistration_s
    )
    for target in targets:
        key = key_of(target["Id"], int(target.get("Port") or group.port))
        entry = group.targets.pop(key, None)
        if entry is None:
            continue
        WORLD.health.get(group.arn, {}).pop(key, None)
        if delay > 0 and group.load_balancer_arns:
            entry = {**entry, "since": WORLD.clock()}
            group.deregistered_targets[key] = entry
            WORLD.after(delay, lambda k=key, e=entry: _drained(group, k, e))
    WORLD.bump()


def _drained(group: FakeTargetGroup, key: str, entry: dict[str, Any]) -> None:
    if group.deregistered_targets.get(key) is entry:
        del group.deregistered_targets[key]
        WORLD.bump()


@instead(FakeTargetGroup, "deregister_terminated_instances")
def deregister_dead(_original: Any, group: FakeTargetGroup, instance_ids: list[str]) -> None:
    """A terminated instance leaves its groups by itself."""
    dead = [{"Id": t["Id"], "Port": t["Port"]} for t in group.targets.values() if t["Id"] in instance_ids]
    if dead and group.target_type == "instance":
        group.deregister(dead)


@instead(ELBv2Backend, "describe_target_health")
def describe(
    _original: Any, backend: ELBv2Backend, target_group_arn: str, targets: list[dict[str, Any]]
) -> list[FakeHealthStatus]:
    """DescribeTargetHealth, from the reports alone: nobody's word means `initial`."""
    group = backend.target_groups.get(target_group_arn)
    if group is None:
        raise TargetGroupNotFoundError()
    if targets:
        keys = [key_of(t["Id"], int(t.get("Port") or group.port)) for t in targets]
    else:
        keys = [*group.targets, *(k for k in group.deregistered_targets if k not in group.targets)]
    return [_health(group, key) for key in keys]


def _health(group: FakeTargetGroup, key: str) -> Any:
    target_id, _, port = key.rpartition(":")
    report = WORLD.health.get(group.arn, {}).get(key, {})
    if key in group.targets:
        state, reason = report.get("state", "initial"), report.get("reason")
        if not group.load_balancer_arns:
            state, reason = "unused", "Target.NotInUse"
        elif state == "initial":
            reason = reason or "Elb.InitialHealthChecking"
        elif state == "unhealthy":
            reason = reason or "Target.FailedHealthChecks"
    elif key in group.deregistered_targets:
        state, reason = "draining", "Target.DeregistrationInProgress"
    else:
        state, reason = "unused", "Target.NotRegistered"
    if state == "healthy":
        reason = None
    check_port = port if group.health_check_port == "traffic-port" else str(group.health_check_port)
    status = FakeHealthStatus(target_id, port, check_port, state, reason, DESCRIPTIONS.get(reason or ""))
    entry = group.targets.get(key) or group.deregistered_targets.get(key) or {}
    status.zone = entry.get("AvailabilityZone")  # type: ignore[attr-defined]
    return status


def _described_target(status: FakeHealthStatus) -> dict[str, Any]:
    target: dict[str, Any] = {"Id": status.instance_id, "Port": int(status.port)}
    if zone := getattr(status, "zone", None):
        target["AvailabilityZone"] = zone
    return target


define(FakeHealthStatus, "target", property(_described_target))
