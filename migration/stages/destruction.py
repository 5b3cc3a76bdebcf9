"""Whether all that a stack made may be deleted at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migration.runtime.deadline import Permanent
from migration.sides import running_on
from migration.stages.record import read_record
from migration.stages.table import LAST, harmless, stage

if TYPE_CHECKING:
    from migration.clients.aws import Aws


def refuse_destruction(
    aws: Aws, cluster: str, side: str, command: str, *, known: int = 0, settled: str | None = None
) -> None:
    """Raise `Permanent`, naming the way back, where the new side carries something, or may.

    What the record says counts as well as the stage that a state knows: one that was only tried has made its machines.
    `command` is how the stack is driven, with ``{stage}`` where the number goes. `settled` is a side that an earlier
    migration made: the stack has it, too, and the cluster lives on it until it is empty.
    """
    if settled is not None:
        _refuse_running(aws, cluster, settled)
    record = read_record(aws, cluster)
    at = known if record is None else max(known, record.reached, record.tried)
    if stage(at).new_side_carries and at < LAST:
        raise Permanent(
            f"nothing was deleted: at stage {at} ({stage(at).name}) side {side} may carry pods, traffic and votes of "
            f"cluster {cluster}. Go back one stage at a time, next: {command.format(stage=at - 1)}. At stage "
            f"{harmless().number} and before it the stack can be destroyed without harm"
        )
    # Without a record a state's stage is only one word: machines are the other.
    if at == LAST or record is None:
        _refuse_running(aws, cluster, side)


def _refuse_running(aws: Aws, cluster: str, side: str) -> None:
    running = running_on(aws, cluster, side)
    if running:
        raise Permanent(
            f"nothing was deleted: cluster {cluster} has {len(running)} instances on side {side}, the first of "
            f"them {running[0]}. To give all that runs there up, set its Auto Scaling groups to size 0 first"
        )
