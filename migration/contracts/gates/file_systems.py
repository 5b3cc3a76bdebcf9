"""The question about EFS file systems that pods use."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef
from migration.settings import Settings
from migration.stages.table import Stage


class FileSystemsReached(Contract):
    """Are EFS file systems that pods use reached from the new VPC, too?"""

    check: Literal["file-systems-reached"] = "file-systems-reached"
    old: SideRef
    efs: Literal["refuse", "reachable"]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(old=SideRef.of(s, s.configuration.from_), efs=s.configuration.efs)
