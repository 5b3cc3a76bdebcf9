"""Stages: the table, legal moves, the record of what was reached, and who may go on (`admission`)."""

from migration.stages.table import (
    LAST,
    STAGES,
    Back,
    Names,
    Placement,
    Stage,
    emptied,
    last_before_traffic,
    stage,
    swapped,
)

__all__ = [
    "LAST",
    "STAGES",
    "Back",
    "Names",
    "Placement",
    "Stage",
    "emptied",
    "last_before_traffic",
    "stage",
    "swapped",
]
