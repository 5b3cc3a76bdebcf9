"""Availability zones: each that is needed is there, once, and in the region."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network

from migration.settings.errors import Problem
from migration.settings.model import Configuration, ManagedSide
from migration.settings.rules.common import api_servers, twice


def _listed(c: Configuration) -> Iterator[tuple[str, Sequence[str]]]:
    """Every list of zones, with its key."""
    for name, side in sorted(c.sides.items()):
        yield f"migration:sides.{name}.zones", tuple(side.zones)
    for pool in c.pools:
        yield f"migration:pools[{pool.name}].zones", pool.zones
    for member in c.members:
        yield f"migration:members[{member.name}].zone", (member.zone,)
    for key, server in api_servers(c):
        yield f"{key}.zone", (server.zone,)


def are_covered(c: Configuration) -> Iterator[Problem]:
    """Every zone in which a pool or a member lives has a subnet on both sides."""
    needed: dict[str, str] = {}
    for pool in c.pools:
        for zone in pool.zones:
            needed.setdefault(zone, f"pool {pool.name}")
    for member in c.members:
        needed.setdefault(member.zone, f"member {member.name}")
    for _, server in api_servers(c):
        needed.setdefault(server.zone, f"API server {server.name}")
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


def are_named_once(c: Configuration) -> Iterator[Problem]:
    """No list of zones is empty or names one twice."""
    for key, zones in _listed(c):
        if not zones:
            yield Problem(key, [], "names no availability zone; list those it is in")
        for zone in twice(zones):
            yield Problem(key, zone, "is listed twice; list it once")


def are_of_the_region(c: Configuration, *, region: str) -> Iterator[Problem]:
    """Every zone belongs to `region`: its name is the region's and a letter, or a local zone's after a hyphen."""
    own = re.compile(rf"{re.escape(region)}([a-z]|-[a-z].+)")
    for key, zones in _listed(c):
        for zone in zones:
            if not own.fullmatch(zone):
                yield Problem(key, zone, f"isn't a zone of aws:region {region}; correct one of the two")
