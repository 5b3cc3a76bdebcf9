"""Auto Scaling groups.

Source: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/autoscaling_group: only the name replaces;
waits for capacity after create and update; empties a group before deleting it, unless forced. The provider's default
tags don't reach a group (its tags carry `propagateAtLaunch`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lab.plugins.aws import mixed_instances
from lab.plugins.aws.call import Call
from lab.plugins.aws.naming import name_wanted
from lab.plugins.aws.vpc import DOCS, REGION
from lab.plugins.errors import PluginError
from lab.plugins.schema import Kind, Prop, ResourceType, block, blocks, flag, number, text, texts

_BUSY = ("ResourceInUse", "ResourceInUseFault", "ScalingActivityInProgress", "ScalingActivityInProgressFault")
_LAGS = ("ValidationError",)  # a role, profile or template that AWS doesn't see yet

# Wire name → argument of Create/UpdateAutoScalingGroup, plain values.
_PLAIN = {
    "minSize": "MinSize",
    "maxSize": "MaxSize",
    "desiredCapacity": "DesiredCapacity",
    "desiredCapacityType": "DesiredCapacityType",
    "defaultCooldown": "DefaultCooldown",
    "defaultInstanceWarmup": "DefaultInstanceWarmup",
    "healthCheckType": "HealthCheckType",
    "healthCheckGracePeriod": "HealthCheckGracePeriod",
    "placementGroup": "PlacementGroup",
    "terminationPolicies": "TerminationPolicies",
    "protectFromScaleIn": "NewInstancesProtectedFromScaleIn",
    "capacityRebalance": "CapacityRebalance",
    "maxInstanceLifetime": "MaxInstanceLifetime",
    "serviceLinkedRoleArn": "ServiceLinkedRoleARN",
    "context": "Context",
}


def seconds(duration: str) -> float:
    """A Go duration such as `10m`, `90s` or `1h30m`, in seconds. "0" is none."""
    if duration == "0":
        return 0.0
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", duration)
    if not parts or "".join(n + u for n, u in parts) != duration:
        raise PluginError(f"'{duration}' is not a duration such as 10m")
    return sum(float(n) * {"h": 3600, "m": 60, "s": 1, "ms": 0.001}[u] for n, u in parts)


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


def _where(call: Call) -> dict[str, Any]:
    if call.new.get("vpcZoneIdentifiers"):
        return {"VPCZoneIdentifier": ",".join(sorted(call.new["vpcZoneIdentifiers"]))}
    return call.given(AvailabilityZones="availabilityZones")


def _what(call: Call) -> dict[str, Any]:
    if call.new.get("mixedInstancesPolicy"):
        return {"MixedInstancesPolicy": mixed_instances.to_aws(call, call.new["mixedInstancesPolicy"])}
    return {"LaunchTemplate": _template(call.new["launchTemplate"])}


def _create(call: Call) -> str:
    client, name = call.client("autoscaling"), name_wanted(call)
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
            **_where(call),
            **_what(call),
            **({"Tags": tags} if tags else {}),
        ),
        timeout_s=15,
    )
    call.made(name)
    _wait_for_capacity(call, exact=False)
    if call.new.get("suspendedProcesses"):
        client.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=sorted(call.new["suspendedProcesses"]))
    if call.new.get("enabledMetrics"):
        client.enable_metrics_collection(
            AutoScalingGroupName=name,
            Granularity=call.new["metricsGranularity"],
            Metrics=sorted(call.new["enabledMetrics"]),
        )
    return call.id


def _wait_for_capacity(call: Call, *, exact: bool) -> None:
    limit = seconds(str(call.new.get("waitForCapacityTimeout") or "10m"))
    if limit == 0:
        return
    wanted = call.new.get("desiredCapacity")
    least = int(wanted if wanted is not None else call.new["minSize"])
    most = int(wanted) if wanted is not None and exact else None

    def enough() -> bool:
        group = _group(call)
        if group is None:
            raise call.refuse(f"group {call.id} vanished while waiting for its capacity")
        there = [i for i in group["Instances"] if i["LifecycleState"] == "InService" and i["HealthStatus"] == "Healthy"]
        return len(there) >= least and (most is None or len(there) <= most)

    call.wait(f"group {call.id} at {least} healthy instances", enough, timeout_s=limit)


def _read(call: Call) -> dict[str, Any] | None:
    group = _group(call)
    if group is None:
        return None
    values = {prop: group[argument] for prop, argument in _PLAIN.items() if group.get(argument) is not None}
    if values.get("terminationPolicies") == ["Default"]:
        values["terminationPolicies"] = []  # what AWS answers where nothing was said
    template = group.get("LaunchTemplate")
    if template:
        values["launchTemplate"] = {
            "id": template.get("LaunchTemplateId"),
            "name": template.get("LaunchTemplateName"),
            "version": template.get("Version") or "$Default",
        }
    if group.get("MixedInstancesPolicy"):
        values["mixedInstancesPolicy"] = mixed_instances.from_aws(call, group["MixedInstancesPolicy"])
    return {
        **values,
        "name": group["AutoScalingGroupName"],
        "arn": group["AutoScalingGroupARN"],
        "availabilityZones": sorted(group.get("AvailabilityZones", [])),
        "vpcZoneIdentifiers": sorted(v for v in group.get("VPCZoneIdentifier", "").split(",") if v),
        "targetGroupArns": sorted(group.get("TargetGroupARNs", [])),
        "suspendedProcesses": sorted(p["ProcessName"] for p in group.get("SuspendedProcesses", [])),
        "enabledMetrics": sorted(m["Metric"] for m in group.get("EnabledMetrics", [])),
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
    if call.changed("protectFromScaleIn"):
        arguments["NewInstancesProtectedFromScaleIn"] = bool(call.new.get("protectFromScaleIn"))
    if call.changed("terminationPolicies"):
        arguments["TerminationPolicies"] = call.new.get("terminationPolicies") or ["Default"]
    if call.changed("launchTemplate", "mixedInstancesPolicy"):
        arguments |= _what(call)
    if call.changed("vpcZoneIdentifiers", "availabilityZones"):
        arguments |= _where(call)
    if arguments:
        # Only what changed: sizes that somebody else owns since (`ignoreChanges`) are not to be set back.
        client.update_auto_scaling_group(AutoScalingGroupName=call.id, **arguments)
    if call.changed("tags"):
        _update_tags(call)
    _update_target_groups(call)
    _update_processes(call)
    _update_metrics(call)
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


def _update_metrics(call: Call) -> None:
    client = call.client("autoscaling")
    added, removed = _added_and_removed(call, "enabledMetrics")
    if removed:
        client.disable_metrics_collection(AutoScalingGroupName=call.id, Metrics=removed)
    if added:
        client.enable_metrics_collection(
            AutoScalingGroupName=call.id, Granularity=call.new["metricsGranularity"], Metrics=added
        )


def _delete(call: Call) -> None:
    client = call.client("autoscaling")
    group = _group(call)
    if group is None:
        return
    forced = bool(call.old.get("forceDelete"))
    if not forced and (group["Instances"] or group["DesiredCapacity"]):
        client.update_auto_scaling_group(AutoScalingGroupName=call.id, MinSize=0, MaxSize=0, DesiredCapacity=0)

        def empty() -> bool:
            live = _group(call)
            return live is None or not live["Instances"]

        call.wait(f"group {call.id} empty", empty)
    call.retry(_BUSY, lambda: client.delete_auto_scaling_group(AutoScalingGroupName=call.id, ForceDelete=forced))

    def gone() -> bool:
        found = client.describe_auto_scaling_groups(AutoScalingGroupNames=[call.id])
        return not found["AutoScalingGroups"]

    call.wait(f"group {call.id} deleted", gone)


def _suitable(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if bool(values.get("launchTemplate")) == bool(values.get("mixedInstancesPolicy")):
        found.append(("launchTemplate", "a group needs either launchTemplate or mixedInstancesPolicy"))
    template = values.get("launchTemplate")
    if isinstance(template, Mapping) and not (template.get("id") or template.get("name")):
        found.append(("launchTemplate", "launchTemplate needs an id or a name"))
    if not values.get("vpcZoneIdentifiers") and not values.get("availabilityZones"):
        found.append(("vpcZoneIdentifiers", "a group needs vpcZoneIdentifiers or availabilityZones"))
    return found


TEMPLATE = {"id": text(computed=True), "name": text(computed=True), "version": text(default="$Default")}

ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:autoscaling/group:Group",
        source=DOCS + "autoscaling_group",
        props={
            "name": text(computed=True, replace=True),
            "namePrefix": text(replace=True, unreadable=True),
            "minSize": number(required=True),
            "maxSize": number(required=True),
            "desiredCapacity": number(computed=True),
            "desiredCapacityType": text(computed=True),
            "vpcZoneIdentifiers": texts(computed=True),
            "availabilityZones": texts(computed=True),
            "launchTemplate": block(TEMPLATE),
            "mixedInstancesPolicy": block(mixed_instances.FIELDS),
            "healthCheckType": text(computed=True, choices=("EC2", "ELB", "EBS", "VPC_LATTICE")),
            "healthCheckGracePeriod": number(default=300),
            "defaultCooldown": number(computed=True),
            "defaultInstanceWarmup": number(),
            "tags": blocks(
                {"key": text(required=True), "value": text(required=True), "propagateAtLaunch": flag(required=True)}
            ),
            "targetGroupArns": texts(computed=True),
            "terminationPolicies": Prop(kind=Kind.LIST),
            "suspendedProcesses": texts(),
            "protectFromScaleIn": flag(default=False),
            "capacityRebalance": flag(),
            "maxInstanceLifetime": number(),
            "placementGroup": text(),
            "serviceLinkedRoleArn": text(computed=True),
            "context": text(),
            "enabledMetrics": texts(),
            "metricsGranularity": text(default="1Minute", unreadable=True),
            "forceDelete": flag(default=False, unreadable=True),
            "forceDeleteWarmPool": flag(default=False, unreadable=True),
            "waitForCapacityTimeout": text(default="10m", unreadable=True),
            "ignoreFailedScalingActivities": flag(default=False, unreadable=True),
            **REGION,
        },
        computed=("arn",),
        derived=("availabilityZones",),
        generated="name",
        unique="name",
        validate=_suitable,
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
    ),
)
