"""Targets of a load balancer's target group: taken in by address, waited for, taken out, drained."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from migration.clients.aws import Aws
from migration.reachability import vpc_cidrs
from migration.runtime.deadline import Deadline, Retryable

if TYPE_CHECKING:
    from mypy_boto3_elbv2.type_defs import TargetDescriptionTypeDef


def register(aws: Aws, group: str, address: str, port: int) -> None:
    """Make an address of whichever VPC a target of an `ip` group."""
    try:
        aws.elbv2.register_targets(TargetGroupArn=group, Targets=[_target(aws, group, address, port)])
    except ClientError as error:
        raise Retryable(f"{address} can't be registered: {error}") from error


def register_instance(aws: Aws, group: str, instance: str, port: int) -> None:
    """Add an instance to a target group of instances; raises `Retryable` while AWS doesn't take it."""
    try:
        aws.elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": instance, "Port": port}])
    except ClientError as error:
        raise Retryable(f"{instance} can't be registered: {error}") from error


def _target(aws: Aws, group: str, address: str, port: int) -> TargetDescriptionTypeDef:
    """Addresses outside the target group's VPC are registered in zone `all` (RegisterTargets, TargetDescription)."""
    vpc = aws.target_groups([group])[0]["VpcId"]
    return _description(address, port, everywhere=not _in_vpc(aws, vpc, address))


def _description(target: str, port: int, *, everywhere: bool) -> TargetDescriptionTypeDef:
    described: TargetDescriptionTypeDef = {"Id": target, "Port": port}
    if everywhere:
        described["AvailabilityZone"] = "all"
    return described


def _in_vpc(aws: Aws, vpc: str, address: str) -> bool:
    [found] = aws.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    return any(IPv4Address(address) in IPv4Network(cidr) for cidr in vpc_cidrs(found))


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
        where = [_description(item.id, item.port, everywhere=item.zone == "all") for item in active]
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
