"""Questions about the control plane's members, before a swap and after all of them."""

from __future__ import annotations

from typing import Any, Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef
from migration.contracts.groups import member_groups
from migration.contracts.members import EtcdAccess, MemberPair, member_pairs
from migration.settings import Settings
from migration.stages.table import Stage


class OfMembers(Contract):
    """A question that members of either side are asked, by the machines of their groups."""

    etcd: EtcdAccess
    old_groups: tuple[str, ...]
    new_groups: tuple[str, ...]

    @classmethod
    def about(cls, s: Settings, **more: Any) -> Self:
        """From the settings, with what this question has besides."""
        c = s.configuration
        return cls(
            etcd=EtcdAccess.of(c),
            old_groups=member_groups(s, c.from_),
            new_groups=member_groups(s, c.to),
            **more,
        )


class EtcdPreflight(OfMembers):
    """Is every member one entry of etcd's list, and are all voters healthy, of a safe version and near each other?"""

    check: Literal["etcd-preflight"] = "etcd-preflight"
    members: tuple[MemberPair, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls.about(
            s,
            members=member_pairs(s),
        )


class MembersAllNew(OfMembers):
    """Are there as many voters as ever, all healthy, `moved` of them on the new side, and no learner?"""

    check: Literal["members-all-new"] = "members-all-new"
    new: SideRef
    moved: int

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls.about(
            s,
            new=SideRef.of(s, c.to),
            moved=s.moved_members,
        )


class MembersAllOld(OfMembers):
    """Are there as many voters as ever, all healthy and none on the new side, and no learner?"""

    check: Literal["members-all-old"] = "members-all-old"
    new: SideRef

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls.about(
            s,
            new=SideRef.of(s, c.to),
        )
