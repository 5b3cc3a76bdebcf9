"""Questions about the workers: what runs on the old nodes, and whether the new ones can take it."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef
from migration.contracts.groups import control_plane_groups, worker_groups
from migration.settings import Settings
from migration.stages.table import Stage


class EveryOldNodeInAPool(Contract):
    """Does each Node of the old VPC run on an instance of the groups that this program knows?"""

    check: Literal["every-old-node-in-a-pool"] = "every-old-node-in-a-pool"
    old: SideRef
    worker_groups: tuple[str, ...]
    member_groups: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        name = s.configuration.from_
        members = control_plane_groups(s, name)
        return cls(old=SideRef.of(s, name), worker_groups=worker_groups(s, name), member_groups=members)


class GroupPair(Contract):
    """A worker group and its copy on the new side, by name."""

    old: str
    new: str


class NewNodesReady(Contract):
    """Is each new group as large as its old one, with all nodes ready, in every zone that has a volume?"""

    check: Literal["new-nodes-ready"] = "new-nodes-ready"
    groups: tuple[GroupPair, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        pairs = zip(worker_groups(s, c.from_), worker_groups(s, c.to), strict=True)
        return cls(groups=tuple(GroupPair(old=old, new=new) for old, new in pairs))


class NothingMovableOnOldNodes(Contract):
    """Do only DaemonSet, mirror and ended pods run on what is left of the old nodes?"""

    check: Literal["nothing-movable-on-old-nodes"] = "nothing-movable-on-old-nodes"
    worker_groups: tuple[str, ...]
    new_groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(worker_groups=worker_groups(s, c.from_), new_groups=worker_groups(s, c.to))


class NothingMovableOnNewNodes(Contract):
    """Do only DaemonSet, mirror and ended pods run on the new side's nodes, where there are any?"""

    check: Literal["nothing-movable-on-new-nodes"] = "nothing-movable-on-new-nodes"
    worker_groups: tuple[str, ...]
    old_groups: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(worker_groups=worker_groups(s, c.to), old_groups=worker_groups(s, c.from_))
