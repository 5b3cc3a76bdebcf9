"""The first and the last operation of an `up`: what is tried, and what was reached."""

from __future__ import annotations

import uuid

from migration.contracts.record import StageRecordInputs, StageRecordResult
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent
from migration.runtime.identity import cluster_uid
from migration.stages.destruction import refuse_destruction
from migration.stages.record import Who, begin, finish, read_record, write_fixed

AFTER_THE_GUARD = 5.0
"""Seconds that the last word's refusal waits for the guard's."""


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


def release(inputs: StageRecordInputs, context: Context) -> None:
    """Raises `Permanent` where the stack can't be destroyed: all of it stands behind the last word.

    It says so a little later than the stack's guard, with which it is deleted at the same time: by then the engine has
    given up. It would look for all that stands behind this, on every path there is, which are billions.
    """
    if inputs.phase == "begin":
        return
    try:
        refuse_destruction(
            context.clients.aws,
            inputs.cluster,
            inputs.to_side,
            inputs.command,
            known=inputs.stage,
            settled=inputs.settled,
        )
    except Permanent:
        context.deadline.sleep(AFTER_THE_GUARD)
        raise
