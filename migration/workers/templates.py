"""What groups launch from, asked of AWS for many groups at once: one call a page of templates, not one a group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from migration.clients.aws import Aws, described
from migration.clients.documents import mapping
from migration.runtime.deadline import Permanent

# Up to so many templates are asked for one by one: the answer for all has everybody's of the region.
FEW = 3


class Templates:
    """Launch template versions as they are, for groups given as AWS describes them."""

    def __init__(self, aws: Aws, groups: Iterable[Mapping[str, Any]]) -> None:
        self._aws = aws
        self._known: dict[tuple[str, str], Mapping[str, Any]] = {}
        wanted = {_key(specification) for group in groups if (specification := _specified(group))}
        if len(wanted) > FEW:
            self._read_all()

    def data(self, group: Mapping[str, Any]) -> Mapping[str, Any]:
        """AWS's own words for the version that a group uses.

        The group may follow $Default or $Latest: what that is now is what its copy gets. Raises `Permanent` where it
        has no launch template, or one without that version.
        """
        name, specification = group["AutoScalingGroupName"], _specified(group)
        if not specification:
            raise Permanent(
                f"Auto Scaling group {name} uses a launch configuration; give it a launch template (AWS console: copy "
                f"to launch template) and run the same up again"
            )
        key = _key(specification)
        if key not in self._known:
            self._read_one(name, *key)
        return self._known[key]

    def _read_all(self) -> None:
        """Every template's latest and default version: nearly all groups launch from one of these."""
        pages = self._aws.ec2.get_paginator("describe_launch_template_versions").paginate(
            Versions=["$Latest", "$Default"], PaginationConfig={"PageSize": 200}
        )
        latest: dict[str, int] = {}
        for page in pages:
            for one in described(page["LaunchTemplateVersions"]):
                template, number, data = one["LaunchTemplateId"], int(one["VersionNumber"]), one["LaunchTemplateData"]
                self._known[template, str(number)] = data
                if one.get("DefaultVersion"):
                    self._known[template, "$Default"] = data
                if number >= latest.get(template, 0):
                    latest[template] = number
                    self._known[template, "$Latest"] = data

    def _read_one(self, group: str, template: str, version: str) -> None:
        versions = self._aws.ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=[version])
        found = next(iter(described(versions["LaunchTemplateVersions"])), None)
        if found is None:
            raise Permanent(
                f"the launch template {template} of group {group} has no version {version}; correct the group's "
                f"template"
            )
        self._known[template, version] = found["LaunchTemplateData"]


def _key(specification: Mapping[str, Any]) -> tuple[str, str]:
    return specification["LaunchTemplateId"], specification.get("Version") or "$Default"


def _specified(group: Mapping[str, Any]) -> Mapping[str, Any]:
    """The launch template that a group, or its mixed policy, names; empty for one that names none."""
    mixed = mapping(group, "MixedInstancesPolicy", "LaunchTemplate", "LaunchTemplateSpecification")
    specification: Mapping[str, Any] = group.get("LaunchTemplate") or mixed
    return specification
