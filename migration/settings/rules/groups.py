"""Security groups that are copied besides the cluster's own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migration.settings.errors import Problem
from migration.settings.model import Configuration
from migration.settings.rules.common import twice

# Names of this program's own groups, which rules name.
OWN = ("nodes", "controlPlane")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ID = re.compile(r"sg-[0-9a-zA-Z-]+")


def are_told_apart(c: Configuration) -> Iterator[Problem]:
    """Names and ids are unique, and none is one of this program's own groups'."""
    for name in twice(one.name for one in c.security_groups):
        yield Problem("migration:securityGroups", name, "is named twice; names are unique")
    for group in twice(one.id for one in c.security_groups):
        yield Problem("migration:securityGroups", group, "is the id of two groups; list a group once")
    for one in c.security_groups:
        if one.name in (*OWN, "control-plane") or not _NAME.fullmatch(one.name) or _ID.fullmatch(one.name):
            remedy = (
                "is no name for it: letters, digits, dots, hyphens and underscores, and not one of the cluster's own"
            )
            yield Problem("migration:securityGroups", one.name, remedy)


def say_whose_and_from_where(c: Configuration) -> Iterator[Problem]:
    """Each is somebody's, and each rule has one source that is there; no rule stands twice."""
    pools = {pool.name for pool in c.pools}
    names = {*OWN, *(one.name for one in c.security_groups)}
    for one in c.security_groups:
        key = f"migration:securityGroups[{one.name}]"
        for pool in one.pools:
            if pool not in pools:
                remedy = f"is no pool of migration:pools ({', '.join(sorted(pools))}); correct the name"
                yield Problem(f"{key}.pools", pool, remedy)
        if not one.pools and not one.control_plane:
            yield Problem(f"{key}.pools", [], "no machine is in it; name its pools, or set controlPlane")
        for rule in one.rules:
            told = rule.model_dump(by_alias=True, exclude_defaults=True)
            if sum(source is not None for source in (rule.cidr, rule.prefix_list, rule.group)) != 1:
                yield Problem(f"{key}.rules", told, "has one source: give one of cidr, prefixList and group")
            if rule.group is not None and rule.group not in names and not _ID.fullmatch(rule.group):
                remedy = f"is no group of the cluster's ({', '.join(sorted(names))}) and no group's id; correct it"
                yield Problem(f"{key}.rules", rule.group, remedy)
            if (rule.from_port is None) is not (rule.to_port is None):
                yield Problem(f"{key}.rules", told, "has one end of its ports; give both, or neither")
        keys = [str(rule.model_dump(exclude={"description"})) for rule in one.rules]
        if len(set(keys)) != len(keys):
            yield Problem(f"{key}.rules", len(keys), "one of them stands twice; AWS takes a rule once")
