"""The taint that keeps new pods off a side's nodes, or its removal."""

from __future__ import annotations

from migration.contracts.workers import TaintInputs, TaintResult
from migration.drain.nodes import change_nodes, cleared, name_of, tainted
from migration.runtime.context import Context
from migration.workers.fleet import Fleet, joined, named


def run(inputs: TaintInputs, previous: TaintResult | None, context: Context) -> TaintResult:
    """Taint or clear every node of the groups, and look again until none is left out.

    Nothing is tainted while an instance has no Node: it would join without the taint. Clearing needs only to see that
    this is the cluster: a node that joins later has nothing to be cleared of.
    """
    wanted = inputs.wanted
    if previous is None and inputs.idle:
        return TaintResult(wanted=wanted, nodes=(), changed=0, missing=())
    change = tainted if wanted == "tainted" else cleared
    changed = 0

    def settle() -> Fleet | None:
        nonlocal changed
        fleet = joined(
            context,
            inputs.groups,
            join_seconds=inputs.join_seconds,
            ended=inputs.ended,
            every=wanted == "tainted",
        )
        now = change_nodes(
            context.clients.kubernetes, fleet.nodes, change, alive=context.alive, deadline=context.deadline
        )
        changed += now
        if now:
            context.log(f"{now} of {len(fleet.nodes)} nodes {wanted}")
            return None  # looked at once more: another may have joined meanwhile
        return fleet

    fleet = context.deadline.until(settle, "the nodes to stay as they are", pause=1.0)
    if fleet.nodeless:
        context.log(f"{len(fleet.nodeless)} running instances have no node: {named(fleet.nodeless)}")
    return TaintResult(
        wanted=wanted,
        nodes=tuple(name_of(node) for node in fleet.nodes),
        changed=changed,
        missing=tuple(one.id for one in fleet.nodeless),
    )
