"""An Auto Scaling group's mixed instances policy, without attribute-based instance requirements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.aws import shapes
from lab.plugins.aws.call import Call
from lab.plugins.schema import block, listed, number, text

_SPECIFICATION = {
    "launchTemplateId": text(computed=True),
    "launchTemplateName": text(computed=True),
    "version": text(default="$Default"),
}
_OVERRIDE = {
    "instanceType": text(),
    "weightedCapacity": text(),
    "launchTemplateSpecification": block(_SPECIFICATION),
}
FIELDS = {
    "launchTemplate": block(
        {
            "launchTemplateSpecification": block(_SPECIFICATION, required=True),
            "overrides": listed(_OVERRIDE),
        },
        required=True,
    ),
    "instancesDistribution": block(
        {
            "onDemandAllocationStrategy": text(computed=True),
            "onDemandBaseCapacity": number(computed=True),
            "onDemandPercentageAboveBaseCapacity": number(default=100),
            "spotAllocationStrategy": text(default="lowest-price"),
            "spotInstancePools": number(computed=True),
            "spotMaxPrice": text(),
        },
        computed=True,
    ),
}


def _shape(call: Call) -> Any:
    model = call.client("autoscaling").meta.service_model.operation_model("CreateAutoScalingGroup")
    return model.input_shape.members["MixedInstancesPolicy"]


def to_aws(call: Call, policy: Mapping[str, Any]) -> dict[str, Any]:
    """The argument of Create- and UpdateAutoScalingGroup."""
    arguments = shapes.to_aws(FIELDS, policy, _shape(call))
    _one_name(arguments["LaunchTemplate"]["LaunchTemplateSpecification"])
    for override in arguments["LaunchTemplate"].get("Overrides", []):
        if "LaunchTemplateSpecification" in override:
            _one_name(override["LaunchTemplateSpecification"])
    return arguments


def _one_name(specification: dict[str, Any]) -> None:
    # AWS takes the id or the name; a state that was read has both.
    if specification.get("LaunchTemplateId"):
        specification.pop("LaunchTemplateName", None)
    specification.setdefault("Version", "$Default")


def from_aws(call: Call, found: Mapping[str, Any]) -> dict[str, Any]:
    """The block as the provider records it."""
    return shapes.from_aws(FIELDS, found, _shape(call))
