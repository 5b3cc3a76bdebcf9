"""Ranges: which may not overlap, who is connected, and from where operators come."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations

from migration.settings.errors import Problem
from migration.settings.model import Configuration
from migration.settings.rules.common import twice

# The widest private range there is (10.0.0.0/8, RFC 1918): whatever is wider isn't where somebody comes from.
WIDEST_OPERATOR_PREFIX = 8


def side_key(name: str) -> str:
    """The key of a side's ranges beyond its first."""
    return f"migration:sides.{name}.secondaryCidrs"


def are_disjoint(c: Configuration) -> Iterator[Problem]:
    """No two of: the VPCs, pods, services, connected networks. Overlap is the reason for the whole move.

    AWS refuses a peering of overlapping VPCs, and a route can't tell two equal destinations apart.
    """
    named = [(f"migration:sides.{name}.cidr", side.cidr) for name, side in sorted(c.sides.items())]
    more = [(side_key(name), cidr) for name, side in sorted(c.sides.items()) for cidr in side.ranges[1:]]
    named += more
    named += [("migration:podCidr", c.pod_cidr), ("migration:serviceCidr", c.service_cidr)]
    named += [(f"migration:connectedNetworks[{n.name}].cidr", n.cidr) for n in c.connected_networks]
    named += [
        (f"migration:connectedNetworks[{n.name}].secondaryCidrs", cidr)
        for n in c.connected_networks
        for cidr in n.secondary_cidrs
    ]
    old = {f"migration:sides.{c.from_}.cidr", side_key(c.from_)}
    # A VPC that stands empty after an earlier migration is in nobody's way; whether it is empty, the operator knows.
    left = {
        key: name
        for name in c.sides
        if name not in (c.from_, c.to)
        for key in (f"migration:sides.{name}.cidr", side_key(name))
    }
    for (key, cidr), (other_key, other) in combinations(named, 2):
        # The old VPC may collide with a connected network: that collision is what is being left behind.
        if old & {key, other_key} and "connectedNetworks" in key + other_key:
            continue
        if IPv4Network(cidr).overlaps(IPv4Network(other)):
            remedy = f"overlaps {key} {cidr}; choose a range that overlaps no other network"
            for side in sorted({key, other_key} & left.keys()):
                remedy += f", or take {left[side]} out of migration:sides if the cluster has left it"
            yield Problem(other_key, other, remedy)


def are_told_apart(c: Configuration) -> Iterator[Problem]:
    """A connected network has a name of its own, and is peered with once."""
    networks = c.connected_networks
    for name in twice(network.name for network in networks):
        yield Problem("migration:connectedNetworks", name, "names two networks; give each a name of its own")
    for vpc in twice(network.vpc_id for network in networks if network.vpc_id):
        remedy = "is the vpcId of two networks, but AWS takes one peering between two VPCs; leave it with one of them"
        yield Problem("migration:connectedNetworks", vpc, remedy)
    for network in networks:
        key = f"migration:connectedNetworks[{network.name}]"
        if network.name in c.sides:
            remedy = "is a side's name, and the side's own rules would be lost; give the network another"
            yield Problem(f"{key}.name", network.name, remedy)
        for table in twice(network.route_tables):
            yield Problem(f"{key}.routeTables", table, "is listed twice; list it once")


def operators_are_named(c: Configuration) -> Iterator[Problem]:
    """Somebody may reach etcd while members are swapped, and not everybody: it holds every Secret of the cluster."""
    key = "migration:operatorNetworks"
    if c.etcd.access.by_port and not c.operator_networks:
        remedy = (
            "nobody could reach etcd to swap members (etcd.access is direct); name the range you work from: "
            "pulumi config set --path 'migration:operatorNetworks[0]' CIDR"
        )
        yield Problem(key, [], remedy)
    for cidr in twice(c.operator_networks):
        yield Problem(key, cidr, "is listed twice; list it once")
    for cidr in c.operator_networks:
        if IPv4Network(cidr).prefixlen < WIDEST_OPERATOR_PREFIX:
            remedy = (
                f"would open etcd, which holds every Secret, to {IPv4Network(cidr).num_addresses} addresses; name the "
                f"ranges that operators work from, none wider than a /{WIDEST_OPERATOR_PREFIX}"
            )
            yield Problem(key, cidr, remedy)


def etcd_can_be_changed(c: Configuration) -> Iterator[Problem]:
    """Members can be swapped by the way that is chosen; stage 7 would be too late to learn that they can't."""
    if not c.etcd.access.takes_changes:
        remedy = (
            "members can't be swapped through Systems Manager yet; set it to direct and name the ranges that operators "
            "work from in migration:operatorNetworks"
        )
        yield Problem("migration:etcd.access", c.etcd.access.value, remedy)
