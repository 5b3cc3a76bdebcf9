"""What Auto Scaling groups are when their copies are made, kept in state from then on."""

from __future__ import annotations

from migration.contracts.workers import GroupNoteInputs, GroupNoteResult
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent
from migration.workers.snapshot import noted


def run(inputs: GroupNoteInputs, previous: GroupNoteResult | None, context: Context) -> GroupNoteResult:
    """Look at the groups that aren't known yet; nothing is changed.

    What an earlier run saw is kept as it was then: afterwards the autoscaler and this program change the groups, and a
    migration deletes them. Raises `Permanent` for a group that isn't there and of which nothing was ever known, unless
    its copy can be made from something else; and for what a copy can't take over of a group.
    """
    known = dict(previous.groups) if previous else {}
    new = {key: name for key, name in inputs.groups.items() if key not in known}
    described = context.clients.aws.groups(new.values())
    missing = {key: name for key, name in new.items() if name not in described and key not in inputs.optional}
    if missing:
        raise Permanent(
            f"Auto Scaling groups {', '.join(sorted(missing.values()))} don't exist; correct migration:pools and "
            f"members. A pool that is added after a migration ({', '.join(sorted(missing))}) has no group to copy: "
            f"give it `like`, or `image` and `instanceType`, under migration:sides.<side>.pools"
        )
    there = {key: name for key, name in new.items() if name in described}
    known |= noted(context.clients.aws, {key: described[name] for key, name in there.items()}, inputs.without)
    if there:
        context.log(f"noted {len(there)} groups, {sum(known[key].desired for key in there)} instances wanted")
    return GroupNoteResult(groups={key: known[key] for key in inputs.groups if key in known})
