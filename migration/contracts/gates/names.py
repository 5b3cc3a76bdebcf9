"""Questions about the names: what the zone holds, and for how long answers are kept."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from migration.contracts.base import Contract, Manner
from migration.contracts.gates.base import SideRef, both_sides
from migration.dns.wanted import weights_at
from migration.settings import Settings
from migration.settings.model import Name
from migration.stages.table import Stage


class TtlsLowered(Contract):
    """Has no record of the names a longer TTL (seconds) than asked for? `more`: names of further zones.

    `aliases`: names by zone that have no TTL of their own; their answers are kept for `alias_ttl` seconds.
    """

    check: Literal["ttls-lowered"] = "ttls-lowered"
    zone_id: str
    names: tuple[str, ...]
    ttl: int
    more: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    aliases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    alias_ttl: Manner[int] = 60

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        traffic = s.configuration.traffic
        names = {
            alias: {
                zone: tuple(one.name for one in records if one.is_alias is alias)
                for zone, records in traffic.zones().items()
            }
            for alias in (False, True)
        }
        first, *more = names[False].items()
        return cls(
            zone_id=first[0],
            names=first[1],
            ttl=traffic.ttl,
            more=dict(more),
            aliases={zone: some for zone, some in names[True].items() if some},
            alias_ttl=s.configuration.limits.alias_ttl_seconds,
        )


class RecordsInSync(Contract):
    """Are the records exactly what the stage wants? Weights are the two sides' shares of 100."""

    check: Literal["records-in-sync"] = "records-in-sync"
    old: SideRef
    new: SideRef
    zone_id: str
    records: tuple[Name, ...]
    ttl: int
    old_weight: int
    new_weight: int

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        traffic, (old, new) = s.configuration.traffic, both_sides(s)
        weights = weights_at(row, traffic.new_traffic_percent)
        return cls(
            old=old,
            new=new,
            zone_id=traffic.zone_id,
            records=tuple(Name.model_validate(one.model_dump(exclude={"ttl"})) for one in s.records),
            ttl=traffic.ttl,
            old_weight=weights.old,
            new_weight=weights.new,
        )
