"""The taint that keeps new pods off a side's nodes, or its removal."""

from __future__ import annotations

from migration.contracts.workers import TaintInputs, TaintResult
from migration.drain.nodes import change_nodes, cleared, instance_of, name_of, nodes_of, tainted
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, OutOfTime, Retryable


def run(inputs: TaintInputs, previous: TaintResult | None, context: Context) -> TaintResult:
    """Taint or clear every node of the groups, and look again until none is left out."""
    wanted = inputs.wanted
    change = tainted if wanted == "tainted" else cleared
    api = context.clients.kubernetes
    changed = 0

    def settle() -> tuple[list[str], list[str]] | None:
        nonlocal changed
        instances = [i for i in context.clients.aws.instances_of_groups(inputs.groups) if i.state == "running"]
        nodes = nodes_of(api, [i.id for i in instances])
        now = change_nodes(api, nodes, change, alive=context.alive, deadline=context.deadline)
        changed += now
        if now:
            context.log(f"{now} of {len(nodes)} nodes {wanted}")
            return None  # looked at once more: another may have joined meanwhile
        known = {instance_of(node) for node in nodes}
        return [name_of(node) for node in nodes], sorted(i.id for i in instances if i.id not in known)

    def complete() -> list[str] | None:
        result = settle()
        if result is None:
            return None
        if wanted == "tainted" and result[1]:
            raise Retryable(f"instances without a node: {', '.join(result[1][:5])}")
        return result[0]

    patience = min(float(inputs.join_seconds), context.deadline.remaining)
    bounded = Deadline(patience, context.deadline.clock, context.deadline.sleeper)
    try:
        nodes, missing = bounded.until(complete, "every instance to have its node", pause=1.0), list[str]()
    except OutOfTime:
        # An instance that never joined holds no pods; the drain looks again for nodes that join late.
        nodes, missing = context.deadline.until(settle, "the nodes to stay as they are", pause=1.0)
        context.log(f"{len(missing)} running instances have no node: {', '.join(missing[:5])}")
    return TaintResult(wanted=wanted, nodes=tuple(nodes), changed=changed, missing=tuple(missing))
