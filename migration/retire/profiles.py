"""Who still uses an instance profile: IAM deletes one under machines that run, and they lose their credentials."""

from __future__ import annotations

from collections.abc import Iterable

from migration.clients.aws import GONE, GROUP_TAG, Aws, described
from migration.clients.documents import listed, mapping
from migration.settings.model import Retired


def profiles_in_use(aws: Aws, items: Iterable[Retired]) -> list[str]:
    """Launch templates and instances that stay and use an instance profile of the retire list, as sentences.

    Of a template the default and the latest version count: those are what a group launches.
    """
    going: dict[str, set[str]] = {}
    for item in items:
        going.setdefault(item.type, set()).add(item.id)
    profiles = going.get("instance-profile", set())
    if not profiles:
        return []
    found: set[str] = set()
    templates = aws.ec2.get_paginator("describe_launch_template_versions").paginate(Versions=["$Latest", "$Default"])
    for page in templates:
        for version in described(page["LaunchTemplateVersions"]):
            used = mapping(version, "LaunchTemplateData", "IamInstanceProfile")
            name = used.get("Name") or _name(used.get("Arn"))
            if name in profiles and version["LaunchTemplateId"] not in going.get("launch-template", ()):
                found.add(f"launch template {version['LaunchTemplateName']} uses {name}")
    for page in aws.ec2.get_paginator("describe_instances").paginate():
        for reservation in described(page["Reservations"]):
            for instance in listed(reservation, "Instances"):
                name = _name(mapping(instance, "IamInstanceProfile").get("Arn"))
                tags = {tag["Key"]: tag["Value"] for tag in listed(instance, "Tags")}
                if instance["State"]["Name"] in GONE or tags.get(GROUP_TAG) in going.get("autoscaling-group", ()):
                    continue
                if name in profiles:
                    found.add(f"instance {instance['InstanceId']} uses {name}")
    return sorted(found)


def _name(arn: str | None) -> str:
    """A profile's name: the end of its ARN, after its path."""
    return (arn or "").rsplit("/", 1)[-1]
