"""The end of what is left behind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

from migration.contracts.base import Inputs, Manner, Result, Wanted
from migration.settings.model import Retired


def counted(items: Iterable[Retired]) -> str:
    """How many objects, by type."""
    types = [item.type for item in items]
    return ", ".join(f"{types.count(one)} {one}" for one in dict.fromkeys(types)) or "nothing"


class RetirementInputs(Inputs):
    """What is deleted, and the ids of what must not be.

    `references`: whether rules elsewhere that name what goes are taken out with it (``apply``), as it was told for
    their twins.
    """

    shown: ClassVar[str] = "objects"

    items: Wanted[tuple[Retired, ...]]
    keep: Manner[tuple[str, ...]]
    references: Manner[Literal["apply", "list"] | None] = None

    def say(self) -> str:
        """How many objects, by type."""
        return f"deleted for good: {counted(self.items)}"


class RetirementResult(Result):
    """All ids deleted so far."""

    deleted: tuple[str, ...]
