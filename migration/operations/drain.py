"""Emptying a side's nodes of one tier of pods, under every budget; or taking the cordon back."""

from __future__ import annotations

from migration.contracts.workers import DrainInputs, DrainResult
from migration.drain.bound import Bound
from migration.drain.emptying import cordon, empty
from migration.drain.executor import Tally
from migration.drain.nodes import uncordoned
from migration.runtime.context import Context
from migration.workers.fleet import joined


def run(inputs: DrainInputs, previous: DrainResult | None, context: Context) -> DrainResult:
    """Drain, or uncordon what an earlier drain cordoned. Raises `Permanent` naming every blocked pod.

    Nothing is cordoned before each instance has its Node, pods are seen, and there is room for those that move.
    """
    wanted = inputs.wanted
    began = context.deadline.clock()
    drained = wanted == "drained"
    if previous is None and inputs.idle:
        return _result(inputs, began, context)
    fleet = joined(context, inputs.groups, join_seconds=inputs.join_seconds, ended=inputs.ended, every=drained)
    nodes, tally, bound = fleet.nodes, Tally(), None
    if drained and nodes:
        tally, bound = empty(nodes, inputs, context)
    elif not drained:
        cordon(nodes, uncordoned, "uncordoned", context)
    return _result(inputs, began, context, nodes=len(nodes), tally=tally, bound=bound)


def _result(
    inputs: DrainInputs,
    began: float,
    context: Context,
    *,
    nodes: int = 0,
    tally: Tally | None = None,
    bound: Bound | None = None,
) -> DrainResult:
    tally = tally or Tally()
    return DrainResult(
        wanted=inputs.wanted,
        tier=inputs.tier,
        nodes=nodes,
        pods=tally.pods,
        evictions=tally.evictions,
        restarts=tally.restarts,
        rejected429=tally.rejected,
        seconds=round(context.deadline.clock() - began, 1),
        blocked=(),
        bound_seconds=round(bound.seconds, 1) if bound else None,
        learnt_bound_seconds=round(tally.bound_seconds, 1) if bound else None,
        bound=bound.sentence if bound else "",
    )
