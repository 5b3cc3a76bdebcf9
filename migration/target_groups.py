"""Targets of a load balancer's target group: taken in by address, waited for, taken out, drained."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from botocore.exceptions import ClientError

from migration.clients.aws import Aws
from migration.runtime.deadline import Deadline, Retryable


def register(aws: Aws, group: str, address: str, port: int) -> None:
    """Make an address of whichever VPC a target of an `ip` group."""
    try:
        aws.elbv2.register_targets(TargetGroupArn=group, Targets=[_target(aws, group, address, port)])
    except ClientError as error:
        raise Retryable(f"{address} can't be registered: {error}") from error


def _target(aws: Aws, group: str, address: str, port: int) -> dict[str, Any]:
    """Addresses outside the target group's VPC are registered in zone `all` (RegisterTargets, TargetDescription)."""
    vpc = aws.target_groups([group])[0]["VpcId"]
    inside = _in_vpc(aws, vpc, address)
    return {"Id": address, "Port": port} | ({} if inside else {"AvailabilityZone": "all"})


def _in_vpc(aws: Aws, vpc: str, address: str) -> bool:
    described = aws.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]
    blocks = [item["CidrBlock"] for item in described.get("CidrBlockAssociationSet", [])] or [described["CidrBlock"]]
    return any(IPv4Address(address) in IPv4Network(block) for block in blocks)


def healthy(aws: Aws, group: str, address: str) -> bool:
    """True once `address` is a healthy target of `group`; raises `Retryable` with its state before."""
    states = {target.id: target for target in aws.target_health(group)}
    found = states.get(address)
    if found is None:
        raise Retryable(f"{address} is no target of {group}")
    if found.state != "healthy":
        raise Retryable(f"{address} is {found.state} ({found.reason or 'no reason given'})")
    return True


def deregister(aws: Aws, group: str, target: str, alive: Callable[[], None]) -> bool:
    """Take `target` (an address or an instance id) out of `group`; False if it wasn't in. See `drained`."""
    present = [item for item in aws.target_health(group) if item.id == target]
    active = [item for item in present if item.state != "draining"]
    if active:
        alive()
        where = [
            {"Id": item.id, "Port": item.port} | ({"AvailabilityZone": "all"} if item.zone == "all" else {})
            for item in active
        ]
        aws.elbv2.deregister_targets(TargetGroupArn=group, Targets=where)
    return bool(present)


def drained(aws: Aws, group: str, target: str, deadline: Deadline) -> None:
    """Wait until `target` has left `group` for good: its deregistration delay is over."""

    def gone() -> bool:
        left = [item.state for item in aws.target_health(group) if item.id == target]
        if left:
            raise Retryable(f"{target} is {left[0]}")
        return True

    deadline.until_true(gone, f"{target} to drain from {group}")
