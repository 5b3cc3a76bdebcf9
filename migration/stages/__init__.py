"""Stages: the table, legal moves, the record of what was reached, and who may go on (`admission`)."""

from migration.stages.table import LAST, STAGES, Placement, Stage, stage

__all__ = ["LAST", "STAGES", "Placement", "Stage", "stage"]
