"""The question before anything else: may this operator do what a migration does?"""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef
from migration.contracts.groups import control_plane_groups, worker_groups
from migration.settings import Settings
from migration.stages.table import Stage


class Permissions(Contract):
    """May the operator do what a migration does, and is there room for the new groups?"""

    check: Literal["permissions"] = "permissions"
    old: SideRef
    worker_groups: tuple[str, ...]
    new_groups: tuple[str, ...]
    zone_id: str
    control_plane_role: str

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(
            old=SideRef.of(s, c.from_),
            worker_groups=worker_groups(s, c.from_)[:1],
            new_groups=(*worker_groups(s, c.to), *control_plane_groups(s, c.to)),
            zone_id=c.traffic.zone_id,
            control_plane_role=c.control_plane_role,
        )
