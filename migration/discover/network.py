"""The old side's network, who else reaches it, and a range for the new one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any

from migration.discover.groups import zones_by_subnet
from migration.discover.inventory import Inventory
from migration.discover.tags import tags_of
from migration.networks import free_range, overlapping
from migration.reachability import vpc_cidrs
from migration.runtime.deadline import Permanent

_ELSEWHERE = ("TransitGatewayId", "GatewayId", "NetworkInterfaceId", "InstanceId")


def _table_of(inventory: Inventory, subnet: str) -> Mapping[str, Any] | None:
    main = None
    for table in inventory.route_tables:
        for association in table.get("Associations", []):
            if association.get("SubnetId") == subnet:
                return table
            if association.get("Main"):
                main = table
    return main


def is_public(inventory: Inventory, subnet: str) -> bool:
    """Whether a subnet's default route leads to an internet gateway."""
    table = _table_of(inventory, subnet) or {}
    return any(str(route.get("GatewayId", "")).startswith("igw-") for route in table.get("Routes", []))


def zones(inventory: Inventory) -> dict[str, dict[str, str]]:
    """Per zone the subnet where the cluster's machines are (`private`) and the one beside it that is public."""
    where = zones_by_subnet(inventory)
    used = Counter(subnet for group in inventory.groups for subnet in group.subnets if subnet in where)
    found: dict[str, dict[str, str]] = {}
    # The most used subnet of a zone comes first; ties go by id, so that a second discovery writes the same.
    for subnet, _ in sorted(used.items(), key=lambda item: (-item[1], item[0])):
        found.setdefault(where[subnet], {"private": subnet})
    for subnet in sorted(where):
        zone = where[subnet]
        if zone in found and subnet != found[zone]["private"] and is_public(inventory, subnet):
            found[zone].setdefault("public", subnet)
    return dict(sorted(found.items()))


def connected(inventory: Inventory) -> list[dict[str, Any]]:
    """`connectedNetworks`: the VPCs peered with the old one, and what it routes to gateways."""
    own = inventory.vpc["VpcId"]
    found: list[dict[str, Any]] = []
    names: Counter[str] = Counter()

    def add(name: str, cidr: str, **more: Any) -> None:
        names[name] += 1
        unique = name if names[name] == 1 else f"{name}-{names[name]}"
        found.append({"name": unique, "cidr": cidr, **more})

    for peering in inventory.peerings:
        requester, accepter = peering["RequesterVpcInfo"], peering["AccepterVpcInfo"]
        peer = accepter if requester["VpcId"] == own else requester
        seen = inventory.peer_vpcs.get(peer["VpcId"])
        name = (tags_of(seen).get("Name") if seen else None) or tags_of(peering).get("Name") or peer["VpcId"]
        tables = [
            table["RouteTableId"]
            for table in inventory.peer_route_tables.get(peer["VpcId"], ())
            if any(r.get("VpcPeeringConnectionId") == peering["VpcPeeringConnectionId"] for r in table["Routes"])
        ]
        first, *more = vpc_cidrs(seen) if seen else [block["CidrBlock"] for block in _blocks(peer)]
        mine = {"vpcId": peer["VpcId"], "routeTables": sorted(tables)} if seen else {}
        add(name, first, **({"secondaryCidrs": more} if more else {}), **mine)
    for target, cidr in _routed(inventory):
        if not overlapping(cidr, ranges(found)):
            add(target, cidr)
    return found


def ranges(connected: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every range of networks as the configuration has them."""
    return [cidr for one in connected for cidr in (one["cidr"], *one.get("secondaryCidrs", ()))]


def _blocks(peer: Mapping[str, Any]) -> list[dict[str, str]]:
    return peer.get("CidrBlockSet") or [{"CidrBlock": peer["CidrBlock"]}]


def _routed(inventory: Inventory) -> list[tuple[str, str]]:
    """Destinations of routes to transit and VPN gateways and appliances: (target, range), the widest first."""
    found: set[tuple[str, str]] = set()
    for table in inventory.route_tables:
        for route in table.get("Routes", []):
            cidr = route.get("DestinationCidrBlock")
            target = next((route[key] for key in _ELSEWHERE if route.get(key)), None)
            if (
                cidr in (None, "0.0.0.0/0")
                or target is None
                or target == "local"
                or target.startswith(("igw-", "vpce-"))
            ):
                continue
            found.add((target, cidr))
    return sorted(found, key=lambda item: (IPv4Network(item[1]).prefixlen, item))


def new_cidr(inventory: Inventory, wanted: str | None, taken: Iterable[str]) -> str:
    """The new VPC's range: as wanted if nothing overlaps it, or the next free /16 after the old one.

    `taken` are ranges of pods, services and connected networks. Raises `Permanent` naming what overlaps.
    """
    every = [*vpc_cidrs(inventory.vpc), *inventory.other_cidrs, *taken]
    if wanted is None:
        free = free_range(every, near=inventory.vpc["CidrBlock"])
        if free is None:
            raise Permanent("no private /16 is free of every network seen; give the new VPC a range with --to-cidr")
        return free
    # Another VPC of the account may overlap: this one needn't reach it. What is connected, or inside, may not.
    clash = overlapping(wanted, [*vpc_cidrs(inventory.vpc), *taken])
    if clash:
        raise Permanent(
            f"--to-cidr {wanted} overlaps {', '.join(clash)}; choose a range that overlaps no other network"
        )
    return wanted
