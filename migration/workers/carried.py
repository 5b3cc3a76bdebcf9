"""What a copy takes over of AWS's own descriptions, and what it can't, by name and reason. Pure."""

from __future__ import annotations

import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel

from migration.clients.documents import Document, listed, mapping
from migration.contracts.scaling import Attributes, LifecycleHook, Mixed
from migration.contracts.workers import HeldBefore, Template

M = TypeVar("M", bound=BaseModel)

# Fields of a template that the official provider takes as they were noted, under the same names.
TEMPLATE_AS_NOTED = (
    "capacity_reservation_specification",
    "cpu_options",
    "credit_specification",
    "disable_api_stop",
    "disable_api_termination",
    "enclave_options",
    "hibernation_options",
    "instance_initiated_shutdown_behavior",
    "instance_requirements",
    "kernel_id",
    "license_specifications",
    "maintenance_options",
    "monitoring",
    "network_performance_options",
    "placement",
    "private_dns_name_options",
    "ram_disk_id",
)

# A copy has its own: groups of its side's VPC, and subnets from its Auto Scaling group.
_OF_THE_SIDE = frozenset({"securityGroupIds", "securityGroups"})
# Who made it, not what it launches.
_OF_NOBODY = frozenset({"operator"})

PUBLIC = "networkInterfaces.associatePublicIpAddress"
_ADDRESS = "it is an address of the old VPC"
_IPV6 = "the new side's subnets have no IPv6 addresses"
_REASONS: Mapping[str, str] = {
    PUBLIC: "the new side's machines are in private subnets, and a public address there leads nowhere",
    "networkInterfaces.networkInterfaceId": "an interface is in one VPC, and on one machine",
    "networkInterfaces.subnetId": "a second interface's subnet is one of the old VPC",
    "networkInterfaces.privateIpAddress": _ADDRESS,
    "networkInterfaces.privateIpAddresses": _ADDRESS,
    "networkInterfaces.ipv4Prefixes": _ADDRESS,
    "networkInterfaces.ipv6Addresses": _IPV6,
    "networkInterfaces.ipv6AddressCount": _IPV6,
    "networkInterfaces.ipv6Prefixes": _IPV6,
    "networkInterfaces.ipv6PrefixCount": _IPV6,
    "networkInterfaces.primaryIpv6": _IPV6,
    "secondaryInterfaces": "their subnets are the old VPC's",
    "mixedInstancesPolicy.overrides.launchTemplateSpecification": (
        "all machines of a copy are launched from one launch template; make it a group of its own"
    ),
    "mixedInstancesPolicy.overrides.weightedCapacity": (
        "sizes are numbers of machines here, and drains and rolls count by them; set every weight to 1"
    ),
    "desiredCapacityType": "sizes are numbers of machines here, and drains and rolls count by them",
    "warmPoolConfiguration": "machines of a warm pool are no nodes, and nobody would drain them",
    "loadBalancerNames": "a classic balancer is in the old VPC; its names would lead there for ever",
    "trafficSources": "only target groups of the ingress balancer are made anew",
    "notificationConfigurations": "who is told of the group's changes stands outside of it",
    "suspendedProcesses.Launch": "no machine would come to the new side; resume it",
    "suspendedProcesses.Terminate": "no machine could leave; resume it",
    "suspendedProcesses.AddToLoadBalancer": "no machine would come behind the new balancers; resume it",
}
# Without these a copy would be something else, and be counted wrongly.
_FIRM = frozenset(
    {
        "mixedInstancesPolicy.overrides.launchTemplateSpecification",
        "mixedInstancesPolicy.overrides.weightedCapacity",
        "desiredCapacityType",
        "suspendedProcesses.Launch",
        "suspendedProcesses.Terminate",
        "suspendedProcesses.AddToLoadBalancer",
    }
)

# Of a group's description: what is noted elsewhere, is the side's own, or only tells what there is.
_NOT_ATTRIBUTES = frozenset(
    {
        "autoScalingGroupName",
        "autoScalingGroupARN",
        "launchTemplate",
        "mixedInstancesPolicy",
        "minSize",
        "maxSize",
        "desiredCapacity",
        "predictedCapacity",
        "availabilityZones",
        "availabilityZoneIds",
        "targetGroupARNs",
        "instances",
        "createdTime",
        "suspendedProcesses",
        "vPCZoneIdentifier",
        "status",
        "tags",
        "warmPoolSize",
        "operator",
    }
)
_DEFAULTS: Mapping[str, object] = {
    # Answered for every group, and said to none.
    "deletionProtection": "none",
}


@dataclass(frozen=True)
class LeftOut:
    """Something that a copy can't take over: where it stands, as `migration:copies.without` names it, and why."""

    path: str
    value: object

    @property
    def firm(self) -> bool:
        """Whether a copy can't be without it either."""
        return self.path in _FIRM

    def __str__(self) -> str:
        why = _REASONS.get(self.path, "no copy of this program's can say it")
        return f"{self.path} ({self.value!r}): {why}"


def lower(key: str) -> str:
    """AWS's name of a key with its first letter lower."""
    return key[:1].lower() + key[1:]


def taken(model: type[M], found: Document, path: str = "") -> tuple[dict[str, Any], list[LeftOut]]:
    """What of `found` the model has fields for, by the fields' aliases, and what not. Empty values say nothing."""
    aliases = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    kept: dict[str, Any] = {}
    left: list[LeftOut] = []
    for key, value in found.items():
        name = lower(key)
        where = f"{path}.{name}" if path else name
        if name not in aliases:
            if value and value != _DEFAULTS.get(where):
                left.append(LeftOut(where, value))
            continue
        inner = next(_models(aliases[name]), None)
        if inner is not None and isinstance(value, Mapping):
            kept[name], more = taken(inner, cast(Document, value), where)
            left += more
        elif inner is not None and isinstance(value, list):
            pairs = [taken(inner, item, where) for item in cast(list[Document], value)]
            kept[name] = [one for one, _ in pairs]
            left += [one for _, more in pairs for one in more]
        elif value is not None:
            kept[name] = value
    return kept, left


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    elif get_origin(kind) in (Union, types.UnionType, Annotated, tuple):
        for one in get_args(kind):
            yield from _models(one)


def carried_template(data: Document, without: Collection[str] = ()) -> tuple[Template, list[LeftOut]]:
    """A launch template's data as its copy has it, and what it can't have. `without`: what it is to lack."""
    told = {
        key: value
        for key, value in data.items()
        if lower(key) not in _OF_THE_SIDE | _OF_NOBODY and lower(key) not in without
    }
    interfaces: Sequence[Document] = data.get("NetworkInterfaces") or ()
    told["NetworkInterfaces"] = [_interface(one, without) for one in interfaces]
    kept, left = taken(Template, told)
    left += [LeftOut(PUBLIC, True) for one in told["NetworkInterfaces"] if one.get("AssociatePublicIpAddress")]
    return Template.model_validate({**kept, "whole": True}), left


def _interface(found: Document, without: Collection[str]) -> Document:
    """Without groups and a first interface's subnet, which a side has of its own, and without what is to be lacked."""
    told = {
        key: value
        for key, value in found.items()
        if key != "Groups" and f"networkInterfaces.{lower(key)}" not in without
    }
    if not found.get("DeviceIndex"):
        told.pop("SubnetId", None)
    if "AssociatePublicIpAddress" in found and PUBLIC in without:
        told["AssociatePublicIpAddress"] = False
    return told


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What a copy of a group takes over besides its template, and what it can't."""

    mixed: Mixed | None
    attributes: Attributes
    hooks: tuple[LifecycleHook, ...]
    left: tuple[LeftOut, ...]


def carried_group(group: Document, hooks: Sequence[Document], held: HeldBefore | None) -> Carried:
    """A group's own part, from AWS's descriptions. `held`: what it had before this program held it."""
    told = {
        key: value for key, value in group.items() if lower(key) not in _NOT_ATTRIBUTES and value not in (None, "", 0)
    }
    # Zero is said: AWS's default of it is another number, or the provider's is.
    told |= {key: group[key] for key in ("DefaultCooldown", "HealthCheckGracePeriod") if group.get(key) == 0}
    # Answered for every group, whatever was said of it.
    told["TrafficSources"] = [one for one in told.get("TrafficSources", ()) if not one["Type"].startswith("elb")]
    if not told.get("AvailabilityZoneImpairmentPolicy", {}).get("ZonalShiftEnabled"):
        told.pop("AvailabilityZoneImpairmentPolicy", None)
    if told.get("InstanceMaintenancePolicy", {}).get("MinHealthyPercentage", -1) == -1:
        told.pop("InstanceMaintenancePolicy", None)
    attributes, left = taken(Attributes, told)
    if attributes.get("desiredCapacityType", "units") != "units":
        left.append(LeftOut("desiredCapacityType", attributes["desiredCapacityType"]))
    suspended = [one["ProcessName"] for one in group.get("SuspendedProcesses") or ()]
    if held is not None:
        suspended = [one for one in suspended if one not in held.processes or one in held.suspended]
    blocked = [one for one in suspended if f"suspendedProcesses.{one}" in _FIRM]
    left += [LeftOut(f"suspendedProcesses.{one}", "suspended") for one in blocked]
    attributes["suspendedProcesses"] = sorted(set(suspended) - set(blocked))
    kept: list[LifecycleHook] = []
    for hook in hooks:
        # Answered for every hook, and not to be said of one.
        said = {key: value for key, value in hook.items() if key not in ("AutoScalingGroupName", "GlobalTimeout")}
        one, more = taken(LifecycleHook, said, "lifecycleHooks")
        kept.append(LifecycleHook.model_validate(one))
        left += more
    mixed, more = _mixed(group)
    return Carried(
        mixed=mixed,
        attributes=Attributes.model_validate(attributes),
        hooks=tuple(sorted(kept, key=lambda one: one.name)),
        left=(*left, *more),
    )


def _mixed(group: Document) -> tuple[Mixed | None, list[LeftOut]]:
    policy = mapping(group, "MixedInstancesPolicy")
    if not policy:
        return None, []
    overrides: list[Document] = [
        # A weight of one is none.
        {key: value for key, value in one.items() if (key, value) != ("WeightedCapacity", "1")}
        for one in listed(policy, "LaunchTemplate", "Overrides")
    ]
    shares = mapping(policy, "InstancesDistribution")
    distribution = {key: value for key, value in shares.items() if value not in (None, "")}
    told: Document = {"Overrides": overrides, "InstancesDistribution": distribution}
    kept, left = taken(Mixed, told, "mixedInstancesPolicy")
    return Mixed.model_validate(kept), left
