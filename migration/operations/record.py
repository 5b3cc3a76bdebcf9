"""The first and the last operation of an `up`: what is tried, and what was reached.

The last one depends on everything, so it is what `pulumi destroy` deletes first, and where that is refused.
"""

from __future__ import annotations

import uuid

from migration.contracts.record import StageRecordInputs, StageRecordResult
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent
from migration.runtime.identity import cluster_uid
from migration.sides import running_on
from migration.stages.record import Who, begin, finish, read_record, write_fixed
from migration.stages.table import LAST, harmless, stage


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
    """All of the stack is about to be deleted: raises `Permanent` where the new side carries something.

    What the record says counts as well as the state: a stage that was only tried has made its machines.
    """
    if inputs.phase == "begin":
        return
    aws, to = context.clients.aws, inputs.to_side
    record = read_record(aws, inputs.cluster)
    at = inputs.stage if record is None else max(inputs.stage, record.reached, record.tried)
    if stage(at).new_side_carries and at < LAST:
        back = inputs.command.format(stage=at - 1)
        raise Permanent(
            f"nothing was deleted: at stage {at} ({stage(at).name}) side {to} may carry pods, traffic and votes of "
            f"cluster {inputs.cluster}. Go back one stage at a time, next: {back}. At stage {harmless().number} and "
            f"before it the stack can be destroyed without harm"
        )
    # Without a record the state's stage is only one word: machines are the other.
    running = running_on(aws, inputs.cluster, to) if at == LAST or record is None else []
    if running:
        raise Permanent(
            f"nothing was deleted: cluster {inputs.cluster} has {len(running)} instances on side {to}, the first of "
            f"them {running[0]}. To give all that runs there up, set its Auto Scaling groups to size 0 first"
        )
