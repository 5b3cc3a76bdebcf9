"""Target tracking policies and scheduled actions of Auto Scaling groups.

Sources: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/ autoscaling_policy, autoscaling_schedule;
"replace" is their ForceNew in the schema.
"""

from __future__ import annotations

from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.vpc import DOCS, first
from lab.plugins.schema import ResourceType, block, blocks, flag, number, text

_DIMENSIONS = blocks({"name": text(required=True), "value": text(required=True)})
_TRACKING = {
    "customizedMetricSpecification": block(
        {
            "metricDimensions": _DIMENSIONS,
            "metricName": text(),
            "namespace": text(),
            "statistic": text(),
            "unit": text(),
        }
    ),
    "disableScaleIn": flag(),
    "predefinedMetricSpecification": block({"predefinedMetricType": text(required=True)}),
    "targetValue": number(required=True),
}


def _identify(given: str) -> tuple[str, dict[str, Any]]:
    group, _, name = given.partition("/")
    return name, {"autoscalingGroupName": group}


def _group(call: Call) -> str:
    return str(call.new.get("autoscalingGroupName") or call.old["autoscalingGroupName"])


def _put_policy(call: Call) -> str:
    given = call.new["targetTrackingConfiguration"]
    said: dict[str, Any] = {
        "TargetValue": float(given["targetValue"]),
        "DisableScaleIn": bool(given.get("disableScaleIn")),
    }
    if known := given.get("predefinedMetricSpecification"):
        said["PredefinedMetricSpecification"] = {"PredefinedMetricType": known["predefinedMetricType"]}
    if own := given.get("customizedMetricSpecification"):
        dimensions = [{"Name": one["name"], "Value": one["value"]} for one in own.get("metricDimensions") or ()]
        plain = {"metricName": "MetricName", "namespace": "Namespace", "statistic": "Statistic", "unit": "Unit"}
        said["CustomizedMetricSpecification"] = {
            **{argument: own[name] for name, argument in plain.items() if own.get(name)},
            **({"Dimensions": dimensions} if dimensions else {}),
        }
    call.client("autoscaling").put_scaling_policy(
        AutoScalingGroupName=call.new["autoscalingGroupName"],
        PolicyName=call.new["name"],
        PolicyType=call.new["policyType"],
        TargetTrackingConfiguration=said,
        Enabled=bool(call.new.get("enabled", True)),
        **call.given(EstimatedInstanceWarmup="estimatedInstanceWarmup"),
    )
    return call.made(call.new["name"])


def _read_policy(call: Call) -> dict[str, Any] | None:
    group = _group(call)
    found = first(
        call.client("autoscaling").describe_policies(AutoScalingGroupName=group, PolicyNames=[call.id])[
            "ScalingPolicies"
        ]
    )
    if found is None:
        return None
    tracking = found.get("TargetTrackingConfiguration") or {}
    known = tracking.get("PredefinedMetricSpecification")
    own = tracking.get("CustomizedMetricSpecification")
    read: dict[str, Any] = {
        "targetValue": tracking.get("TargetValue"),
        "disableScaleIn": bool(tracking.get("DisableScaleIn")),
    }
    if known:
        read["predefinedMetricSpecification"] = {"predefinedMetricType": known["PredefinedMetricType"]}
    if own:
        plain = {"metricName": "MetricName", "namespace": "Namespace", "statistic": "Statistic", "unit": "Unit"}
        read["customizedMetricSpecification"] = {
            **{name: own[argument] for name, argument in plain.items() if own.get(argument)},
            "metricDimensions": [{"name": one["Name"], "value": one["Value"]} for one in own.get("Dimensions") or ()],
        }
    warmup = found.get("EstimatedInstanceWarmup")
    return {
        "autoscalingGroupName": group,
        "name": found["PolicyName"],
        "policyType": found["PolicyType"],
        "enabled": bool(found.get("Enabled", True)),
        "targetTrackingConfiguration": read,
        "arn": found["PolicyARN"],
        **({"estimatedInstanceWarmup": int(warmup)} if warmup else {}),
    }


def _delete_policy(call: Call) -> None:
    call.client("autoscaling").delete_policy(AutoScalingGroupName=_group(call), PolicyName=call.id)


_SIZES = {"minSize": "MinSize", "maxSize": "MaxSize", "desiredCapacity": "DesiredCapacity"}


def _put_schedule(call: Call) -> str:
    name = call.new["scheduledActionName"]
    call.client("autoscaling").put_scheduled_update_group_action(
        AutoScalingGroupName=call.new["autoscalingGroupName"],
        ScheduledActionName=name,
        # -1 is the provider's word for a size that isn't changed.
        **{argument: int(call.new[size]) for size, argument in _SIZES.items() if int(call.new[size]) != -1},
        **call.given(Recurrence="recurrence", TimeZone="timeZone", StartTime="startTime", EndTime="endTime"),
    )
    return call.made(name)


def _read_schedule(call: Call) -> dict[str, Any] | None:
    group = _group(call)
    found = first(
        call.client("autoscaling").describe_scheduled_actions(
            AutoScalingGroupName=group, ScheduledActionNames=[call.id]
        )["ScheduledUpdateGroupActions"]
    )
    if found is None:
        return None
    sizes = {size: found.get(argument) for size, argument in _SIZES.items()}
    words = {"recurrence": "Recurrence", "timeZone": "TimeZone", "startTime": "StartTime", "endTime": "EndTime"}
    read = {name: found[argument] for name, argument in words.items() if found.get(argument)}
    return {
        "autoscalingGroupName": group,
        "scheduledActionName": found["ScheduledActionName"],
        **{size: -1 if value is None else value for size, value in sizes.items()},
        **{name: value if isinstance(value, str) else f"{value:%Y-%m-%dT%H:%M:%SZ}" for name, value in read.items()},
        "arn": found.get("ScheduledActionARN", ""),
    }


def _delete_schedule(call: Call) -> None:
    client = call.client("autoscaling")
    client.delete_scheduled_action(AutoScalingGroupName=_group(call), ScheduledActionName=call.id)


_GONE = ("ValidationError",)

ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:autoscaling/policy:Policy",
        source=DOCS + "autoscaling_policy",
        props={
            "name": text(required=True, replace=True),
            "autoscalingGroupName": text(required=True, replace=True),
            "policyType": text(default="SimpleScaling", replace=True, choices=("TargetTrackingScaling",)),
            "enabled": flag(default=True),
            "estimatedInstanceWarmup": number(),
            "targetTrackingConfiguration": block(_TRACKING),
        },
        computed=("arn",),
        unique="name",
        create=_put_policy,
        read=_read_policy,
        update=_put_policy,
        delete=_delete_policy,
        gone=_GONE,
        identify=_identify,
    ),
    ResourceType(
        token="aws:autoscaling/schedule:Schedule",
        source=DOCS + "autoscaling_schedule",
        props={
            "scheduledActionName": text(required=True, replace=True),
            "autoscalingGroupName": text(required=True, replace=True),
            "desiredCapacity": number(computed=True),
            "endTime": text(computed=True),
            "maxSize": number(computed=True),
            "minSize": number(computed=True),
            "recurrence": text(computed=True),
            "startTime": text(computed=True),
            "timeZone": text(computed=True),
        },
        computed=("arn",),
        unique="scheduledActionName",
        create=_put_schedule,
        read=_read_schedule,
        update=_put_schedule,
        delete=_delete_schedule,
        gone=_GONE,
        identify=_identify,
    ),
)
