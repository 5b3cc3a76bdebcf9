"""Keeping one group still: an old one can't grow, a new one can't shrink.

On an old group, `Launch` and `AZRebalance` are suspended, because a node launched after the taint would be without
it; scheduled actions and scaling policies are, because they would end nodes that nobody drained. What a group had
before is kept on the group itself, as a tag, so that a killed run can still give it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from migration.clients.aws import Aws
from migration.contracts.workers import HeldBefore

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.type_defs import TagTypeDef

TAG = "migration:hold"
# CreateOrUpdateTags and DeleteTags name no limit; a note is some hundred bytes.
TAGS_PER_CALL = 25
PROCESSES = ("Launch", "AZRebalance", "ScheduledActions", "AlarmNotification")


def suspended(group: Mapping[str, Any]) -> set[str]:
    """Names of a group's suspended processes."""
    return {process["ProcessName"] for process in group.get("SuspendedProcesses", [])}


def recorded(group: Mapping[str, Any]) -> HeldBefore | None:
    """What the group's tag says it had before it was held, or None while it isn't."""
    for tag in group.get("Tags", []):
        if tag["Key"] == TAG:
            return HeldBefore.model_validate_json(tag["Value"])
    return None


def note(
    aws: Aws, groups: Sequence[Mapping[str, Any]], before: dict[str, HeldBefore], alive: Callable[[], None]
) -> int:
    """Write what groups have onto them, where no run did, and put it into `before`; how many were written.

    Before anything is held, so that a run killed at any moment finds what to give back.
    """
    fresh: list[TagTypeDef] = []
    for group in groups:
        name, record = group["AutoScalingGroupName"], recorded(group)
        if record is None:
            record = HeldBefore(
                max=group["MaxSize"], suspended=tuple(sorted(suspended(group) & set(PROCESSES))), processes=PROCESSES
            )
            fresh.append({**_tag(name), "Value": record.model_dump_json()})
        before[name] = record
    for start in range(0, len(fresh), TAGS_PER_CALL):
        alive()
        aws.autoscaling.create_or_update_tags(Tags=fresh[start : start + TAGS_PER_CALL])
    return len(fresh)


def hold(aws: Aws, group: Mapping[str, Any], before: Mapping[str, HeldBefore], alive: Callable[[], None]) -> bool:
    """Hold one group, of which `before` knows what it had (`note`); whether anything was changed."""
    name = group["AutoScalingGroupName"]
    changed = False
    running = [process for process in before[name].processes if process not in suspended(group)]
    if running:
        alive()
        aws.autoscaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=running)
        changed = True
    if group["MaxSize"] > group["DesiredCapacity"] and group["DesiredCapacity"] >= group["MinSize"]:
        alive()
        aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=group["DesiredCapacity"])
        changed = True
    return changed


def release(aws: Aws, group: Mapping[str, Any], before: dict[str, HeldBefore], alive: Callable[[], None]) -> bool:
    """Give one group back what it had; whether that is done, and `forget` may follow."""
    name = group["AutoScalingGroupName"]
    record = recorded(group)
    # An emptied group stays shut: on a side that was left nothing may start again, whatever an autoscaler thinks.
    if record is None or (group["DesiredCapacity"] == 0 and group["MinSize"] == 0):
        return False
    before[name] = record
    if group["MaxSize"] != record.max:
        alive()
        aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=record.max)
    ours = [process for process in record.processes if process not in record.suspended]
    if ours:
        alive()
        aws.autoscaling.resume_processes(AutoScalingGroupName=name, ScalingProcesses=ours)
    return True


def forget(aws: Aws, names: Sequence[str], alive: Callable[[], None]) -> None:
    """Take the notes off groups that were given back. Last, so that a run killed before here finds them again."""
    for start in range(0, len(names), TAGS_PER_CALL):
        alive()
        aws.autoscaling.delete_tags(Tags=[_tag(name) for name in names[start : start + TAGS_PER_CALL]])


def _tag(group: str) -> TagTypeDef:
    return {"ResourceId": group, "ResourceType": "auto-scaling-group", "Key": TAG, "PropagateAtLaunch": False}


def set_minimum(aws: Aws, group: Mapping[str, Any], minimum: int) -> bool:
    """Give a new group its minimum; whether anything was changed."""
    if group["MinSize"] == minimum:
        return False
    aws.autoscaling.update_auto_scaling_group(
        AutoScalingGroupName=group["AutoScalingGroupName"],
        MinSize=minimum,
        MaxSize=max(minimum, group["MaxSize"]),
        DesiredCapacity=max(minimum, group["DesiredCapacity"]),
    )
    return True
