"""What an Auto Scaling group is at one moment: sizes, launch template, policy, attributes, hooks, tags."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from migration.clients.aws import Aws, described
from migration.clients.documents import mapping
from migration.contracts.workers import Group, Template
from migration.runtime.deadline import Permanent
from migration.workers.carried import Carried, LeftOut, carried_group, carried_template
from migration.workers.hold import recorded

# Notes of this program's on a group, that it takes away again.
_OURS = "migration:"


def describe(aws: Aws, group: Mapping[str, Any], without: Collection[str] = ()) -> Group:
    """One group, from AWS's description of it; raises `Permanent` without a launch template.

    What a copy can't take over is left out (`noted` names it); `without` is what it is to lack.
    """
    return _seen(aws, group, without)[0]


def outline(aws: Aws, group: Mapping[str, Any]) -> Group:
    """The same without hooks, which each group has to be asked for alone; raises `Permanent` as `describe` does."""
    return _group(group, template_of(aws, group), carried_group(group, (), recorded(group)))


def noted(aws: Aws, groups: Mapping[str, Mapping[str, Any]], without: Collection[str] = ()) -> dict[str, Group]:
    """Groups by key, from AWS's descriptions of them; raises `Permanent` naming all that copies couldn't take over."""
    seen = {key: _seen(aws, group, without) for key, group in groups.items()}
    if left := [sentence for group, more in seen.values() for sentence in _told(group.group, more)]:
        raise Permanent("; ".join(left))
    return {key: group for key, (group, _) in seen.items()}


def refusals(aws: Aws, groups: Mapping[str, Mapping[str, Any]], without: Collection[str] = ()) -> list[str]:
    """All that copies of the groups couldn't take over, a sentence each, without looking at anything else."""
    found: list[str] = []
    for name, group in groups.items():
        try:
            found += _told(name, _seen(aws, group, without)[1])
        except Permanent as refusal:
            found.append(str(refusal))
    return found


def _told(group: str, left: Collection[LeftOut]) -> list[str]:
    by_name = "or list it by this name under migration:copies.without, and the copy goes without"
    return [
        f"{group}: {one}; " + ("correct it on the old group" if one.firm else f"take it off the old group, {by_name}")
        for one in left
    ]


def template_of(aws: Aws, group: Mapping[str, Any]) -> Template:
    """What a copy takes over of the launch template alone; raises `Permanent` as `describe` does."""
    return carried_template(template_data(aws, group))[0]


def template_data(aws: Aws, group: Mapping[str, Any]) -> Mapping[str, Any]:
    """AWS's own words for the launch template version in use; raises `Permanent` as `describe` does."""
    specification = _template_of(group)
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
    data: Mapping[str, Any] = version["LaunchTemplateData"]
    return data


def _seen(aws: Aws, group: Mapping[str, Any], without: Collection[str]) -> tuple[Group, tuple[LeftOut, ...]]:
    template, left = carried_template(template_data(aws, group), without)
    name = group["AutoScalingGroupName"]
    hooks = described(aws.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"])
    told = aws.autoscaling.describe_notification_configurations(AutoScalingGroupNames=[name])
    whole = {**group, "NotificationConfigurations": told["NotificationConfigurations"]}
    carried = carried_group(whole, list(hooks), recorded(group))
    left = tuple(one for one in (*left, *carried.left) if one.firm or one.path not in without)
    return _group(group, template, carried), left


def _group(group: Mapping[str, Any], template: Template, carried: Carried) -> Group:
    return Group(
        group=group["AutoScalingGroupName"],
        min=group["MinSize"],
        max=group["MaxSize"],
        desired=group["DesiredCapacity"],
        template=template,
        tags=propagated_tags(group),
        own_tags={key: value for key, value in _tags(group, propagated=False).items() if not key.startswith(_OURS)},
        mixed=carried.mixed,
        attributes=carried.attributes,
        hooks=carried.hooks,
    )


def propagated_tags(group: Mapping[str, Any]) -> dict[str, str]:
    """Tags that a group gives to its machines."""
    return _tags(group, propagated=True)


def _tags(group: Mapping[str, Any], *, propagated: bool) -> dict[str, str]:
    return {
        tag["Key"]: tag["Value"]
        for tag in group.get("Tags", [])
        if bool(tag.get("PropagateAtLaunch")) is propagated and not tag["Key"].startswith("aws:")
    }


def _template_of(group: Mapping[str, Any]) -> Mapping[str, Any]:
    """The launch template that a group, or its mixed policy, names."""
    mixed = mapping(group, "MixedInstancesPolicy", "LaunchTemplate", "LaunchTemplateSpecification")
    specification: Mapping[str, Any] = group.get("LaunchTemplate") or mixed
    if specification:
        return specification
    raise Permanent(
        f"Auto Scaling group {group['AutoScalingGroupName']} uses a launch configuration; give it a launch template "
        f"(AWS console: copy to launch template) and run the same up again"
    )
