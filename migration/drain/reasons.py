"""Why pods of a drain that is under way haven't left yet, as far as it can be seen, for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from migration.drain.brake import Brake
from migration.drain.disrupted import Kept, kept_closed
from migration.drain.index import Index
from migration.drain.plan import Blocked, Lane, Plan, Rules


class Reasons:
    """Of one drain, whose pods `index` follows; `wall` is the time of day, which budgets' statuses name."""

    def __init__(self, index: Index, rules: Rules, brake: Brake, wall: Callable[[], datetime]) -> None:
        self._index, self._rules, self._brake, self._wall = index, rules, brake, wall

    def of(self, plan: Plan) -> list[Blocked]:
        """What isn't blocked by a rule but hasn't moved either, each pod with its reason."""
        found: list[Blocked] = []
        for lane in plan.lanes:
            why, name = self._of_lane(lane), lane.budget.key if lane.budget else ""
            for pod in (*lane.free, *lane.pods):
                found.append(Blocked(pod=pod.key, owner=plan.owners[pod.uid], budget=name, reason=why))
        for restart in plan.restarts:
            why = "its rolling restart has not come through"
            for pod in restart.pods:
                found.append(Blocked(pod=pod.key, owner=restart.owner.key, budget=restart.budget, reason=why))
        for pod in plan.ending:
            remedy = self._rules.remedy("jobs", "evict")
            why = f"it runs to completion and hasn't ended; wait for it, end it, or {remedy}"
            found.append(Blocked(pod=pod.key, owner=plan.owners[pod.uid], budget="", reason=why))
        for pod in plan.leaving:
            why = f"it was told to end and is still there (node {pod.node})"
            found.append(Blocked(pod=pod.key, owner=plan.owners[pod.uid], budget="", reason=why))
        return found

    def now(self, lanes: Sequence[Lane], unready: Sequence[Blocked]) -> str:
        """What a phase with these lanes waits for at this moment; empty where it waits for nothing."""
        closed = [lane for lane in lanes if lane.closed]
        kept = [one for lane in closed for one in self._kept(lane)]
        if stuck := self._brake.homeless():
            return f"no more evictions until {len(stuck)} moved pods find a node, the first is {stuck[0]}"
        if unready:
            return f"waiting for {unready[0]}"
        if kept:
            return str(kept[0])
        if closed:
            return f"{len(closed)} budgets closed for now, among them {', '.join(lane.key for lane in closed[:2])}"
        if ending := self._index.ending:
            return f"{len(ending)} pods run to completion, the first is {next(iter(ending.values())).key}"
        return ""

    def _of_lane(self, lane: Lane) -> str:
        if not lane.closed and self._brake.on:
            return "it waits, since pods that were moved find no node, or haven't come back at all"
        if not lane.closed:
            return "its turn had not come"
        if lane.budget is None:
            return "too few of its owner's pods are ready, those that moved included; repair it, or scale it to zero"
        if kept := self._kept(lane):
            return str(kept[0])
        healthy, wanted = lane.budget.current_healthy, lane.budget.desired_healthy
        return f"its budget allows no eviction now ({healthy} healthy, wants {wanted})"

    def _kept(self, lane: Lane) -> list[Kept]:
        """Pods by which a lane's budget is kept closed although they are there again."""
        return kept_closed(lane.budget, self._index.named, self._wall()) if lane.budget else []
