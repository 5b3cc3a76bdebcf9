"""What a swap does to machines: finds the one of a group, runs commands on it, sends it away."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from botocore.exceptions import ClientError

from migration.clients.aws import Aws, Instance
from migration.deadline import Deadline, Permanent, Retryable

# Without these the old member's group would start a second writer while the first is being replaced.
HELD_PROCESSES = ("Launch", "ReplaceUnhealthy", "HealthCheck")
_PENDING = ("Pending", "InProgress", "Delayed")


def running(aws: Aws, group: str) -> Instance | None:
    """The one running instance of a member's group, or None; raises `Permanent` when there are several."""
    found = [item for item in aws.instances_of_groups([group]) if item.state == "running"]
    if len(found) > 1:
        ids = ", ".join(item.id for item in found)
        raise Permanent(f"the group {group} runs {ids}: a member has exactly one machine; look before going on")
    return found[0] if found else None


def hold(aws: Aws, group: str) -> bool:
    """Suspend what could launch a second machine in `group`; False when that was done already."""
    described = aws.groups([group]).get(group)
    if described is None:
        return False
    suspended = {item["ProcessName"] for item in described.get("SuspendedProcesses", [])}
    missing = [process for process in HELD_PROCESSES if process not in suspended]
    if missing:
        aws.autoscaling.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=missing)
    return bool(missing)


def shell(aws: Aws, instance: str, command: str, deadline: Deadline, alive: Callable[[], None]) -> str:
    """Run `command` on a machine through SSM and return its output; it must be harmless to run twice.

    Raises `Permanent` with the machine's own words when it fails.
    """
    alive()
    shown = command.splitlines()[0][:100]
    sent = aws.ssm.send_command(
        InstanceIds=[instance],
        DocumentName="AWS-RunShellScript",
        Parameters={"commands": [command]},
        TimeoutSeconds=max(30, int(min(deadline.remaining, 600))),
    )["Command"]["CommandId"]

    def ended() -> dict[str, str] | None:
        try:
            seen = aws.ssm.get_command_invocation(CommandId=sent, InstanceId=instance)
        except aws.ssm.exceptions.InvocationDoesNotExist:
            return None
        return None if seen["Status"] in _PENDING else seen

    seen = deadline.until(ended, f"`{shown}` on {instance}")
    if seen["Status"] != "Success":
        said = (seen.get("StandardErrorContent") or seen.get("StandardOutputContent") or "").strip()
        raise Permanent(f"`{shown}` on {instance} ended as {seen['Status']}: {said or 'no output'}")
    return seen.get("StandardOutputContent", "")


def send_away(aws: Aws, group: str, deadline: Deadline, alive: Callable[[], None]) -> None:
    """Size 0 for a member's old group, and wait until its machine is gone. Its volume stays."""
    described = aws.groups([group]).get(group)
    if described is None:
        return
    if described["MinSize"] or described["DesiredCapacity"] or described["MaxSize"]:
        alive()
        aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=group, MinSize=0, MaxSize=0, DesiredCapacity=0)

    def gone() -> bool | None:
        left = [item.id for item in aws.instances_of_groups([group])]
        if left:
            raise Retryable(f"{', '.join(left)} still exists")
        return True

    deadline.until(gone, f"the end of {group}'s machine")


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


def healthy(aws: Aws, group: str, address: str) -> bool | None:
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

    def gone() -> bool | None:
        left = [item.state for item in aws.target_health(group) if item.id == target]
        if left:
            raise Retryable(f"{target} is {left[0]}")
        return True

    deadline.until(gone, f"{target} to drain from {group}")
