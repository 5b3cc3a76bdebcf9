"""Auto Scaling groups.

Source: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/autoscaling_group: only the name replaces;
waits for capacity after create and update; empties a group before deleting it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.vpc import DOCS
from lab.plugins.errors import PluginError
from lab.plugins.schema import ResourceType, block, blocks, flag, number, text, texts

_BUSY = ("ResourceInUse", "ResourceInUseFault", "ScalingActivityInProgress", "ScalingActivityInProgressFault")
_CAPACITY_S = 600.0
_LAGS = ("ValidationError",)  # a role, profile or template that AWS doesn't see yet

# Wire name → argument of Create/UpdateAutoScalingGroup, plain values.
_PLAIN = {
    "minSize": "MinSize",
    "maxSize": "MaxSize",
    "desiredCapacity": "DesiredCapacity",
    "healthCheckGracePeriod": "HealthCheckGracePeriod",
}


def _group(call: Call) -> dict[str, Any] | None:
    found = call.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[call.id])
    groups = found["AutoScalingGroups"]
    # A group that is going has a status, and is gone for everyone who asks about it.
    return groups[0] if groups and "delet" not in str(groups[0].get("Status", "")).lower() else None


def _template(given: Mapping[str, Any]) -> dict[str, Any]:
    by = {"LaunchTemplateId": given["id"]} if given.get("id") else {"LaunchTemplateName": given["name"]}
    return {**by, "Version": str(given.get("version") or "$Default")}


def _tags(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "ResourceId": call.id,
            "ResourceType": "auto-scaling-group",
            "Key": t["key"],
            "Value": str(t["value"]),
            "PropagateAtLaunch": bool(t["propagateAtLaunch"]),
        }
        for t in call.new.get("tags") or ()
    ]


def _subnets(call: Call) -> str:
    return ",".join(sorted(call.new["vpcZoneIdentifiers"]))


def _create(call: Call) -> str:
    client, name = call.client("autoscaling"), call.new["name"]
    if client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]:
        raise PluginError(f"AlreadyExists: an Auto Scaling group named '{name}' already exists; import it")
    call.id = name  # the tags name it
    tags = _tags(call)
    call.id = ""
    call.retry(
        _LAGS,
        lambda: client.create_auto_scaling_group(
            AutoScalingGroupName=name,
            **call.given(**{argument: prop for prop, argument in _PLAIN.items()}),
            **call.given(TargetGroupARNs="targetGroupArns"),
            VPCZoneIdentifier=_subnets(call),
            LaunchTemplate=_template(call.new["launchTemplate"]),
            **({"Tags": tags} if tags else {}),
        ),
        timeout_s=15,
    )
    call.made(name)
    _wait_for_capacity(call, exact=False)
    if call.new.get("suspendedProcesses"):
        client.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=sorted(call.new["suspendedProcesses"]))
    return call.id


def _wait_for_capacity(call: Call, *, exact: bool) -> None:
    wanted = call.new.get("desiredCapacity")
    least = int(wanted if wanted is not None else call.new["minSize"])
    most = int(wanted) if wanted is not None and exact else None

    def enough() -> bool:
        group = _group(call)
        if group is None:
            raise call.refuse(f"group {call.id} vanished while waiting for its capacity")
        there = [i for i in group["Instances"] if i["LifecycleState"] == "InService" and i["HealthStatus"] == "Healthy"]
        return len(there) >= least and (most is None or len(there) <= most)

    call.wait(f"group {call.id} at {least} healthy instances", enough, timeout_s=_CAPACITY_S)


def _read(call: Call) -> dict[str, Any] | None:
    group = _group(call)
    if group is None:
        return None
    values = {prop: group[argument] for prop, argument in _PLAIN.items() if group.get(argument) is not None}
    template = group.get("LaunchTemplate")
    if template:
        values["launchTemplate"] = {
            "id": template.get("LaunchTemplateId"),
            "name": template.get("LaunchTemplateName"),
            "version": template.get("Version") or "$Default",
        }
    return {
        **values,
        "name": group["AutoScalingGroupName"],
        "arn": group["AutoScalingGroupARN"],
        "vpcZoneIdentifiers": sorted(v for v in group.get("VPCZoneIdentifier", "").split(",") if v),
        "targetGroupArns": sorted(group.get("TargetGroupARNs", [])),
        "suspendedProcesses": sorted(p["ProcessName"] for p in group.get("SuspendedProcesses", [])),
        "tags": sorted(
            (
                {"key": t["Key"], "value": t["Value"], "propagateAtLaunch": bool(t["PropagateAtLaunch"])}
                for t in group.get("Tags", [])
                if not t["Key"].startswith("aws:")
            ),
            key=lambda t: t["key"],
        ),
    }


def _update(call: Call) -> None:
    client = call.client("autoscaling")
    plain = {argument: prop for prop, argument in _PLAIN.items() if call.changed(prop)}
    arguments = call.given(**plain)
    if call.changed("launchTemplate"):
        arguments["LaunchTemplate"] = _template(call.new["launchTemplate"])
    if call.changed("vpcZoneIdentifiers"):
        arguments["VPCZoneIdentifier"] = _subnets(call)
    if arguments:
        # Only what changed: sizes that somebody else owns since (`ignoreChanges`) are not to be set back.
        client.update_auto_scaling_group(AutoScalingGroupName=call.id, **arguments)
    if call.changed("tags"):
        _update_tags(call)
    _update_target_groups(call)
    _update_processes(call)
    if call.changed("desiredCapacity", "minSize"):
        _wait_for_capacity(call, exact=True)


def _update_tags(call: Call) -> None:
    client, keys = call.client("autoscaling"), {t["key"] for t in call.new.get("tags") or ()}
    if gone := [t for t in call.old.get("tags") or () if t["key"] not in keys]:
        client.delete_tags(
            Tags=[
                {"ResourceId": call.id, "ResourceType": "auto-scaling-group", "Key": t["key"], "Value": t["value"],
                 "PropagateAtLaunch": t["propagateAtLaunch"]}
                for t in gone
            ]
        )  # fmt: skip
    if tags := _tags(call):
        client.create_or_update_tags(Tags=tags)


def _added_and_removed(call: Call, name: str) -> tuple[list[str], list[str]]:
    if not call.changed(name):
        return [], []
    was, wanted = set(call.old.get(name) or ()), set(call.new.get(name) or ())
    return sorted(wanted - was), sorted(was - wanted)


def _update_target_groups(call: Call) -> None:
    client = call.client("autoscaling")
    added, removed = _added_and_removed(call, "targetGroupArns")
    if removed:
        client.detach_load_balancer_target_groups(AutoScalingGroupName=call.id, TargetGroupARNs=removed)
    if added:
        client.attach_load_balancer_target_groups(AutoScalingGroupName=call.id, TargetGroupARNs=added)


def _update_processes(call: Call) -> None:
    client = call.client("autoscaling")
    added, removed = _added_and_removed(call, "suspendedProcesses")
    if removed:
        client.resume_processes(AutoScalingGroupName=call.id, ScalingProcesses=removed)
    if added:
        client.suspend_processes(AutoScalingGroupName=call.id, ScalingProcesses=added)


def _delete(call: Call) -> None:
    client = call.client("autoscaling")
    group = _group(call)
    if group is None:
        return
    if group["Instances"] or group["DesiredCapacity"]:
        client.update_auto_scaling_group(AutoScalingGroupName=call.id, MinSize=0, MaxSize=0, DesiredCapacity=0)

        def empty() -> bool:
            live = _group(call)
            return live is None or not live["Instances"]

        call.wait(f"group {call.id} empty", empty)
    call.retry(_BUSY, lambda: client.delete_auto_scaling_group(AutoScalingGroupName=call.id))

    def gone() -> bool:
        found = client.describe_auto_scaling_groups(AutoScalingGroupNames=[call.id])
        return not found["AutoScalingGroups"]

    call.wait(f"group {call.id} deleted", gone)


TEMPLATE = {"id": text(computed=True), "name": text(computed=True), "version": text(default="$Default")}

ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:autoscaling/group:Group",
        source=DOCS + "autoscaling_group",
        props={
            "name": text(required=True, replace=True),
            "minSize": number(required=True),
            "maxSize": number(required=True),
            "desiredCapacity": number(computed=True),
            "vpcZoneIdentifiers": texts(required=True),
            "launchTemplate": block(TEMPLATE, required=True),
            "healthCheckGracePeriod": number(default=300),
            "tags": blocks(
                {"key": text(required=True), "value": text(required=True), "propagateAtLaunch": flag(required=True)}
            ),
            "targetGroupArns": texts(computed=True),
            "suspendedProcesses": texts(),
            "metricsGranularity": text(default="1Minute", unreadable=True),  # the SDK fills it in by itself
        },
        computed=("arn",),
        unique="name",
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
    ),
)
