"""What an Auto Scaling group is at one moment: sizes, launch template, propagated tags."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from migration.clients.aws import Aws, described
from migration.clients.documents import listed, mapping
from migration.contracts.workers import Group
from migration.runtime.deadline import Permanent
from migration.workers.carried import carried_template


def describe(aws: Aws, group: Mapping[str, Any], without: Collection[str] = ()) -> Group:
    """One group, from AWS's description of it; raises `Permanent` without a launch template.

    What a copy can't take over is left out (`noted` names it); `without` is what it is to lack.
    """
    return _seen(aws, group, without)[0]


def noted(aws: Aws, groups: Mapping[str, Mapping[str, Any]], without: Collection[str] = ()) -> dict[str, Group]:
    """Groups by key, from AWS's descriptions of them; raises `Permanent` naming all that copies couldn't take over."""
    seen = {key: _seen(aws, group, without) for key, group in groups.items()}
    left = [f"{group.group}: {sentence}" for group, sentences in seen.values() for sentence in sentences]
    if left:
        raise Permanent(
            f"{'; '.join(left)}. Take it off the old group or its launch template, or list it by this name under "
            f"migration:copies.without, and the copy goes without"
        )
    return {key: group for key, (group, _) in seen.items()}


def _seen(aws: Aws, group: Mapping[str, Any], without: Collection[str]) -> tuple[Group, tuple[str, ...]]:
    specification, instance_type = _template_of(group)
    # The group may follow $Default or $Latest: what that is now is what its copy gets.
    versions = aws.ec2.describe_launch_template_versions(
        LaunchTemplateId=specification["LaunchTemplateId"],
        Versions=[specification.get("Version") or "$Default"],
    )["LaunchTemplateVersions"]
    version = next(iter(described(versions)), None)
    if version is None:
        raise Permanent(
            f"the launch template {specification['LaunchTemplateId']} of group {group['AutoScalingGroupName']} has no "
            f"version {specification.get('Version') or '$Default'}; correct the group's template"
        )
    template, left = carried_template(version["LaunchTemplateData"], without)
    if instance_type:
        template = template.model_copy(update={"instance_type": instance_type})
    found = Group(
        group=group["AutoScalingGroupName"],
        min=group["MinSize"],
        max=group["MaxSize"],
        desired=group["DesiredCapacity"],
        template=template,
        tags={
            tag["Key"]: tag["Value"]
            for tag in group.get("Tags", [])
            if tag.get("PropagateAtLaunch") and not tag["Key"].startswith("aws:")
        },
    )
    return found, tuple(str(one) for one in left if one.path not in without)


def _template_of(group: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The group's launch template, and the instance type where a mixed policy overrides it with just one."""
    if group.get("LaunchTemplate"):
        return group["LaunchTemplate"], ""
    mixed = mapping(group, "MixedInstancesPolicy", "LaunchTemplate")
    if mixed.get("LaunchTemplateSpecification"):
        types = [one["InstanceType"] for one in listed(mixed, "Overrides") if one.get("InstanceType")]
        return mixed["LaunchTemplateSpecification"], types[0] if types else ""
    raise Permanent(
        f"Auto Scaling group {group['AutoScalingGroupName']} uses a launch configuration; give it a launch template "
        f"(AWS console: copy to launch template) and run the same up again"
    )
