"""What a launch template may not say, or not for the group that launches from it: AWS tries it when a group is made."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.models import AutoScalingBackend

from lab.aws.hooks import Refused, rule

UNFORMED = "You must use a valid fully-formed launch template. "


def _data(backend: AutoScalingBackend, arguments: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The template's data that a call would launch from, and whether it is a mixed policy's; empty without one."""
    mixed = arguments.get("mixed_instances_policy") or {}
    named = arguments.get("launch_template") or mixed.get("LaunchTemplate", {}).get("LaunchTemplateSpecification", {})
    if not named:
        return {}, False
    reference = {**named, "Version": named.get("Version") or "$Default"}
    return backend.ec2_backend._get_template_from_args(reference).data, bool(mixed)


@rule(
    AutoScalingBackend,
    "create_auto_scaling_group",
    "update_auto_scaling_group",
    source="EC2 API reference, RunInstances: security groups of a network interface are specified as part of it",
)
def groups_beside_an_interface(backend: AutoScalingBackend, arguments: dict[str, Any]) -> None:
    data, _ = _data(backend, arguments)
    if data.get("NetworkInterfaces") and (data.get("SecurityGroupIds") or data.get("SecurityGroups")):
        raise Refused(
            "ValidationError",
            f"{UNFORMED}Network interfaces and an instance-level security groups may not be specified on the same"
            " request",
        )


@rule(
    AutoScalingBackend,
    "create_auto_scaling_group",
    "update_auto_scaling_group",
    source="EC2 Auto Scaling user guide, Create a launch template: no request for Spot Instances with a mixed group",
)
def spot_template_in_a_mixed_group(backend: AutoScalingBackend, arguments: dict[str, Any]) -> None:
    data, mixed = _data(backend, arguments)
    if mixed and data.get("InstanceMarketOptions", {}).get("MarketType"):
        raise Refused(
            "ValidationError",
            "Incompatible launch template: a launch template that is set to request Spot Instances"
            " (InstanceMarketOptions) can't be used with a mixed instances policy",
        )


@rule(
    AutoScalingBackend,
    "create_auto_scaling_group",
    "update_auto_scaling_group",
    source="EC2 API reference, RequestLaunchTemplateData: InstanceRequirements and InstanceType exclude each other",
)
def type_and_requirements(backend: AutoScalingBackend, arguments: dict[str, Any]) -> None:
    data, _ = _data(backend, arguments)
    if data.get("InstanceType") and data.get("InstanceRequirements"):
        raise Refused(
            "ValidationError", f"{UNFORMED}InstanceType and InstanceRequirements may not be specified together"
        )
