"""Which object of AWS or of the cluster a resource of the program is, where no state says it.

What is looked for after an interrupted create is looked for in the same way here; besides, there is what such a create
simply makes again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from migration.clients.aws import described
from migration.names import plain
from migration.recover.decide import ours
from migration.recover.objects import KINDS, Found, Kind
from migration.recover.state import Foreign, Resource
from migration.runtime.deadline import Permanent

if TYPE_CHECKING:
    from migration.clients.aws import Aws

# Inputs that no provider can read back, with the only value that this program gives them. An import leaves them out.
UNREADABLE: Mapping[str, Mapping[str, bool]] = {
    "aws:route53/record:Record": {"allowOverwrite": True},
    "aws:ec2/launchTemplate:LaunchTemplate": {"updateDefaultVersion": True},
    "aws:ec2/vpcPeeringConnection:VpcPeeringConnection": {"autoAccept": True},
}


class WeightedRecord(Foreign):
    """One side's record of a pair."""

    zone_id: str
    name: str
    type: str
    set_identifier: str


class RolePolicy(Foreign):
    """A role's inline policy."""

    role: str
    name: str


class DhcpOptions(Foreign):
    """Which set of DHCP options a VPC has."""

    vpc_id: str
    dhcp_options_id: str


class ListenerCertificate(Foreign):
    """A listener's certificate besides its default one."""

    listener_arn: str
    certificate_arn: str


class PeeringOptions(Foreign):
    """What a peering lets through; it has the peering's own id."""

    vpc_peering_connection_id: str


def _record(aws: Aws, wanted: WeightedRecord) -> Iterator[Found]:
    pages = aws.route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=wanted.zone_id)
    for page in pages:
        for one in described(page["ResourceRecordSets"]):
            there = (plain(str(one["Name"])), one["Type"], one.get("SetIdentifier"))
            if there == (plain(wanted.name), wanted.type, wanted.set_identifier):
                yield Found(id=f"{wanted.zone_id}_{wanted.name}_{wanted.type}_{wanted.set_identifier}")


def _policy(aws: Aws, wanted: RolePolicy) -> Iterator[Found]:
    aws.iam.get_role_policy(RoleName=wanted.role, PolicyName=wanted.name)
    yield Found(id=f"{wanted.role}:{wanted.name}")


def _options(aws: Aws, wanted: PeeringOptions) -> Iterator[Found]:
    peering = wanted.vpc_peering_connection_id
    answer = aws.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[peering])["VpcPeeringConnections"]
    if any(one.get("Status", {}).get("Code") == "active" for one in described(answer)):
        yield Found(id=peering)


def _dhcp(aws: Aws, wanted: DhcpOptions) -> Iterator[Found]:
    for one in described(aws.ec2.describe_vpcs(VpcIds=[wanted.vpc_id])["Vpcs"]):
        if one.get("DhcpOptionsId") == wanted.dhcp_options_id:
            # The engine imports it by the VPC, and calls it by both.
            yield Found(id=wanted.vpc_id)


def _certificate(aws: Aws, wanted: ListenerCertificate) -> Iterator[Found]:
    pages = aws.elbv2.get_paginator("describe_listener_certificates").paginate(ListenerArn=wanted.listener_arn)
    for page in pages:
        for one in described(page["Certificates"]):
            if one["CertificateArn"] == wanted.certificate_arn and not one.get("IsDefault"):
                yield Found(id=f"{wanted.listener_arn}_{wanted.certificate_arn}")


_MORE: Mapping[str, Kind[Any]] = {
    "aws:route53/record:Record": Kind(inputs=WeightedRecord, find=_record),
    "aws:iam/rolePolicy:RolePolicy": Kind(inputs=RolePolicy, find=_policy),
    "aws:ec2/vpcDhcpOptionsAssociation:VpcDhcpOptionsAssociation": Kind(inputs=DhcpOptions, find=_dhcp),
    "aws:lb/listenerCertificate:ListenerCertificate": Kind(inputs=ListenerCertificate, find=_certificate),
    "aws:ec2/peeringConnectionOptions:PeeringConnectionOptions": Kind(inputs=PeeringOptions, find=_options),
}


def imported(type_: str) -> bool:
    """Whether the objects of a type exist outside of the state: operations and providers don't."""
    return type_.startswith(("aws:", "kubernetes:"))


def kind_of(type_: str) -> Kind[Any] | None:
    """How objects of a type of AWS are looked for; None for a type that this program doesn't make."""
    return KINDS.get(type_) or _MORE.get(type_)


def locate(aws: Aws, resource: Resource) -> str:
    """The id by which the engine imports what `resource` describes.

    Raises `Permanent` where it isn't there, isn't this program's, or is there more than once.
    """
    if resource.type.startswith("kubernetes:"):
        metadata = resource.inputs["metadata"]
        # Whether it is there, the engine's own read says.
        return "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)
    kind = kind_of(resource.type)
    if kind is None:
        raise Permanent(f"{resource} ({resource.type}) is of no type that can be looked for")
    found, marks = kind.look(aws, resource)
    mine = [one for one in found if ours(one, marks)]
    wanted = " ".join(f"{key}={value}" for key, value in sorted(marks.items()))
    if not mine:
        others = f"; {', '.join(one.id for one in found)} is in its place without the tags {wanted}" if found else ""
        told = f" with the tags {wanted}" if wanted else ""
        raise Permanent(f"{resource} ({resource.type}) isn't there{told}{others}")
    if len(mine) > 1:
        listed = ", ".join(one.id for one in mine)
        raise Permanent(
            f"{resource} ({resource.type}) is there {len(mine)} times: {listed}. Look which is in use, take the "
            f"migration: tags off the others or delete them, and recover again"
        )
    return mine[0].id
