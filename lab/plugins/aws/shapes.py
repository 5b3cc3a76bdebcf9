"""Wire blocks to botocore's structures and back, led by botocore's own model: names; numbers and flags may be text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.errors import PluginError
from lab.plugins.schema import Kind, Prop

# Where the provider's name isn't AWS's with a small first letter.
_ALIASES = {
    "vpcSecurityGroupIds": "SecurityGroupIds",
    "ipv4AddressCount": "SecondaryPrivateIpAddressCount",
    "enableResourceNameDnsAaaaRecord": "EnableResourceNameDnsAAAARecord",
    "vcpuCount": "VCpuCount",
    "memoryMib": "MemoryMiB",
    "memoryGibPerVcpu": "MemoryGiBPerVCpu",
    "totalLocalStorageGb": "TotalLocalStorageGB",
    "acceleratorTotalMemoryMib": "AcceleratorTotalMemoryMiB",
}
# The same inside one structure only.
_INSIDE = {("LaunchTemplateInstanceNetworkInterfaceSpecification", "securityGroups"): "Groups"}


def _aws_name(name: str, shape: Any) -> str:
    inside = _INSIDE.get((str(shape.name).removesuffix("Request"), name))
    candidate = inside or _ALIASES.get(name, name[0].upper() + name[1:])
    if candidate not in shape.members:
        raise PluginError(f"'{name}' has no counterpart in AWS's {shape.name}")
    return candidate


def to_aws(fields: Mapping[str, Prop], values: Mapping[str, Any], shape: Any) -> dict[str, Any]:
    """A botocore argument of `shape` from wire values; what isn't set is left out."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if value is None or value == "" or name not in fields:
            continue
        member = _aws_name(name, shape)
        result[member] = _value_to_aws(fields[name], value, shape.members[member])
    return result


def _value_to_aws(prop: Prop, value: Any, shape: Any) -> Any:
    if prop.kind is Kind.BLOCK:
        return to_aws(prop.fields, value, shape)
    if prop.kind is Kind.LISTED:
        return [to_aws(prop.fields, v, shape.member) for v in value]
    if prop.kind is Kind.MAP and shape.type_name == "list":
        return [{"Key": key, "Value": str(v)} for key, v in value.items()]
    if shape.type_name == "list":
        return [str(v) for v in value]
    if shape.type_name == "boolean":
        return value in (True, "true", "True", "1")
    if shape.type_name == "double":
        return float(value)
    return int(value) if shape.type_name == "integer" else str(value)


def from_aws(fields: Mapping[str, Prop], found: Mapping[str, Any], shape: Any) -> dict[str, Any]:
    """Wire values of a botocore answer of `shape`, for the fields the table knows."""
    result: dict[str, Any] = {}
    for name, prop in fields.items():
        value = found.get(_aws_name(name, shape))
        if value is not None:
            result[name] = _value_from_aws(prop, value, shape.members[_aws_name(name, shape)])
    return result


def _value_from_aws(prop: Prop, value: Any, shape: Any) -> Any:
    if prop.kind is Kind.BLOCK:
        return from_aws(prop.fields, value, shape)
    if prop.kind is Kind.LISTED:
        return [from_aws(prop.fields, v, shape.member) for v in value]
    if prop.kind is Kind.MAP and isinstance(value, list):
        return {tag["Key"]: tag["Value"] for tag in value}
    if prop.kind is Kind.TEXT and isinstance(value, bool):
        return "true" if value else "false"
    return value
