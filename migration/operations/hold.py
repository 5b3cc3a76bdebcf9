"""Keeping the autoscaler still while pods move, and giving it back."""

from __future__ import annotations

from migration.contracts.workers import AutoscalerHoldInputs, AutoscalerHoldResult
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent
from migration.workers.hold import hold, release, set_minimum


def run(inputs: AutoscalerHoldInputs, previous: AutoscalerHoldResult | None, context: Context) -> AutoscalerHoldResult:
    """Hold or release every group that isn't yet. New groups need no tag: what they had is in the inputs."""
    aws, held = context.clients.aws, inputs.wanted == "held"
    described = aws.groups([*inputs.old_groups, *inputs.new_groups])
    missing = [name for name in [*inputs.old_groups, *inputs.new_groups] if name not in described]
    # Old groups are gone at the end; there is nothing to give back to those.
    if missing and (held or set(missing) & set(inputs.new_groups)):
        raise Permanent(f"Auto Scaling groups {', '.join(missing)} don't exist")
    before = dict(previous.old) if previous else {}
    changed = 0
    for name in inputs.old_groups:
        if name in described:
            changed += (hold if held else release)(aws, described[name], before, context.alive)
    minimums = {name: size.desired if held else size.min for name, size in inputs.new_groups.items()}
    for name, minimum in minimums.items():
        context.alive()
        changed += set_minimum(aws, described[name], minimum)
    if changed:
        context.log(f"{changed} of {len(described)} groups {inputs.wanted}")
    return AutoscalerHoldResult(wanted=inputs.wanted, old=before, new=minimums)
