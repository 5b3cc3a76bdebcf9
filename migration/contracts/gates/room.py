"""The question of room: may a second set of machines run beside the first?"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from migration.contracts.base import Contract
from migration.settings import Settings
from migration.settings.groups import member_group, pool_group
from migration.settings.model import ManagedSide, ReferencedSide
from migration.stages.table import Stage


class PoolPlaced(Contract):
    """A pool's old group and its copy, the zones, and the types that are said for the copy (none: as the old one's)."""

    old: str
    new: str
    zones: tuple[str, ...]
    types: tuple[str, ...] = ()
    market: Literal["on-demand", "spot"] | None = None


class MachinePlaced(Contract):
    """A member's or an API machine's old group and its copy, with the zone and the type that is said for the copy."""

    old: str
    new: str
    zone: str
    types: tuple[str, ...] = ()


class RoomForBoth(Contract):
    """Is there room for the new machines beside the old ones: quotas, types in their zones, addresses, keys?

    `subnet_prefix`: of each zone's subnet of machines on the new side. `rules_added`: how many rules into each of the
    old side's security groups are to come, at least. `groups_each`: in how many groups a new machine is at most.
    """

    check: Literal["room-for-both"] = "room-for-both"
    pools: tuple[PoolPlaced, ...]
    control_plane: tuple[MachinePlaced, ...]
    subnet_prefix: int
    rules_added: dict[str, int] = Field(default_factory=dict)
    groups_each: int = 1

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, old, new = s.configuration, s.old, s.new
        # Configurations whose new side is somebody else's are refused before.
        assert isinstance(new, ManagedSide)
        machines: list[MachinePlaced] = []
        for member in c.members:
            keys = [(member, new.member(member.name))]
            keys += [(one, new.api_server(one.name)) for one in member.api_servers]
            machines += [
                MachinePlaced(
                    old=member_group(old, one), new=member_group(new, one), zone=one.zone, types=said.types_wanted
                )
                for one, said in keys
            ]
        return cls(
            pools=tuple(
                PoolPlaced(
                    old=pool_group(old, pool),
                    new=pool_group(new, pool),
                    zones=pool.zones,
                    types=new.pool(pool.name).types_wanted,
                    market=new.pool(pool.name).market,
                )
                for pool in c.pools
            ),
            control_plane=tuple(machines),
            subnet_prefix=new.subnet_prefix,
            rules_added=_rules_added(s),
            groups_each=1
            + max(
                sum(one.control_plane for one in c.security_groups),
                *(sum(pool.name in one.pools for one in c.security_groups) for pool in c.pools),
            ),
        )


def _rules_added(s: Settings) -> dict[str, int]:
    """As `components.security_groups` makes them: the other side's machines, balancers and clients, and operators."""
    if not isinstance(s.old, ReferencedSide):
        return {}
    own, operators = s.old.security_groups, len(s.configuration.operator_networks)
    # Nodes and control plane of the other side, and its clients of the ingress.
    found = {own.nodes: 3}
    if own.etcd is None:
        # etcd's two ports, the API for nodes and for balancers.
        return {**found, own.control_plane: 4 + operators}
    return {**found, own.control_plane: 2, own.etcd: 2 + operators}
