"""Questions about the network between the sides, and with whoever is connected to them."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef, both_sides
from migration.settings import Settings
from migration.stages.table import Stage


class ConnectedRange(Contract):
    """Somebody else's network: its name and range; its VPC and route tables where this program peers it."""

    name: str
    cidr: str
    vpc_id: str | None = None
    route_tables: tuple[str, ...]


def _connected(s: Settings) -> tuple[ConnectedRange, ...]:
    return tuple(
        ConnectedRange(name=name, cidr=cidr, vpc_id=one.vpc_id, route_tables=one.route_tables)
        for one in s.configuration.connected_networks
        for name, cidr in one.ranges.items()
    )


class NetworksDisjoint(Contract):
    """Does the new VPC overlap anything, and is the pod network an overlay?"""

    check: Literal["networks-disjoint"] = "networks-disjoint"
    old: SideRef
    new: SideRef
    pod_cidr: str
    service_cidr: str
    connected: tuple[ConnectedRange, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, (old, new) = s.configuration, both_sides(s)
        return cls(old=old, new=new, pod_cidr=c.pod_cidr, service_cidr=c.service_cidr, connected=_connected(s))


class ReachableBothWays(Contract):
    """Is the peering active, with routes and names both ways?"""

    check: Literal["reachable-both-ways"] = "reachable-both-ways"
    old: SideRef
    new: SideRef
    zone_id: str
    more_zones: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        old, new = both_sides(s)
        first, *more = s.configuration.traffic.zones()
        return cls(old=old, new=new, zone_id=first, more_zones=tuple(more))


class ClientsReachNewSide(Contract):
    """Does whoever reaches the old VPC reach the new one?"""

    check: Literal["clients-reach-new-side"] = "clients-reach-new-side"
    old: SideRef
    new: SideRef
    connected: tuple[ConnectedRange, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        old, new = both_sides(s)
        return cls(old=old, new=new, connected=_connected(s))
