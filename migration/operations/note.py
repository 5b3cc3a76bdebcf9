"""What Auto Scaling groups are when their copies are made, kept in state from then on."""

from __future__ import annotations

from migration.contracts.workers import GroupNoteInputs, GroupNoteResult
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent
from migration.workers.snapshot import describe


def run(inputs: GroupNoteInputs, previous: GroupNoteResult | None, context: Context) -> GroupNoteResult:
    """Look at the groups that aren't known yet; nothing is changed.

    What an earlier run saw is kept as it was then: afterwards the autoscaler and this program change the groups.
    """
    known = dict(previous.groups) if previous else {}
    new = {key: name for key, name in inputs.groups.items() if key not in known}
    described = context.clients.aws.groups(new.values())
    missing = sorted(name for name in new.values() if name not in described)
    if missing:
        raise Permanent(f"Auto Scaling groups {', '.join(missing)} don't exist; correct migration:pools and members")
    for key, name in new.items():
        known[key] = describe(context.clients.aws, described[name])
    if new:
        context.log(f"noted {len(new)} groups, {sum(known[key].desired for key in new)} instances wanted")
    return GroupNoteResult(groups={key: known[key] for key in inputs.groups})
