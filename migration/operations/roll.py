"""Nodes of a settled side replaced by ones of their group's version; groups that aren't wanted any more emptied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from migration.clients.documents import Document
from migration.contracts.workers import DrainInputs, RollInputs, RollResult
from migration.drain.emptying import empty, room
from migration.drain.executor import Tally
from migration.runtime.context import Context
from migration.workers.roll import Roller, told

# Those that answer the balancers first, as in a migration: whoever waits for an answer gets it while the rest is there.
_TIERS: tuple[Literal["ingress", "rest"], ...] = ("ingress", "rest")


def run(inputs: RollInputs, previous: RollResult | None, context: Context) -> RollResult:
    """Roll, or only say what is due where this isn't the time. What is due is observed, not remembered."""
    began = context.deadline.clock()
    groups = {one.pool: one.group for one in inputs.groups}
    roller = roller_of(inputs, previous, context)
    if not inputs.allowed:
        due = told(*roller.due())
        for sentence in due:
            context.log(f"{sentence}; not while a stage is under way: python -m migration roll does it afterwards")
        return RollResult(groups={**(previous.groups if previous else {}), **groups}, left=tuple(roller.left()))
    roller.run()
    return RollResult(
        groups=groups,
        nodes=roller.nodes,
        evictions=roller.tally.evictions,
        restarts=roller.tally.restarts,
        seconds=round(context.deadline.clock() - began, 1),
    )


def roller_of(inputs: RollInputs, previous: RollResult | None, context: Context) -> Roller:
    """The roll of these inputs, by the migration's own drain."""

    def drain(tier: Literal["ingress", "rest"], off: str) -> DrainInputs:
        return DrainInputs(
            cluster=inputs.cluster,
            connection=inputs.connection,
            timeout_seconds=inputs.timeout_seconds,
            wanted="drained",
            tier=tier,
            groups=tuple(one.group for one in inputs.groups),
            side=inputs.side,
            vpc_id=off,
            rules=inputs.rules,
            join_seconds=inputs.join_seconds,
        )

    def emptied(nodes: Sequence[Document], off: str) -> Tally:
        done = Tally()
        for tier in _TIERS:
            tally, _ = empty(nodes, drain(tier, off), context)
            done.pods += tally.pods
            done.evictions += tally.evictions
            done.restarts += tally.restarts
            done.rejected += tally.rejected
        return done

    return Roller(
        cluster=inputs.cluster,
        side=inputs.side,
        wanted=inputs.groups,
        before=previous.groups if previous else {},
        surge=inputs.surge,
        target_groups=inputs.target_groups,
        join_seconds=inputs.join_seconds,
        context=context,
        empty=emptied,
        room=lambda nodes: _room(nodes, drain("rest", inputs.vpc_id), context),
    )


def _room(nodes: Sequence[Document], inputs: DrainInputs, context: Context) -> None:
    room(nodes, inputs, context)
