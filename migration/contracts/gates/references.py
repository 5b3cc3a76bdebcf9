"""Questions about rules elsewhere that name the old side."""

from __future__ import annotations

from typing import Any, Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef, both_sides, named_groups
from migration.settings import Settings
from migration.settings.model import Configuration, ReferencedSide
from migration.stages.table import Stage


def peered_vpcs(c: Configuration) -> tuple[str, ...]:
    """Connected VPCs that this program peers."""
    return tuple(network.vpc_id for network in c.connected_networks if network.vpc_id)


class _References(Contract):
    """What rules elsewhere may name. `groups` are ids by role, none where this program made the side.

    `peered_vpcs`: connected VPCs.
    """

    old: SideRef
    new: SideRef
    groups: dict[str, str]
    peered_vpcs: tuple[str, ...]

    @classmethod
    def _of(cls, s: Settings) -> dict[str, Any]:
        c, (old, new) = s.configuration, both_sides(s)
        groups = named_groups(s.old.security_groups) if isinstance(s.old, ReferencedSide) else {}
        return {"old": old, "new": new, "groups": groups, "peered_vpcs": peered_vpcs(c)}


class ReferencesAccepted(_References):
    """Is it decided what becomes of the rules elsewhere that name the old side?"""

    check: Literal["references-accepted"] = "references-accepted"
    mode: Literal["apply", "list"] | None = None

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(mode=s.configuration.references, **cls._of(s))


class ReferencesAnswered(_References):
    """Does whatever names the old side elsewhere name the new one, too?"""

    check: Literal["references-answered"] = "references-answered"
    mode: Literal["apply", "list"] | None = None

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(mode=s.configuration.references, **cls._of(s))
