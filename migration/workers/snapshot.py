"""What an Auto Scaling group is at one moment: sizes, launch template, propagated tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from migration.clients.aws import Aws, described
from migration.clients.documents import listed, mapping
from migration.contracts.workers import Group, Template
from migration.runtime.deadline import Permanent

# What a copy takes over. Networking is left out on purpose: it is what differs between the sides.
KEPT = (
    "ImageId",
    "InstanceType",
    "KeyName",
    "IamInstanceProfile",
    "EbsOptimized",
    "MetadataOptions",
    "BlockDeviceMappings",
    "UserData",
    "InstanceMarketOptions",
)


def describe(aws: Aws, group: Mapping[str, Any]) -> Group:
    """One group, from AWS's description of it; raises `Permanent` without a launch template."""
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
    data = version["LaunchTemplateData"]
    template = {_lower(key): lowered(data[key]) for key in KEPT if data.get(key) is not None}
    if instance_type:
        template["instanceType"] = instance_type
    return Group(
        group=group["AutoScalingGroupName"],
        min=group["MinSize"],
        max=group["MaxSize"],
        desired=group["DesiredCapacity"],
        template=Template.model_validate(template),
        tags={
            tag["Key"]: tag["Value"]
            for tag in group.get("Tags", [])
            if tag.get("PropagateAtLaunch") and not tag["Key"].startswith("aws:")
        },
    )


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


def _lower(key: str) -> str:
    return key[:1].lower() + key[1:]


def lowered(value: Any) -> Any:
    """`value` with the first letter of every dictionary key lower, except in lists of tags, whose keys are data."""
    if isinstance(value, Mapping):
        return {_lower(key): lowered(item) for key, item in cast(Mapping[str, Any], value).items()}
    if isinstance(value, list):
        return [lowered(item) for item in cast(list[Any], value)]
    return value
