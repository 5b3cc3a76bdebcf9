"""Pools and members: that there are some, how many, and that no two are one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from migration.settings.errors import Problem
from migration.settings.model import Configuration, ReferencedSide
from migration.settings.rules.common import api_servers, machines, twice

# A part of an SSM parameter's name, and of etcd's initial cluster, where "=" and "," have a meaning.
_MEMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def are_there(c: Configuration) -> Iterator[Problem]:
    """At least one pool, an odd number of members, and `controlPlaneMoved` within it."""
    if not c.pools:
        remedy = "no worker would ever move, and the old ones would still be let go; list the old side's worker groups"
        yield Problem("migration:pools", [], remedy)
    names = [member.name for member in c.members]
    if len(names) % 2 == 0:
        yield Problem("migration:members", names, "an etcd cluster has an odd number of members (1, 3, 5)")
    if c.control_plane_moved is not None and c.control_plane_moved > len(names):
        remedy = f"there are {len(names)} members; give 0 to {len(names)}"
        yield Problem("migration:controlPlaneMoved", c.control_plane_moved, remedy)


def enough_vote_meanwhile(c: Configuration) -> Iterator[Problem]:
    """A member that takes its volume along is away meanwhile: the others must be a quorum without it."""
    total = len(c.members)
    if c.etcd.strategy == "volume" and total - 1 < total // 2 + 1:
        remedy = (
            f"takes each member away while its volume moves, and {total - 1} of {total} can't go on without it: the "
            f"cluster would be down; set it to learner"
        )
        yield Problem("migration:etcd.strategy", c.etcd.strategy, remedy)


def are_told_apart(c: Configuration) -> Iterator[Problem]:
    """Names are unique, and each group is one pool's or one member's alone."""
    # Members and API machines have join tickets by their names.
    ticketed = [m.name for m in c.members] + [one.name for _, one in api_servers(c)]
    for key, names in (("members", ticketed), ("pools", [pool.name for pool in c.pools])):
        for name in twice(names):
            yield Problem(f"migration:{key}", name, "is named twice; names are unique")
    for pool in c.pools:
        scaled = {"scaling": [one.name for one in pool.scaling], "schedules": [one.name for one in pool.schedules]}
        for key, names in scaled.items():
            for name in twice(names):
                yield Problem(f"migration:pools[{pool.name}].{key}", name, "is named twice; names are unique")
        for policy in pool.scaling:
            if (policy.predefined is None) is (policy.metric is None):
                remedy = "tracks one metric: give one of predefined and metric"
                yield Problem(f"migration:pools[{pool.name}].scaling", policy.name, remedy)
    for group in twice(one.group for _, one in machines(c)):
        holders = " and ".join(key for key, one in machines(c) if one.group == group)
        yield Problem("migration:pools", group, f"is the group of {holders}; give each the group that is its own")


def members_have_addresses(c: Configuration) -> Iterator[Problem]:
    """Each member has a name that etcd and SSM take, and an address of its own in the old VPC's range."""
    named = [(f"migration:members[{member.name}]", member.name) for member in c.members]
    for key, name in (*named, *((key, one.name) for key, one in api_servers(c))):
        if not _MEMBER.fullmatch(name):
            remedy = (
                "is etcd's name and part of an SSM parameter's: letters, digits, dots, hyphens and underscores only"
            )
            yield Problem(f"{key}.name", name, remedy)
    for address in twice(member.address for member in c.members if member.address is not None):
        yield Problem("migration:members", address, "is the address of two members; give each its own")
    # What was found has its addresses in the configuration; of a side made here machines say where they are.
    if not isinstance(c.sides.get(c.from_), ReferencedSide):
        return
    # Only the ranges that are named are routed to the other side; an address in another wouldn't be reached.
    ranges = c.sides[c.from_].ranges
    for member in c.members:
        inside = member.address is None or any(IPv4Address(member.address) in IPv4Network(one) for one in ranges)
        if member.address is not None and not inside:
            remedy = (
                f"lies outside of migration:sides.{c.from_}.cidr {', '.join(ranges)}, all that is routed to the other "
                f"side; correct it, or name its range in migration:sides.{c.from_}.secondaryCidrs"
            )
            yield Problem(f"migration:members[{member.name}].address", member.address, remedy)
