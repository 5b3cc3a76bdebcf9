"""Auto Scaling groups.

Source: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/autoscaling_group: only the name replaces;
waits for capacity after create and update; empties a group before deleting it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.launch_template import REQUIREMENTS
from lab.plugins.aws.shapes import from_aws, to_aws
from lab.plugins.aws.vpc import DOCS
from lab.plugins.aws.young import YOUNG_S
from lab.plugins.errors import PluginError
from lab.plugins.schema import ResourceType, block, blocks, flag, listed, number, text, texts
from lab.plugins.wire import Unknown

_BUSY = ("ResourceInUse", "ResourceInUseFault", "ScalingActivityInProgress", "ScalingActivityInProgressFault")
_CAPACITY_S = 600.0
_LAGS = ("ValidationError",)  # a role, profile or template that AWS doesn't see yet

# Wire name → argument of Create/UpdateAutoScalingGroup, plain values.
_PLAIN = {
    "minSize": "MinSize",
    "maxSize": "MaxSize",
    "desiredCapacity": "DesiredCapacity",
    "healthCheckGracePeriod": "HealthCheckGracePeriod",
    "capacityRebalance": "CapacityRebalance",
    "context": "Context",
    "defaultCooldown": "DefaultCooldown",
    "defaultInstanceWarmup": "DefaultInstanceWarmup",
    "desiredCapacityType": "DesiredCapacityType",
    "healthCheckType": "HealthCheckType",
    "maxInstanceLifetime": "MaxInstanceLifetime",
    "placementGroup": "PlacementGroup",
    "protectFromScaleIn": "NewInstancesProtectedFromScaleIn",
    "serviceLinkedRoleArn": "ServiceLinkedRoleARN",
    "terminationPolicies": "TerminationPolicies",
}
# The same for nested blocks.
_BLOCKS = {
    "availabilityZoneDistribution": "AvailabilityZoneDistribution",
    "capacityReservationSpecification": "CapacityReservationSpecification",
    "instanceLifecyclePolicy": "InstanceLifecyclePolicy",
    "instanceMaintenancePolicy": "InstanceMaintenancePolicy",
    "mixedInstancesPolicy": "MixedInstancesPolicy",
}
_REFERENCE = {"launchTemplateId": text(computed=True), "launchTemplateName": text(computed=True), "version": text()}
_FIELDS = {
    "availabilityZoneDistribution": block({"capacityDistributionStrategy": text()}, computed=True),
    "capacityReservationSpecification": block(
        {
            "capacityReservationPreference": text(),
            "capacityReservationTarget": block(
                {"capacityReservationIds": texts(), "capacityReservationResourceGroupArns": texts()}
            ),
        },
        computed=True,
    ),
    "instanceLifecyclePolicy": block({"retentionTriggers": block({"terminateHookAbandon": text()})}),
    "instanceMaintenancePolicy": block({"maxHealthyPercentage": number(), "minHealthyPercentage": number()}),
    "mixedInstancesPolicy": block(
        {
            "instancesDistribution": block(
                {
                    "onDemandAllocationStrategy": text(computed=True),
                    "onDemandBaseCapacity": number(computed=True),
                    "onDemandPercentageAboveBaseCapacity": number(computed=True),
                    "spotAllocationStrategy": text(computed=True),
                    "spotInstancePools": number(computed=True),
                    "spotMaxPrice": text(),
                },
                computed=True,
            ),
            "launchTemplate": block(
                {
                    "launchTemplateSpecification": block(_REFERENCE, required=True),
                    "overrides": listed({"instanceRequirements": block(REQUIREMENTS), "instanceType": text()}),
                },
                required=True,
            ),
        }
    ),
}
_HOOK = {
    "defaultResult": text(),
    "heartbeatTimeout": number(),
    "lifecycleTransition": text(required=True),
    "name": text(required=True),
    "notificationMetadata": text(),
    "notificationTargetArn": text(),
    "roleArn": text(),
}


def _group(call: Call) -> dict[str, Any] | None:
    found = call.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[call.id])
    groups = found["AutoScalingGroups"]
    # A group that is going has a status, and is gone for everyone who asks about it.
    return groups[0] if groups and "delet" not in str(groups[0].get("Status", "")).lower() else None


def _template(given: Mapping[str, Any]) -> dict[str, Any]:
    by = {"LaunchTemplateId": given["id"]} if given.get("id") else {"LaunchTemplateName": given["name"]}
    return {**by, "Version": str(given.get("version") or "$Default")}


def _nested(call: Call, *names: str) -> dict[str, Any]:
    """Arguments of the blocks that are set."""
    shape = call.client("autoscaling").meta.service_model.operation_model("CreateAutoScalingGroup").input_shape
    return {
        _BLOCKS[name]: to_aws(_FIELDS[name].fields, call.new[name], shape.members[_BLOCKS[name]])
        for name in names
        if call.new.get(name)
    }


def _launches(call: Call) -> dict[str, Any]:
    given = call.new.get("launchTemplate")
    return {"LaunchTemplate": _template(given)} if given else {}


def _hooks(call: Call) -> dict[str, Any]:
    """Given with the creation only, as the provider does: a later change of them changes nothing."""
    argument = {
        "name": "LifecycleHookName",
        "notificationTargetArn": "NotificationTargetARN",
        "roleArn": "RoleARN",
    }
    hooks = [
        {argument.get(name, name[0].upper() + name[1:]): value for name, value in hook.items() if value is not None}
        for hook in call.new.get("initialLifecycleHooks") or ()
    ]
    return {"LifecycleHookSpecificationList": hooks} if hooks else {}


def _exactly_one(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    said = [name for name in ("launchTemplate", "mixedInstancesPolicy") if given.get(name)]
    if any(isinstance(given[name], Unknown) for name in said):
        return []
    return [] if len(said) == 1 else [("launchTemplate", "give one of launchTemplate and mixedInstancesPolicy")]


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
            **_launches(call),
            **_nested(call, *_BLOCKS),
            **_hooks(call),
            **({"Tags": tags} if tags else {}),
        ),
        timeout_s=15,
    )
    call.made(name)
    _update_metrics(call)
    _wait_for_capacity(call, exact=False)
    if call.new.get("suspendedProcesses"):
        client.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=sorted(call.new["suspendedProcesses"]))
    return call.id


def _wait_for_capacity(call: Call, *, exact: bool) -> None:
    wanted = call.new.get("desiredCapacity")
    least = int(wanted if wanted is not None else call.new["minSize"])
    most = int(wanted) if wanted is not None and exact else None
    young = call.clock.now() + YOUNG_S

    def enough() -> bool:
        group = _group(call)
        if group is None:
            if call.clock.now() < young:
                return False  # AWS may not show yet what it made a moment ago
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
    shape = call.client("autoscaling").meta.service_model.shape_for("AutoScalingGroup")
    for prop, argument in _BLOCKS.items():
        if group.get(argument):
            values[prop] = from_aws(_FIELDS[prop].fields, group[argument], shape.members[argument])
    if group.get("EnabledMetrics"):
        values["enabledMetrics"] = sorted(one["Metric"] for one in group["EnabledMetrics"])
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
        arguments |= _launches(call)
    arguments |= _nested(call, *(name for name in _BLOCKS if call.changed(name)))
    if call.changed("vpcZoneIdentifiers"):
        arguments["VPCZoneIdentifier"] = _subnets(call)
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


def _update_metrics(call: Call) -> None:
    client = call.client("autoscaling")
    added, removed = _added_and_removed(call, "enabledMetrics")
    if removed:
        client.disable_metrics_collection(AutoScalingGroupName=call.id, Metrics=removed)
    if added:
        client.enable_metrics_collection(AutoScalingGroupName=call.id, Metrics=added, Granularity="1Minute")


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
        protected = [one["InstanceId"] for one in group["Instances"] if one.get("ProtectedFromScaleIn")]
        if protected:
            client.set_instance_protection(
                AutoScalingGroupName=call.id, InstanceIds=protected, ProtectedFromScaleIn=False
            )

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
            "launchTemplate": block(TEMPLATE),
            **_FIELDS,
            "capacityRebalance": flag(),
            "context": text(),
            "defaultCooldown": number(computed=True),
            "defaultInstanceWarmup": number(computed=True),
            "desiredCapacityType": text(computed=True),
            "enabledMetrics": texts(),
            "healthCheckGracePeriod": number(default=300),
            "healthCheckType": text(computed=True),
            "initialLifecycleHooks": blocks(_HOOK, unreadable=True),
            "maxInstanceLifetime": number(),
            "placementGroup": text(),
            "protectFromScaleIn": flag(),
            "serviceLinkedRoleArn": text(computed=True),
            "terminationPolicies": texts(computed=True),
            "tags": blocks(
                {"key": text(required=True), "value": text(required=True), "propagateAtLaunch": flag(required=True)}
            ),
            "targetGroupArns": texts(computed=True),
            "suspendedProcesses": texts(),
            "metricsGranularity": text(default="1Minute", unreadable=True),  # the SDK fills it in by itself
        },
        computed=("arn",),
        unique="name",
        validate=_exactly_one,
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
    ),
)
