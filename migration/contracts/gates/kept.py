"""The question of the end about what is kept in the old VPC."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef, both_sides
from migration.settings import Settings
from migration.settings.model import ManagedSide
from migration.stages.table import Stage


class KeptUnused(Contract):
    """Does the new side talk to nothing that is kept in the old VPC, or does the peering stay?

    `made`: the old side is this program's own. `retired_balancers`: ARNs of those that go.
    """

    check: Literal["kept-unused"] = "kept-unused"
    old: SideRef
    new: SideRef
    made: bool
    retain_peering: bool
    flows: Literal["refuse", "accept"]
    retired_balancers: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, (old, new) = s.configuration, both_sides(s)
        return cls(
            old=old,
            new=new,
            made=isinstance(s.old, ManagedSide),
            retain_peering=c.retain_peering,
            flows=c.kept_flows,
            retired_balancers=tuple(item.id for item in c.retire if item.type == "load-balancer"),
        )
