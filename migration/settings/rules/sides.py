"""The two sides: that they are there, whole, and told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migration.settings.errors import Problem
from migration.settings.model import Configuration, ManagedSide, ReferencedSide
from migration.settings.rules.common import twice

# Load balancers have the strictest names of all that a suffix ends; etcd's members take it, too.
_SUFFIX = re.compile(r"([-a-z0-9]*[a-z0-9])?")


def exist(c: Configuration) -> Iterator[Problem]:
    """`from` and `to` name two different sides that are described under `sides`."""
    described = ", ".join(sorted(c.sides)) or "none"
    for key, name in (("from", c.from_), ("to", c.to)):
        if name not in c.sides:
            yield Problem(f"migration:{key}", name, f"no such side; described under migration:sides are {described}")
    if c.from_ == c.to:
        yield Problem("migration:to", c.to, "is the same side as migration:from; name the side to move to")


def peering_can_stay(c: Configuration) -> Iterator[Problem]:
    """A peering outlives only a VPC that isn't this program's: its own old side is deleted whole."""
    if c.retain_peering and isinstance(c.sides.get(c.from_), ManagedSide):
        remedy = f"but {c.from_} was made by this program and is deleted whole at the end; take it out"
        yield Problem("migration:retainPeering", True, remedy)


def have_suffixes(c: Configuration) -> Iterator[Problem]:
    """Each side's names end in a way of their own, which AWS takes; only what was there first has no suffix."""
    owners: dict[str, str] = {}
    for name, side in sorted(c.sides.items()):
        key = f"migration:sides.{name}.suffix"
        if not _SUFFIX.fullmatch(side.suffix):
            remedy = "ends load balancers' names: only a-z, 0-9 and hyphens, no hyphen at its end; -main would do"
            yield Problem(key, side.suffix, remedy)
        if isinstance(side, ManagedSide) and not side.suffix:
            remedy = f"would give this side the names of what is there already; give it one, for instance -{name}"
            yield Problem(key, side.suffix, remedy)
        if side.suffix in owners:
            remedy = f"is also the suffix of {owners[side.suffix]}; names would collide, give each side its own"
            yield Problem(key, side.suffix, remedy)
        owners[side.suffix] = name


def are_complete(c: Configuration) -> Iterator[Problem]:
    """A referenced side has what the other one is connected to: route tables, and target groups to take members out of.

    Without them a stage would find nothing to do, and end well.
    """
    for name, side in sorted(c.sides.items()):
        if not isinstance(side, ReferencedSide):
            continue
        key = f"migration:sides.{name}"
        if not side.route_tables:
            remedy = f"nothing of {side.vpc_id} would lead to the other side; list all of its route tables"
            yield Problem(f"{key}.routeTables", [], remedy)
        for table in twice(side.route_tables):
            yield Problem(f"{key}.routeTables", table, "is listed twice; list it once")
        balancers = side.load_balancers
        roles = [(f"more.{role}", one) for role, one in balancers.more.items()]
        for place, balancer in (("ingress", balancers.ingress), ("api", balancers.api), *roles):
            if not balancer.target_groups:
                remedy = "names no target group behind it; list the ARNs of those that its listener leads to"
                yield Problem(f"{key}.loadBalancers.{place}.targetGroups", [], remedy)
