"""The question before the first client is sent over: do the new balancers answer?"""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef
from migration.contracts.groups import member_groups
from migration.settings import Settings
from migration.stages.table import Stage


class NewBalancersAnswer(Contract):
    """Does every listener of the new side's balancers answer a connection?

    `from_here`: this machine reaches the sides; otherwise machines of `member_groups` are asked by Systems Manager.
    """

    check: Literal["new-balancers-answer"] = "new-balancers-answer"
    new: SideRef
    from_here: bool
    member_groups: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(new=SideRef.of(s, c.to), from_here=c.etcd.access.by_port, member_groups=member_groups(s, c.from_))
