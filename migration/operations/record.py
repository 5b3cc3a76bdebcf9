"""The first and the last operation of an `up`: what is tried, and what was reached."""

from __future__ import annotations

from migration.contracts.record import StageRecordInputs, StageRecordResult
from migration.runtime.context import Context
from migration.stages.record import begin, finish


def run(inputs: StageRecordInputs, previous: StageRecordResult | None, context: Context) -> StageRecordResult:
    """`begin` writes what is tried after checking the move again; `finish` writes what was reached."""
    aws = context.clients.aws

    def attempt() -> StageRecordResult:
        context.alive()
        if inputs.phase == "begin":
            record = begin(
                aws,
                inputs.cluster,
                inputs.stage,
                owner=inputs.owner,
                from_side=inputs.from_side,
                to_side=inputs.to_side,
                command=inputs.command,
            )
        else:
            record = finish(aws, inputs.cluster, inputs.stage, owner=inputs.owner)
        return StageRecordResult(record=record)

    return context.deadline.until(attempt, "the record of the migration")
