"""The question about what earlier stages added to the old side."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef, both_sides, named_groups
from migration.settings import Settings
from migration.settings.model import ReferencedSide
from migration.stages.table import Stage, before


class OldSideStands(Contract):
    """Is what earlier stages added to the old side still there: routes, and rules of its groups for the new side?

    `groups` are ids by role, none where this program made the side. `reached` is the stage that made it.
    """

    check: Literal["old-side-stands"] = "old-side-stands"
    old: SideRef
    new: SideRef
    groups: dict[str, str]
    client_port: int
    peer_port: int
    api_port: int
    reached: int

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, (old, new) = s.configuration, both_sides(s)
        return cls(
            old=old,
            new=new,
            reached=before(row).number,
            groups=named_groups(s.old.security_groups) if isinstance(s.old, ReferencedSide) else {},
            client_port=c.etcd.client_port,
            peer_port=c.etcd.peer_port,
            api_port=c.api.on_members,
        )
