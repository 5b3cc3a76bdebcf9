"""Keeping the autoscaler still while pods move, and giving it back."""

from __future__ import annotations

from migration.contracts.workers import AutoscalerHoldInputs, AutoscalerHoldResult
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent
from migration.workers.fleet import named
from migration.workers.hold import forget, hold, note, release, set_minimum


def run(inputs: AutoscalerHoldInputs, previous: AutoscalerHoldResult | None, context: Context) -> AutoscalerHoldResult:
    """Hold or release every group that isn't yet. New groups need no tag: what they had is in the inputs."""
    aws, held = context.clients.aws, inputs.wanted == "held"
    # Where the new side has no groups, what the old ones had is given back all the same.
    if not inputs.old_groups or (held and not inputs.new_groups):
        raise Permanent("there is no worker group to hold or give back: migration:pools is empty; list the groups")
    described = aws.groups([*inputs.old_groups, *inputs.new_groups])
    missing = [name for name in [*inputs.old_groups, *inputs.new_groups] if name not in described]
    # Old groups are gone at the end; there is nothing to give back to those. That the new ones are seen shows that it
    # is the account, and EC2 has no instance of them.
    left = aws.instances_of_groups(missing) if missing else []
    if missing and (held or left or set(missing) & set(inputs.new_groups)):
        running = f", but {named(left)} run" if left else ""
        raise Permanent(
            f"Auto Scaling groups {', '.join(missing)} don't exist in this account and region{running}; correct "
            f"migration:pools, or the credentials if they are another account's"
        )
    before = dict(previous.old) if previous else {}
    old = [described[name] for name in inputs.old_groups if name in described]
    if held:
        noted = note(aws, old, before, context.alive)
        changed = max(noted, sum(hold(aws, group, before, context.alive) for group in old))
    else:
        given = [one["AutoScalingGroupName"] for one in old if release(aws, one, before, context.alive)]
        forget(aws, given, context.alive)
        changed = len(given)
    minimums = {name: size.desired if held else size.min for name, size in inputs.new_groups.items()}
    for name, minimum in minimums.items():
        context.alive()
        changed += set_minimum(aws, described[name], minimum)
    if changed:
        context.log(f"{changed} of {len(described)} groups {inputs.wanted}")
    return AutoscalerHoldResult(wanted=inputs.wanted, old=before, new=minimums)
