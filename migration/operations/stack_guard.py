"""`pulumi destroy` is refused while the new side carries something."""

from __future__ import annotations

from migration.contracts.record import StackGuardInputs, StackGuardResult
from migration.runtime.context import Context
from migration.stages.destruction import refuse_destruction


def run(inputs: StackGuardInputs, previous: StackGuardResult | None, context: Context) -> StackGuardResult:
    """Guard the side; there is nothing to do for it."""
    return StackGuardResult(side=inputs.to_side, settled=inputs.settled)


def release(inputs: StackGuardInputs, context: Context) -> None:
    """All of the stack is about to be deleted: raises `Permanent` where its new side carries something."""
    refuse_destruction(context.clients.aws, inputs.cluster, inputs.to_side, inputs.command, settled=inputs.settled)
