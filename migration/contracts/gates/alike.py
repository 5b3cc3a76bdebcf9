"""The question before machines come to the new VPC: does it offer them what the old one does?"""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef, both_sides, machine_subnets
from migration.contracts.parity import VpcPlanned
from migration.settings import Settings
from migration.settings.model import ManagedSide
from migration.stages.table import Stage


class NetworksAlike(Contract):
    """Does the new VPC offer machines what the old one does: a way out, names, endpoints?

    `subnets` are those that the old side's machines are in; `without` is what the new VPC needn't have, `planned` what
    it will have, for as long as it isn't made.
    """

    check: Literal["networks-alike"] = "networks-alike"
    old: SideRef
    new: SideRef
    subnets: tuple[str, ...]
    without: tuple[str, ...]
    planned: VpcPlanned

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        (old, new), made = both_sides(s), s.new
        assert isinstance(made, ManagedSide), "the new side is this program's"
        planned = VpcPlanned.of(s.configuration, made, s.region)
        return cls(old=old, new=new, subnets=machine_subnets(s), without=made.without, planned=planned)
