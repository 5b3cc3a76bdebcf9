"""Rules elsewhere that name the old side: what their twins are made from."""

from __future__ import annotations

from typing import ClassVar, Literal

from migration.contracts.base import Contract, Manner, Result, Undoing, Wanted


class Naming(Contract):
    """By what rules name a side: its VPC and ranges, and the ids of its security groups by role."""

    vpc_id: str
    ranges: tuple[str, ...]
    groups: dict[str, str]


class ReferencesInputs(Undoing):
    """Each rule and prefix list that names the old side gets a twin for the new one, or loses it again.

    `peered_vpcs`: connected VPCs, whose groups may name the new side's. `new` is None where it has no groups.
    """

    shown: ClassVar[str] = "references"

    wanted: Wanted[Literal["answered", "absent"]]
    old: Wanted[Naming]
    new: Wanted[Naming | None] = None
    peered_vpcs: Wanted[tuple[str, ...]] = ()
    sides: Manner[tuple[str, str]]

    @property
    def takes_back(self) -> bool:
        """No rule of others names the new side because of this program."""
        return self.wanted == "absent"

    def say(self) -> str:
        """What becomes of them."""
        old, new = self.sides
        if self.wanted == "absent":
            return f"rules elsewhere name {old} only"
        return f"rules elsewhere that name {old} have their twins for {new}"


class ReferencesResult(Result):
    """What was added for rules elsewhere, as sentences, and how much was there already."""

    wanted: Literal["answered", "absent"]
    changed: tuple[str, ...] = ()
    there: int = 0
