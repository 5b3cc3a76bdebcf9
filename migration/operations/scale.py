"""A side's worker groups at zero, or back at their recorded sizes."""

from __future__ import annotations

from migration.contracts.workers import WorkerScaleInputs, WorkerScaleResult
from migration.runtime.context import Context
from migration.workers.scale import complete, to_recorded, to_zero


def run(inputs: WorkerScaleInputs, previous: WorkerScaleResult | None, context: Context) -> WorkerScaleResult:
    """Scale the groups; to zero only while no node of theirs holds a pod that belongs elsewhere."""
    sizes = {size.group: size for size in inputs.sizes}
    if previous is None and inputs.idle:
        return WorkerScaleResult(wanted=inputs.wanted, groups={}, ended=0)
    if inputs.wanted == "zero":
        ended = to_zero(tuple(sizes), context, join_seconds=inputs.join_seconds, ended=inputs.ended)
        return WorkerScaleResult(wanted=inputs.wanted, groups=dict.fromkeys(sizes, 0), ended=ended)
    if inputs.wanted == "complete":
        return WorkerScaleResult(
            wanted=inputs.wanted, groups=complete(inputs.groups, context, join_seconds=inputs.join_seconds), ended=0
        )
    to_recorded(sizes, context, join_seconds=inputs.join_seconds)
    return WorkerScaleResult(wanted=inputs.wanted, groups={name: size.desired for name, size in sizes.items()}, ended=0)
