"""What several rules need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from migration.settings.groups import member_group, pool_group
from migration.settings.model import ApiServer, Configuration, ManagedSide, Member, Pool


def twice(values: Iterable[str]) -> list[str]:
    """Those that occur more than once, sorted."""
    seen = list(values)
    return sorted({value for value in seen if seen.count(value) > 1})


def machines(c: Configuration) -> Iterator[tuple[str, Pool | Member | ApiServer]]:
    """Every pool, member and API machine, with its key."""
    yield from ((f"migration:pools[{pool.name}]", pool) for pool in c.pools)
    yield from ((f"migration:members[{member.name}]", member) for member in c.members)
    yield from api_servers(c)


def api_servers(c: Configuration) -> Iterator[tuple[str, ApiServer]]:
    """Every API machine that is apart from etcd's, with its key."""
    for member in c.members:
        key = f"migration:members[{member.name}].apiServers"
        yield from ((f"{key}[{one.name}]", one) for one in member.api_servers)


def made_sides(c: Configuration) -> Iterator[tuple[str, ManagedSide]]:
    """The sides this program makes, by name."""
    yield from ((name, side) for name, side in sorted(c.sides.items()) if isinstance(side, ManagedSide))


def side_made_next(c: Configuration) -> ManagedSide | None:
    """The side to move to, where this program makes it."""
    side = c.sides.get(c.to)
    return side if isinstance(side, ManagedSide) else None


def new_groups(c: Configuration, side: ManagedSide) -> dict[str, str]:
    """What the groups of a side are called, with the key that each name comes from."""
    return {
        pool_group(side, one) if isinstance(one, Pool) else member_group(side, one): f"{key}.group"
        for key, one in machines(c)
    }
