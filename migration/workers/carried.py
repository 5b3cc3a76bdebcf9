"""What a copy takes over of AWS's own descriptions, and what it can't, by name and reason. Pure."""

from __future__ import annotations

import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel

from migration.clients.documents import Document
from migration.contracts.workers import Template

M = TypeVar("M", bound=BaseModel)

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
}


@dataclass(frozen=True)
class LeftOut:
    """Something that a copy can't take over: where it stands, as `migration:copies.without` names it, and why."""

    path: str
    value: object

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
            if value:
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
