"""Keeping the autoscaler still while pods move: old groups can't grow, new ones can't shrink.

Inputs: `wanted` ("held" or "released"), `oldGroups` (names), `newGroups` {name: key of its size}, `sizes` (a note's
`groups`). Outputs: `wanted`, `old` {group: what it had before}, `new` {group: its minimum now}.

On an old group, `Launch` and `AZRebalance` are suspended, because a node launched after the taint would be without
it. What a group had before is kept on the group itself, as a tag, so that a killed run can still give it back. New
groups need no tag: what they had is in `sizes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from migration.clients.aws import Aws
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.type_defs import TagTypeDef

TAG = "migration:hold"
PROCESSES = ("Launch", "AZRebalance")


def run(inputs: Mapping[str, Any], previous: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:
    """Hold or release every group that isn't yet."""
    wanted = inputs["wanted"]
    if wanted not in ("held", "released"):
        raise Permanent(f"hold: wanted is {wanted!r}; it is 'held' or 'released'")
    aws = context.clients.aws
    new_groups: Mapping[str, str] = inputs["newGroups"]
    described = aws.groups([*inputs["oldGroups"], *new_groups])
    missing = [name for name in [*inputs["oldGroups"], *new_groups] if name not in described]
    # Old groups are gone at the end (stage 8); there is nothing to give back to those.
    if missing and (wanted == "held" or set(missing) & set(new_groups)):
        raise Permanent(f"Auto Scaling groups {', '.join(missing)} don't exist")
    before: dict[str, Any] = dict((previous or {}).get("old") or {})
    changed = 0
    for name in inputs["oldGroups"]:
        if name not in described:
            continue
        change = _hold if wanted == "held" else _release
        changed += change(aws, described[name], before, context.alive)
    minimums: dict[str, int] = {}
    for name, key in new_groups.items():
        size = inputs["sizes"][key]
        minimums[name] = size["desired"] if wanted == "held" else size["min"]
        context.alive()
        changed += _set_minimum(aws, described[name], minimums[name])
    if changed:
        context.log(f"{changed} of {len(described)} groups {wanted}")
    return {"wanted": wanted, "old": before, "new": minimums}


def suspended(group: Mapping[str, Any]) -> set[str]:
    """Names of a group's suspended processes."""
    return {process["ProcessName"] for process in group.get("SuspendedProcesses", [])}


def recorded(group: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the group's tag says it had before it was held, or None while it isn't."""
    for tag in group.get("Tags", []):
        if tag["Key"] == TAG:
            return json.loads(tag["Value"])
    return None


def _hold(aws: Aws, group: Mapping[str, Any], before: dict[str, Any], alive: Callable[[], None]) -> bool:
    name = group["AutoScalingGroupName"]
    record = recorded(group)
    changed = False
    if record is None:
        record = {"max": group["MaxSize"], "suspended": sorted(suspended(group) & set(PROCESSES))}
        alive()
        tag: TagTypeDef = {
            "ResourceId": name,
            "ResourceType": "auto-scaling-group",
            "PropagateAtLaunch": False,
            "Key": TAG,
            "Value": json.dumps(record),
        }
        aws.autoscaling.create_or_update_tags(Tags=[tag])
        changed = True
    before[name] = record
    running = [process for process in PROCESSES if process not in suspended(group)]
    if running:
        alive()
        aws.autoscaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=running)
        changed = True
    if group["MaxSize"] > group["DesiredCapacity"] and group["DesiredCapacity"] >= group["MinSize"]:
        alive()
        aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=group["DesiredCapacity"])
        changed = True
    return changed


def _release(aws: Aws, group: Mapping[str, Any], before: dict[str, Any], alive: Callable[[], None]) -> bool:
    name = group["AutoScalingGroupName"]
    record = recorded(group)
    # An emptied group stays shut: on a side that was left nothing may start again, whatever an autoscaler thinks.
    if record is None or (group["DesiredCapacity"] == 0 and group["MinSize"] == 0):
        return False
    before[name] = record
    if group["MaxSize"] != record["max"]:
        alive()
        aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, MaxSize=record["max"])
    ours = [process for process in PROCESSES if process not in record["suspended"]]
    if ours:
        alive()
        aws.autoscaling.resume_processes(AutoScalingGroupName=name, ScalingProcesses=ours)
    alive()
    # Last, so that a run killed before here finds it again.
    aws.autoscaling.delete_tags(
        Tags=[{"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": TAG, "PropagateAtLaunch": False}]
    )
    return True


def _set_minimum(aws: Aws, group: Mapping[str, Any], minimum: int) -> bool:
    if group["MinSize"] == minimum:
        return False
    aws.autoscaling.update_auto_scaling_group(
        AutoScalingGroupName=group["AutoScalingGroupName"],
        MinSize=minimum,
        MaxSize=max(minimum, group["MaxSize"]),
        DesiredCapacity=max(minimum, group["DesiredCapacity"]),
    )
    return True
