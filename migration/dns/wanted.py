"""What a stage wants of the cluster's names: the one place that component and gate ask."""

from __future__ import annotations

from dataclasses import dataclass

from migration.stages.table import Placement, Stage

FULL = 100


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The two sides' shares of 100."""

    old: int
    new: int


def weights_at(row: Stage, new_percent: int) -> Weights:
    """Where names lead at a stage; `new_percent` is the new side's share while they lead to both."""
    new = {Placement.OLD: 0, Placement.BOTH: new_percent, Placement.NEW: FULL}[row.traffic]
    return Weights(old=FULL - new, new=new)
