"""What a group is scaled by, from AWS's descriptions: what a copy takes over, and what it can't. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from migration.clients.aws import described
from migration.clients.documents import Document, listed, mapping
from migration.settings.model import CustomMetric, ScalingPolicy, ScheduledAction

if TYPE_CHECKING:
    from migration.clients.aws import Aws

GROUP = "{group}"


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """A group's policies and schedules that a copy has, and the others: path in `migration:copies.without`, reason."""

    policies: tuple[ScalingPolicy, ...] = ()
    schedules: tuple[ScheduledAction, ...] = ()
    left: tuple[tuple[str, str], ...] = ()


def scaled(aws: Aws) -> dict[str, Scaled]:
    """What AWS says of every group that is scaled by anything, by its name: asked for all of them at once."""
    client = aws.autoscaling
    policies: dict[str, list[Document]] = defaultdict(list)
    for page in client.get_paginator("describe_policies").paginate():
        for one in described(page["ScalingPolicies"]):
            policies[one["AutoScalingGroupName"]].append(one)
    actions: dict[str, list[Document]] = defaultdict(list)
    for page in client.get_paginator("describe_scheduled_actions").paginate():
        for one in described(page["ScheduledUpdateGroupActions"]):
            actions[one["AutoScalingGroupName"]].append(one)
    return {group: scaled_by(group, policies[group], actions[group]) for group in {*policies, *actions}}


def scaled_by(group: str, policies: Iterable[Document], actions: Iterable[Document]) -> Scaled:
    """The same from descriptions."""
    kept: list[ScalingPolicy] = []
    left: list[tuple[str, str]] = []
    for one in sorted(policies, key=lambda policy: policy["PolicyName"]):
        why = _why_not(one)
        if why:
            left.append((f"scalingPolicies.{one['PolicyName']}", why))
        else:
            kept.append(_policy(one, group))
    schedules = tuple(_schedule(one) for one in sorted(actions, key=lambda action: action["ScheduledActionName"]))
    return Scaled(policies=tuple(kept), schedules=schedules, left=tuple(left))


def _why_not(policy: Document) -> str:
    kind = policy.get("PolicyType", "SimpleScaling")
    if kind != "TargetTrackingScaling":
        return f"is of type {kind}, whose alarms or forecasts are the old group's; only TargetTrackingScaling is copied"
    tracking = mapping(policy, "TargetTrackingConfiguration")
    if mapping(tracking, "PredefinedMetricSpecification").get("ResourceLabel"):
        return "counts the requests of one of the old VPC's target groups"
    custom = mapping(tracking, "CustomizedMetricSpecification")
    if custom.get("Metrics") or custom.get("Period"):
        return "tracks a calculation of several metrics, or in a period of its own"
    return ""


def _policy(found: Document, group: str) -> ScalingPolicy:
    tracking = mapping(found, "TargetTrackingConfiguration")
    custom = mapping(tracking, "CustomizedMetricSpecification")
    warmup = found.get("EstimatedInstanceWarmup")
    return ScalingPolicy(
        name=found["PolicyName"],
        target=float(tracking["TargetValue"]),
        predefined=mapping(tracking, "PredefinedMetricSpecification").get("PredefinedMetricType"),
        metric=_metric(custom, group) if custom else None,
        disable_scale_in=bool(tracking.get("DisableScaleIn")),
        warmup=int(warmup) if warmup else None,
        enabled=bool(found.get("Enabled", True)),
    )


def _metric(found: Document, group: str) -> CustomMetric:
    return CustomMetric(
        namespace=found["Namespace"],
        name=found["MetricName"],
        statistic=found["Statistic"],
        unit=found.get("Unit"),
        dimensions={
            one["Name"]: GROUP if one["Value"] == group else one["Value"] for one in listed(found, "Dimensions")
        },
    )


def _schedule(found: Document) -> ScheduledAction:
    recurrence = found.get("Recurrence")
    return ScheduledAction(
        name=found["ScheduledActionName"],
        recurrence=recurrence,
        time_zone=found.get("TimeZone"),
        # For one that recurs AWS answers with its next time, which is nobody's to say.
        start=None if recurrence else _moment(found.get("StartTime")),
        end=_moment(found.get("EndTime")),
        min=found.get("MinSize"),
        max=found.get("MaxSize"),
        desired=found.get("DesiredCapacity"),
    )


def _moment(found: object) -> str | None:
    if isinstance(found, datetime):
        return found.strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(found) if found else None
