"""Rules that compare several keys of the configuration: each returns the problems it finds."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations

from migration.names import LIMITS, physical_name
from migration.settings.errors import Problem
from migration.settings.model import Configuration, ManagedSide, ReferencedSide


def sides_exist(c: Configuration) -> Iterator[Problem]:
    """`from` and `to` name two different sides that are described under `sides`."""
    described = ", ".join(sorted(c.sides)) or "none"
    for key, name in (("from", c.from_), ("to", c.to)):
        if name not in c.sides:
            yield Problem(f"migration:{key}", name, f"no such side; described under migration:sides are {described}")
    if c.from_ == c.to:
        yield Problem("migration:to", c.to, "is the same side as migration:from; name the side to move to")


def networks_are_disjoint(c: Configuration) -> Iterator[Problem]:
    """No two of: the VPCs, pods, services, connected networks. Overlap is the reason for the whole move.

    AWS refuses a peering of overlapping VPCs, and a route can't tell two equal destinations apart.
    """
    named = [(f"migration:sides.{name}.cidr", side.cidr) for name, side in sorted(c.sides.items())]
    named += [("migration:podCidr", c.pod_cidr), ("migration:serviceCidr", c.service_cidr)]
    named += [(f"migration:connectedNetworks[{n.name}].cidr", n.cidr) for n in c.connected_networks]
    old = f"migration:sides.{c.from_}.cidr"
    for (key, cidr), (other_key, other) in combinations(named, 2):
        # The old VPC may collide with a connected network: that collision is what is being left behind.
        if old in (key, other_key) and "connectedNetworks" in key + other_key:
            continue
        if IPv4Network(cidr).overlaps(IPv4Network(other)):
            yield Problem(other_key, other, f"overlaps {key} {cidr}; choose a range that overlaps no other network")


def zones_are_covered(c: Configuration) -> Iterator[Problem]:
    """Every zone in which a pool or a member lives has a subnet on both sides."""
    needed: dict[str, str] = {}
    for pool in c.pools:
        for zone in pool.zones:
            needed.setdefault(zone, f"pool {pool.name}")
    for member in c.members:
        needed.setdefault(member.zone, f"member {member.name}")
    for name, side in sorted(c.sides.items()):
        for zone, user in sorted(needed.items()):
            if zone not in side.zones:
                remedy = f"has no subnet in {zone}, where {user} lives; add {zone} to it"
                yield Problem(f"migration:sides.{name}.zones", sorted(side.zones), remedy)
        if isinstance(side, ManagedSide):
            prefix = IPv4Network(side.cidr).prefixlen
            room = 2 ** max(0, side.subnet_prefix - prefix)
            if side.subnet_prefix <= prefix or room < 2 * len(side.zones):
                remedy = f"{side.cidr} has no room for {2 * len(side.zones)} subnets of that size; use a longer prefix"
                yield Problem(f"migration:sides.{name}.subnetPrefix", side.subnet_prefix, remedy)


def names_fit(c: Configuration) -> Iterator[Problem]:
    """No physical name becomes longer than AWS takes (a load balancer's is the shortest: 32 characters)."""
    for side_name, side in sorted(c.sides.items()):
        if isinstance(side, ReferencedSide):
            continue
        wanted = [("load-balancer", physical_name(c.cluster, role, side.suffix)) for role in ("ingress", "api")]
        # The longest role of all: the group of members' instances that serves the API in the end.
        wanted += [("target-group", physical_name(c.cluster, "apimembers", side.suffix))]
        wanted += [("autoscaling-group", physical_name(pool.name, "", side.suffix)) for pool in c.pools]
        wanted += [("autoscaling-group", physical_name(m.group, "", side.suffix)) for m in c.members]
        for kind, name in wanted:
            if len(name) > LIMITS[kind]:
                remedy = (
                    f"makes the {kind} name {name!r} {len(name)} characters long; AWS takes {LIMITS[kind]}: shorten it"
                )
                yield Problem(f"migration:sides.{side_name}.suffix", side.suffix, remedy)
    suffixes: dict[str, str] = {}
    for side_name, side in sorted(c.sides.items()):
        if side.suffix in suffixes:
            remedy = f"is also the suffix of {suffixes[side.suffix]}; names would collide, give each side its own"
            yield Problem(f"migration:sides.{side_name}.suffix", side.suffix, remedy)
        suffixes[side.suffix] = side_name


def members_make_sense(c: Configuration) -> Iterator[Problem]:
    """An odd number of members with unique names; `controlPlaneMoved` within it; unique pools and records."""
    names = [member.name for member in c.members]
    if len(names) % 2 == 0:
        yield Problem("migration:members", names, "an etcd cluster has an odd number of members (1, 3, 5)")
    for key, values in (("members", names), ("pools", [pool.name for pool in c.pools])):
        for twice in sorted({value for value in values if values.count(value) > 1}):
            yield Problem(f"migration:{key}", twice, "is named twice; names are unique")
    if c.control_plane_moved is not None and c.control_plane_moved > len(names):
        remedy = f"there are {len(names)} members; give 0 to {len(names)}"
        yield Problem("migration:controlPlaneMoved", c.control_plane_moved, remedy)
    kept = {item.id for item in c.keep}
    for item in c.retire:
        if item.id in kept:
            yield Problem("migration:retire", item.id, "also stands in migration:keep; leave it in one of the two")


RULES = (sides_exist, networks_are_disjoint, zones_are_covered, names_fit, members_make_sense)


def problems(c: Configuration) -> list[Problem]:
    """Everything all rules find."""
    return [problem for rule in RULES for problem in rule(c)]
