"""A side's worker groups at zero, or back at their recorded sizes."""

from __future__ import annotations

from migration.contracts.workers import WorkerScaleInputs, WorkerScaleResult
from migration.runtime.context import Context
from migration.workers.scale import to_recorded, to_zero


def run(inputs: WorkerScaleInputs, previous: WorkerScaleResult | None, context: Context) -> WorkerScaleResult:
    """Scale the groups; to zero only while no node of theirs holds a pod that belongs elsewhere."""
    sizes = {size.group: size for size in inputs.sizes}
    if inputs.wanted == "zero":
        ended = to_zero(tuple(sizes), context, join_seconds=inputs.join_seconds, ended=inputs.ended)
        return WorkerScaleResult(wanted=inputs.wanted, groups=dict.fromkeys(sizes, 0), ended=ended)
    to_recorded(sizes, context)
    return WorkerScaleResult(wanted=inputs.wanted, groups={name: size.desired for name, size in sizes.items()}, ended=0)
