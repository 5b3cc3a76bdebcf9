"""The end of what is left behind."""

from __future__ import annotations

from typing import ClassVar

from migration.contracts.base import Inputs, Manner, Result, Wanted
from migration.settings.model import Retired


class RetirementInputs(Inputs):
    """What is deleted, and the ids of what must not be."""

    shown: ClassVar[str] = "objects"

    items: Wanted[tuple[Retired, ...]]
    keep: Manner[tuple[str, ...]]

    def say(self) -> str:
        """How many objects, by type."""
        types = dict.fromkeys(item.type for item in self.items)
        counts = [f"{sum(item.type == one for item in self.items)} {one}" for one in types]
        return f"deleted for good: {', '.join(counts) or 'nothing'}"


class RetirementResult(Result):
    """All ids deleted so far."""

    deleted: tuple[str, ...]
