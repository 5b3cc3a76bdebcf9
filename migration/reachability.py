"""Who reaches whom by AWS's route tables and peerings. Pure over AWS's own descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network

from migration.clients.documents import Document, listed, mapping

# What a route may lead to beyond its own VPC, in DescribeRouteTables' words.
TARGETS = (
    "VpcPeeringConnectionId",
    "TransitGatewayId",
    "GatewayId",
    "NetworkInterfaceId",
    "InstanceId",
    "NatGatewayId",
)


def vpc_cidrs(vpc: Document) -> list[str]:
    """Every associated IPv4 range of a VPC, its first one first."""
    more = [
        block["CidrBlock"]
        for block in listed(vpc, "CidrBlockAssociationSet")
        if mapping(block, "CidrBlockState").get("State", "associated") == "associated"
    ]
    return list(dict.fromkeys([vpc["CidrBlock"], *more]))


def target(route: Document) -> str:
    """What a route leads to; empty for one that leads nowhere known."""
    return next((route[key] for key in TARGETS if route.get(key)), "")


def routes(tables: Iterable[Document], *, beyond: bool = True) -> dict[str, dict[str, str]]:
    """Active routes by table: destination to target. `beyond` leaves the VPC's own ranges out."""
    return {
        table["RouteTableId"]: {
            route["DestinationCidrBlock"]: target(route)
            for route in listed(table, "Routes")
            if route.get("DestinationCidrBlock")
            and route.get("State", "active") == "active"
            and not (beyond and target(route) == "local")
        }
        for table in tables
    }


def leads(table: Mapping[str, str], cidr: str) -> str:
    """The target of the most specific route that covers all of `cidr`, the default route included; or empty."""
    wanted = IPv4Network(cidr)
    covering = [
        (IPv4Network(destination).prefixlen, where)
        for destination, where in table.items()
        if wanted.subnet_of(IPv4Network(destination))
    ]
    return max(covering)[1] if covering else ""


def lacking(tables: Mapping[str, Mapping[str, str]], cidr: str, via: str | None = None) -> list[str]:
    """Tables without an active route to `cidr`, through `via` where that is given; a default route doesn't count."""
    missing: list[str] = []
    for name, table in sorted(tables.items()):
        specific = {destination: where for destination, where in table.items() if destination != "0.0.0.0/0"}
        where = leads(specific, cidr)
        if not where or (via is not None and where != via):
            missing.append(name)
    return missing


def peering_between(peerings: Iterable[Document], one: str, other: str) -> Document | None:
    """The active peering of two VPCs; None if there is none."""
    for peering in peerings:
        ends = {peering["RequesterVpcInfo"]["VpcId"], peering["AccepterVpcInfo"]["VpcId"]}
        if ends == {one, other} and peering["Status"]["Code"] == "active":
            return peering
    return None


def resolves_both_ways(peering: Document) -> bool:
    """Whether names of each side resolve to private addresses from the other."""
    return all(
        mapping(peering, end, "PeeringOptions").get("AllowDnsResolutionFromRemoteVpc", False)
        for end in ("RequesterVpcInfo", "AccepterVpcInfo")
    )


def overlaps(named: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs of names whose ranges share an address."""
    entries = [(name, IPv4Network(cidr)) for name, cidr in named.items()]
    return [
        (name, other)
        for position, (name, network) in enumerate(entries)
        for other, second in entries[position + 1 :]
        if network.overlaps(second)
    ]


def unreached(
    old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]], besides: Iterable[str]
) -> list[str]:
    """Destinations that some table of the old side reaches over a peering or gateway and a new side's table doesn't.

    `besides` are ranges that needn't be reached this way (both VPCs' own). Default routes to the internet are a
    matter of `nat`, not of this.
    """
    own = [IPv4Network(cidr) for cidr in besides]
    wanted = {
        destination
        for table in old.values()
        for destination, where in table.items()
        if destination != "0.0.0.0/0"
        and where.startswith(("pcx-", "tgw-", "vgw-", "eni-", "i-"))
        and not any(IPv4Network(destination).subnet_of(one) for one in own)
    }
    return sorted(cidr for cidr in wanted if lacking(new, cidr))
