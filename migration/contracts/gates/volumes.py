"""The question about members' volumes."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.members import MemberPair, member_pairs
from migration.settings import Settings
from migration.settings.model import ManagedSide, MemberKeys, Strategy
from migration.stages.table import Stage


class MemberPlace(Contract):
    """One member and where it shall be: the zone, and what its new machine is made of (None: as its old one).

    `more_disks`: how many disks the configuration adds to the copied ones.
    """

    pair: MemberPair
    zone: str
    instance_type: str | None = None
    more_disks: int = 0


class MemberVolumes(Contract):
    """Can every member's volume come along, into its zone and onto a machine with room for it?

    `retire`: the ids of volumes that the last stage is to delete. `made`: the old side is this program's own.
    """

    check: Literal["member-volumes"] = "member-volumes"
    strategy: Strategy
    made: bool
    members: tuple[MemberPlace, ...]
    retire: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, side = s.configuration, s.new
        places: list[MemberPlace] = []
        for pair, member in zip(member_pairs(s), c.members, strict=True):
            keys = side.member(member.name) if isinstance(side, ManagedSide) else MemberKeys()
            kind = keys.type_wanted
            places.append(MemberPlace(pair=pair, zone=member.zone, instance_type=kind, more_disks=len(keys.disks)))
        return cls(
            strategy=c.etcd.strategy,
            made=isinstance(s.old, ManagedSide),
            members=tuple(places),
            retire=tuple(item.id for item in c.retire if item.type == "volume"),
        )

    @classmethod
    def asked(cls, s: Settings) -> bool:
        """Whether there is anything to ask: where volumes move, or may have moved before."""
        return s.configuration.etcd.strategy == "volume" or isinstance(s.old, ManagedSide)
