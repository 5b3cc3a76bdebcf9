"""What a copied Auto Scaling group launches and how it behaves: its policy, attributes and hooks as they were noted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from components.launch_templates import as_noted
from migration.contracts.scaling import Attributes
from migration.contracts.workers import Group
from migration.settings.model import ScalingPolicy, ScheduledAction

# What the provider takes as it was noted, under the same name.
_AS_NOTED = tuple(name for name in Attributes.model_fields if name != "enabled_metrics")


def group_arguments(original: pulumi.Output[Group], template: aws.ec2.LaunchTemplate) -> dict[str, Any]:
    """Arguments of a group that launches from `template` and is else as `original` was.

    Hooks come with the group, before its first machine: one that came later would miss that.
    """
    version = template.latest_version.apply(str)

    # Which of the two it is, is known before the template is: a preview names the one alone.
    def launch_template(group: Group) -> Any:
        return None if group.mixed is not None else pulumi.Output.from_input({"id": template.id, "version": version})

    def policy(group: Group) -> Any:
        if group.mixed is None:
            return None
        reference = {"launch_template_id": template.id, "version": version}
        return pulumi.Output.from_input(reference).apply(lambda known: _mixed(group, known))

    return {
        "launch_template": original.apply(launch_template),
        "mixed_instances_policy": original.apply(policy),
        "enabled_metrics": original.apply(_metrics),
        "initial_lifecycle_hooks": original.apply(lambda group: as_noted(group.hooks)),
        **{name: original.apply(lambda group, name=name: _attribute(group, name)) for name in _AS_NOTED},
    }


def _attribute(group: Group, name: str) -> Any:
    return None if group.attributes is None else as_noted(getattr(group.attributes, name))


def _mixed(group: Group, reference: dict[str, Any]) -> Any:
    assert group.mixed is not None
    overrides = as_noted(group.mixed.overrides)
    distribution = as_noted(group.mixed.instances_distribution)
    return {
        "launch_template": {
            "launch_template_specification": reference,
            **({"overrides": overrides} if overrides else {}),
        },
        **({"instances_distribution": distribution} if distribution else {}),
    }


def _metrics(group: Group) -> Any:
    return sorted(one.metric for one in group.attributes.enabled_metrics) or None if group.attributes else None


def scaled_by(
    logical: str,
    group: pulumi.Output[str],
    name: str,
    policies: Sequence[ScalingPolicy],
    schedules: Sequence[ScheduledAction],
    child: Callable[[], pulumi.ResourceOptions],
) -> None:
    """A group's target tracking policies and scheduled actions. `name` is the group's."""
    for policy in policies:
        aws.autoscaling.Policy(
            f"{logical}-policy-{policy.name}",
            name=policy.name,
            autoscaling_group_name=group,
            policy_type="TargetTrackingScaling",
            enabled=policy.enabled,
            estimated_instance_warmup=policy.warmup,
            target_tracking_configuration=_tracking(policy, name),
            opts=child(),
        )
    for action in schedules:
        aws.autoscaling.Schedule(
            f"{logical}-schedule-{action.name}",
            scheduled_action_name=action.name,
            autoscaling_group_name=group,
            recurrence=action.recurrence,
            time_zone=action.time_zone,
            start_time=action.start,
            end_time=action.end,
            # The provider takes -1 for a size that isn't changed, and 0 for one that isn't said.
            min_size=-1 if action.min is None else action.min,
            max_size=-1 if action.max is None else action.max,
            desired_capacity=-1 if action.desired is None else action.desired,
            opts=child(),
        )


def _tracking(policy: ScalingPolicy, group: str) -> Any:
    said: dict[str, Any] = {"target_value": policy.target, "disable_scale_in": policy.disable_scale_in}
    if policy.predefined is not None:
        said["predefined_metric_specification"] = {"predefined_metric_type": policy.predefined}
    if policy.metric is not None:
        metric = policy.metric
        said["customized_metric_specification"] = {
            "namespace": metric.namespace,
            "metric_name": metric.name,
            "statistic": metric.statistic,
            **({"unit": metric.unit} if metric.unit is not None else {}),
            "metric_dimensions": [
                {"name": name, "value": value.replace("{group}", group)}
                for name, value in sorted(metric.dimensions.items())
            ],
        }
    return said
