"""What Auto Scaling groups are when their copies are made: sizes, launch template, propagated tags.

Inputs: `groups` {key: group name}. Outputs: `groups` {key: {"group", "min", "max", "desired", "template", "tags"}}. A
key that an earlier run noted is kept as it was then: afterwards the autoscaler and this program change the groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migration.clients.aws import Aws, described
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent

# What a copy takes over. Networking is left out on purpose: it is what differs between the sides.
KEPT = (
    "ImageId",
    "InstanceType",
    "KeyName",
    "IamInstanceProfile",
    "EbsOptimized",
    "Monitoring",
    "MetadataOptions",
    "BlockDeviceMappings",
    "UserData",
    "InstanceMarketOptions",
    "CreditSpecification",
    "TagSpecifications",
)


def run(inputs: Mapping[str, Any], previous: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:
    """Note the groups that aren't noted yet; nothing is changed."""
    wanted: Mapping[str, str] = inputs["groups"]
    noted = dict((previous or {}).get("groups") or {})
    new = {key: name for key, name in wanted.items() if key not in noted}
    described = context.clients.aws.groups(new.values())
    missing = sorted(name for name in new.values() if name not in described)
    if missing:
        raise Permanent(f"Auto Scaling groups {', '.join(missing)} don't exist; correct migration:pools and members")
    for key, name in new.items():
        noted[key] = describe(context.clients.aws, described[name])
    if new:
        context.log(f"noted {len(new)} groups, {sum(noted[key]['desired'] for key in new)} instances wanted")
    return {"groups": {key: noted[key] for key in wanted}}


def describe(aws: Aws, group: Mapping[str, Any]) -> dict[str, Any]:
    """One group as plain data with AWS's field names, first letter lower; raises `Permanent` without a template."""
    specification, instance_type = _template_of(group)
    # The group may follow $Default or $Latest: what that is now is what its copy gets.
    answer = aws.ec2.describe_launch_template_versions(
        LaunchTemplateId=specification["LaunchTemplateId"],
        Versions=[specification.get("Version") or "$Default"],
    )
    [version] = described(answer["LaunchTemplateVersions"])
    data = version["LaunchTemplateData"]
    template = {_lower(key): lowered(data[key]) for key in KEPT if data.get(key) is not None}
    if instance_type:
        template["instanceType"] = instance_type
    return {
        "group": group["AutoScalingGroupName"],
        "min": int(group["MinSize"]),
        "max": int(group["MaxSize"]),
        "desired": int(group["DesiredCapacity"]),
        "template": template,
        "tags": {
            tag["Key"]: tag["Value"]
            for tag in group.get("Tags", [])
            if tag.get("PropagateAtLaunch") and not tag["Key"].startswith("aws:")
        },
    }


def _template_of(group: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The group's launch template, and the instance type where a mixed policy overrides it with just one."""
    if group.get("LaunchTemplate"):
        return group["LaunchTemplate"], ""
    mixed = (group.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    if mixed.get("LaunchTemplateSpecification"):
        types = [override["InstanceType"] for override in mixed.get("Overrides") or [] if override.get("InstanceType")]
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
        return {_lower(key): lowered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [lowered(item) for item in value]
    return value
