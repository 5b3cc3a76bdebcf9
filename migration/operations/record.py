"""The first and the last operation of an `up`: what is tried, and what was reached."""

from __future__ import annotations

import uuid

from migration.contracts.record import StageRecordInputs, StageRecordResult
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent
from migration.runtime.identity import cluster_uid
from migration.stages.record import Who, begin, finish, read_record, write_fixed


def run(inputs: StageRecordInputs, previous: StageRecordResult | None, context: Context) -> StageRecordResult:
    """`begin` writes what is tried after checking the move again; `finish` writes what was reached."""
    aws = context.clients.aws
    uid = cluster_uid(context.clients.kubernetes)
    known = previous.stack if previous else None

    def attempt() -> StageRecordResult:
        context.alive()
        if inputs.phase == "begin":
            who = Who(
                owner=inputs.owner,
                stack=known or uuid.uuid4().hex[:12],
                cluster_uid=uid,
                fresh=previous is None,
                alive=context.alive,
            )
            record = begin(
                aws,
                inputs.cluster,
                inputs.stage,
                who=who,
                from_side=inputs.from_side,
                to_side=inputs.to_side,
                command=inputs.command,
            )
        else:
            # The first word of this `up` was this stack's: its identity stands in the record.
            begun = read_record(aws, inputs.cluster)
            if begun is None or begun.stack is None:
                raise Permanent("the record that this up began is gone; look before running anything again")
            who = Who(owner=inputs.owner, stack=begun.stack, cluster_uid=uid, fresh=False, alive=context.alive)
            record = finish(aws, inputs.cluster, inputs.stage, who=who)
        # Going back, what the higher stage fixed stays fixed until the lower one is reached.
        if inputs.phase == "finish" or record.tried >= record.reached:
            write_fixed(aws, inputs.cluster, inputs.fixed, context.alive)
        return StageRecordResult(record=record, stack=record.stack)

    return context.deadline.until(attempt, "the record of the migration")
