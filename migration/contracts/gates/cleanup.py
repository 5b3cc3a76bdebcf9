"""Questions of the end: what still names the old VPC, and what was to be retired."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef, carried_names
from migration.settings import Settings
from migration.settings.model import ReferencedSide, Retired
from migration.stages.table import Stage


class NothingNamesTheOldVpc(Contract):
    """Does nothing in use in the cluster name ids or addresses of the old VPC?

    `carried`: Services of type LoadBalancer whose balancers go with the old side, in this very stage.
    """

    check: Literal["nothing-names-the-old-vpc"] = "nothing-names-the-old-vpc"
    old: SideRef
    carried: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(old=SideRef.of(s, s.configuration.from_), carried=carried_names(s))


class Item(Contract):
    """An object that is left alone: its type, as the configuration calls it, and its id."""

    type: str
    id: str


class RetiredAndKept(Contract):
    """Is everything on the retire list gone, and everything to keep still there?

    `left`: an old side that this program made. The stack deletes it when this was answered, so nothing may run there.
    """

    check: Literal["retired"] = "retired"
    retire: tuple[Retired, ...]
    keep: tuple[Item, ...]
    left: str | None = None

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        if not isinstance(s.old, ReferencedSide):
            return cls(retire=(), keep=(), left=c.from_)
        return cls(retire=c.retire, keep=tuple(Item(type=one.type, id=one.id) for one in c.keep))
