"""Carrying a drain out: every budget advances at once, each fed by one writer, until nothing movable is left.

A coordinator plans from the watched view and hands each lane that may advance to a worker; a lane is never with two
workers. Killing it loses nothing: the next run plans from what is there.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from migration.clients.kubernetes import DEPLOYMENTS, PODS, ApiFailure, Conflict
from migration.drain.cluster import Api
from migration.drain.evict import Answer, Outcome, Rate, evict
from migration.drain.model import Budget, Owner, Pod
from migration.drain.plan import (
    PHASES,
    Blocked,
    Lane,
    Plan,
    Restart,
    Rules,
    View,
    movable,
    owner_of,
    plan_drain,
)
from migration.drain.restart import next_step, restart_patch
from migration.runtime.deadline import Deadline, OutOfTime, Permanent, Retryable

# Seconds.
LOOK_EVERY = 0.25
TELL_EVERY = 2.0
# Evictions of one owner before its pods are said to come back again and again: times what it had, plus some.
RETURNS, SOME = 3, 5
CAME_BACK = (
    "its rolling restart came through and its new pods started on the nodes being emptied again, so they tolerate "
    "their taints; give it a node selector for the other side"
)
LASTING = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"})


class Unfinished(OutOfTime):
    """Patience or time ran out: `left` are the pods and owners that were waited for."""

    def __init__(self, message: str, left: Sequence[Blocked]) -> None:
        super().__init__(message)
        self.left = tuple(left)


class ObservedCluster(Protocol):
    """What the executor needs of `migration.drain.cluster.Cluster`."""

    @property
    def api(self) -> Api: ...
    def view(self) -> View: ...
    def exact(self) -> View: ...
    def budget(self, budget: Budget) -> Budget | None: ...
    def volumes_held(self, staying: Sequence[Pod]) -> list[str]: ...
    def wait(self, seconds: float) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a drain evicts, and how patiently it waits. Seconds, but for `per_second`."""

    per_second: float = 50.0
    """Most evictions a second, over all budgets."""
    rescan: float = 5.0
    """From the last pod's going to the look that shows whether another slipped past the taint."""
    stall: float = 900.0
    """Without any progress for so long, what still waits counts as blocked. A pod's own grace period is no stall."""
    pending: float = 60.0
    """A moved pod for which the scheduler finds no node for so long stops evictions until it does."""
    unplaced: int = 25
    """So many moved pods may be without a node at once: also the most that leave between two looks."""
    back_off: float = 1.0
    """Before a refused budget is tried again; doubled at each further refusal up to `longest_back_off`."""
    longest_back_off: float = 10.0


@dataclass
class Tally:
    """What this run did. `rejected` counts evictions that a budget answered with 429, `throttled` those that the API
    server did because it is busy, `server_errors` answers of 500 and above. `evicting_seconds` lasts from the first
    eviction until the last pod left its node."""

    pods: int = 0
    evictions: int = 0
    rejected: int = 0
    restarts: int = 0
    throttled: int = 0
    server_errors: int = 0
    evicting_seconds: float = 0.0


class Drainer:
    """One tier of one side's nodes, emptied. `off` names what is left (a VPC's id), for rolling restarts."""

    def __init__(
        self,
        cluster: ObservedCluster,
        rules: Rules,
        pool: Pool,
        *,
        off: str,
        pace: Pace,
        deadline: Deadline,
        alive: Callable[[], None],
        log: Callable[[str], None],
        tally: Tally | None = None,
    ) -> None:
        self._cluster, self._rules, self._pool = cluster, rules, pool
        self._off, self._pace, self._deadline, self._alive, self._log = off, pace, deadline, alive, log
        self._clock = deadline.clock
        self._rate = Rate(pace.per_second, deadline.clock, deadline.sleeper)
        self.tally = tally or Tally()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        # Shared with the workers, under the lock.
        self._evicted: set[str] = set()
        self._denied: dict[str, str] = {}
        self._let_go: Counter[str] = Counter()
        self._not_before: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._progress_at = self._clock()
        self._moved: set[str] = set()
        self._restarted: set[str] = set()
        self._credit = 0
        # The coordinator's own.
        self._busy: dict[str, Future[None]] = {}
        self._at_first: Counter[str] | None = None
        self._ready_at_first: dict[str, int] = {}
        self._on_nodes: frozenset[str] = frozenset()
        self._phase: int | None = None
        self._told_at = float("-inf")
        self._leaving_since: dict[str, float] = {}
        self._braked = False
        self._unplaced_at_first: frozenset[str] = frozenset()
        self._there_at_first: Counter[str] | None = None
        self._unplaced: dict[str, list[Pod]] = {}
        self._unschedulable_since: dict[str, float] = {}

    def run(self) -> list[Blocked]:
        """Empty the nodes; returns what is blocked. Raises `Unfinished` naming what was still on its way."""
        self.tally.pods = len(movable(self._look(self._cluster.exact), self._rules))
        try:
            while True:
                unready = self._sweep()
                self._wait_for_volumes()
                self._deadline.sleep(self._pace.rescan)
                plan = self._plan(self._look(self._cluster.exact))
                if not plan.remaining or self._stalled(plan):
                    return [*plan.blocked, *self._waiting(plan), *unready]
                self._log(f"{plan.remaining} more pods found on the nodes; going on")
        finally:
            self._stopping.set()

    def _look(self, at: Callable[[], View]) -> View:
        """A view, however long the API takes to answer again."""
        return self._deadline.until(at, "the Kubernetes API", pause=1.0)

    def _plan(self, view: View) -> Plan:
        with self._lock:
            return plan_drain(view, self._rules, frozenset(self._evicted), dict(self._denied))

    def _sweep(self) -> list[Blocked]:
        """Until only blocked pods are left, or nothing has moved for too long; returns owners not ready again."""
        while True:
            self._alive()
            self._collect()
            view = self._look(self._cluster.view)
            self._observe(view)
            plan = self._plan(view)
            todo = [item.phase for item in (*plan.lanes, *plan.restarts)]
            todo += [plan.phases[pod.uid] for pod in plan.leaving]
            lowest = min(todo, default=None)
            unready: list[Blocked] = []
            if self._phase is not None and (lowest is None or lowest > self._phase):
                # Before the next phase, and before the end, whatever moved must be ready on the other side.
                unready = self._unready(view)
            if not unready:
                self._phase = lowest
                if lowest is None and not plan.ending:
                    return []
            self._tell(plan, unready)
            if self._stalled(plan, unready):
                if unready and lowest is not None:
                    raise Unfinished(f"stopped before {PHASES[lowest]}: " + "; ".join(map(str, unready)), unready)
                return [*self._homeless(), *unready]
            if self._deadline.remaining <= 0:
                left = [*self._homeless(), *self._waiting(plan), *unready]
                raise Unfinished(
                    f"gave up after {self._deadline.seconds:g} s with {plan.remaining} pods left; run the same again. "
                    f"First of them: " + "; ".join(map(str, left[:5])),
                    left,
                )
            if not unready:
                self._feed(plan, view)
            self._cluster.wait(LOOK_EVERY)

    def _observe(self, view: View) -> None:
        """Notice progress, remember what owners had at first, and stop chasing pods that keep coming back."""
        pods = movable(view, self._rules)
        now_on = frozenset(pod.uid for pod in pods)
        if self._on_nodes - now_on:
            self._progress()
        self._on_nodes = now_on
        on_nodes = [(pod, owner) for pod in pods if (owner := owner_of(pod, view)) is not None]
        if self._at_first is None:
            self._at_first = Counter(owner.key for _, owner in on_nodes)
        self._brake(view)
        new = {owner.key for _, owner in on_nodes if owner.kind in LASTING} - self._ready_at_first.keys()
        if new:
            ready = self._ready(view)
            self._ready_at_first.update({key: ready[key] for key in new})
        with self._lock:
            for pod, owner in on_nodes:
                if self._let_go[owner.key] > RETURNS * self._at_first[owner.key] + SOME:
                    self._denied.setdefault(
                        pod.uid,
                        "its pods keep starting on the nodes being emptied, so they tolerate their taints; "
                        "give them a node selector for the other side",
                    )

    def _brake(self, view: View) -> None:
        """See which moved pods have no node, and how many more may leave until the next look.

        Pods that had none before this run are somebody else's matter. A moved pod's successor that isn't there yet
        counts as one without a node; but a StatefulSet's only comes once its predecessor has ended.
        """
        unplaced = [pod for pod in view.pods if not pod.node and not pod.terminating and not pod.finished]
        if self._there_at_first is None:
            self._unplaced_at_first = frozenset(pod.uid for pod in unplaced)
            self._there_at_first = self._there(view, None)
        with self._lock:
            moved = frozenset(self._moved)
        found: dict[str, list[Pod]] = {}
        for pod in unplaced:
            owner = None if pod.uid in self._unplaced_at_first else owner_of(pod, view)
            if owner is not None and owner.uid in moved:
                found.setdefault(owner.key, []).append(pod)
        self._unplaced = found
        now, before = self._clock(), self._unschedulable_since
        refused = [pod.uid for pods in found.values() for pod in pods if pod.unschedulable]
        self._unschedulable_since = {uid: before.get(uid, now) for uid in refused}
        homeless = sum(map(len, found.values())) + self._missing(view, moved)
        credit = 0 if self._stuck() else max(0, self._pace.unplaced - homeless)
        self._braked = credit == 0
        with self._lock:
            self._credit = credit

    def _missing(self, view: View, moved: frozenset[str]) -> int:
        """How many pods of moved owners should be there and aren't, not even without a node."""
        first, now = self._there_at_first or Counter[str](), self._there(view, moved) if moved else Counter[str]()
        owners = {owner.uid: owner for owner in view.owners.values() if owner.uid in moved}
        return sum(
            max(0, min(first[uid], owner.desired or 0) - now[uid])
            for uid, owner in owners.items()
            if owner.kind in LASTING - {"StatefulSet"}
        )

    def _there(self, view: View, uids: frozenset[str] | None) -> Counter[str]:
        """Pods of these owners (all of them by default) that aren't on their way out, by the owner's UID."""
        found: Counter[str] = Counter()
        for pod in view.pods:
            if pod.controller is None or pod.terminating or pod.finished or pod.uid in self._evicted:
                continue
            known = view.owners.get(pod.controller.uid)
            uid = known.uid if known else pod.controller.uid
            if uids is None or uid in uids:
                found[uid] += 1
        return found

    def _stuck(self) -> list[tuple[str, Pod]]:
        """Moved pods, with their owners, for which the scheduler has found no node for too long."""
        late = {uid for uid, since in self._unschedulable_since.items() if self._clock() - since > self._pace.pending}
        return [(owner, pod) for owner, pods in self._unplaced.items() for pod in pods if pod.uid in late]

    def _homeless(self) -> list[Blocked]:
        """The same, for people."""
        return [
            Blocked(pod=pod.key, owner=owner, budget="", reason=f"it was moved and finds no node: {pod.unschedulable}")
            for owner, pod in self._stuck()
        ]

    def _ready(self, view: View) -> Counter[str]:
        ready: Counter[str] = Counter()
        for pod in view.pods:
            if pod.ready and not pod.terminating and pod.uid not in self._evicted:
                owner = owner_of(pod, view)
                if owner is not None:
                    ready[owner.key] += 1
        return ready

    def _unready(self, view: View) -> list[Blocked]:
        """Owners of moved pods that don't have as many ready as they had, or as they want by now."""
        ready = self._ready(view)
        wanted = {
            owner.key: min(owner.desired or 0, self._ready_at_first[owner.key])
            for owner in view.owners.values()
            if owner.key in self._ready_at_first
        }
        return [
            Blocked(
                pod=key,
                owner=key,
                budget="",
                reason=f"only {ready[key]} of {count} ready again after its move{self._no_node(key)}",
            )
            for key, count in sorted(wanted.items())
            if ready[key] < count
        ]

    def _no_node(self, owner: str) -> str:
        """What the scheduler says of an owner's moved pods, if it finds no node for one."""
        said = [pod.unschedulable for pod in self._unplaced.get(owner, ()) if pod.unschedulable]
        return f" ({len(said)} find no node: {said[0]})" if said else ""

    def _feed(self, plan: Plan, view: View) -> None:
        now = self._clock()
        with self._lock:
            if self._credit <= 0:
                return
        for lane in plan.lanes:
            if lane.phase == self._phase and not lane.closed and self._idle(lane.key, now):
                self._busy[lane.key] = self._pool.submit(self._work, lane, view)
        for restart in plan.restarts:
            key = f"restart {restart.owner.key}"
            if restart.phase == self._phase and self._idle(key, now):
                self._busy[key] = self._pool.submit(self._restart, key, restart)

    def _idle(self, key: str, now: float) -> bool:
        with self._lock:
            return key not in self._busy and now >= self._not_before.get(key, 0.0)

    def _collect(self) -> None:
        """Take finished workers' results; what one couldn't get passes or is everybody's problem."""
        for key in [key for key, future in self._busy.items() if future.done()]:
            try:
                self._busy.pop(key).result()
            except Retryable as error:
                self._log(f"{key}: {error}; trying again")
                self._later(key)
            except ApiFailure as failure:
                raise Permanent(f"the Kubernetes API refuses what the drain needs: {failure}") from failure

    def _work(self, lane: Lane, view: View) -> None:
        """A lane's one writer: evict what may go now. Budgets are asked afresh, so that 429 is the exception."""
        pods = list(lane.free[: lane.free_allowed])
        if lane.budget is None:
            pods += lane.pods[: lane.allowed]
        elif lane.pods:
            budget = self._cluster.budget(lane.budget)
            pods += lane.pods[: budget.allowed] if budget else ()
        for pod in pods:
            self._rate.take()
            if self._stopping.is_set() or not self._spend():
                return
            self._alive()
            answer = evict(self._cluster.api, pod)
            self._take(pod, owner_of(pod, view), answer)
            if answer.outcome in (Outcome.REFUSED, Outcome.LATER):
                self._later(lane.key, answer.retry_after)
                return
        with self._lock:
            self._pauses.pop(lane.key, None)

    def _spend(self) -> bool:
        """Whether one more pod may leave before the next look."""
        with self._lock:
            self._credit -= 1
            return self._credit >= 0

    def _take(self, pod: Pod, owner: Owner | None, answer: Answer) -> None:
        with self._lock:
            if answer.outcome is Outcome.EVICTED:
                self.tally.evictions += 1
                if owner is not None:
                    self._let_go[owner.key] += 1
                    self._moved.add(owner.uid)
            if answer.outcome in (Outcome.EVICTED, Outcome.GONE):
                self._evicted.add(pod.uid)
                self._progress_at = self._clock()
            elif answer.outcome is Outcome.REFUSED:
                self.tally.rejected += 1
            elif answer.outcome is Outcome.DENIED:
                self._denied[pod.uid] = answer.reason

    def _restart(self, key: str, restart: Restart) -> None:
        """Begin a rolling restart, unless one is on its way or the view is behind."""
        self._later(key, self._pace.back_off, grow=False)
        owner = restart.owner
        for pod in restart.pods:
            item = self._cluster.api.find(PODS, pod.name, pod.namespace)
            if item is None or item["metadata"]["uid"] != pod.uid or item["metadata"].get("deletionTimestamp"):
                return
        deployment = self._cluster.api.find(DEPLOYMENTS, owner.name, owner.namespace)
        if deployment is None or self._stopping.is_set():
            return
        step = next_step(deployment, self._off)
        if step.do == "stuck":
            with self._lock:
                self._denied.update({pod.uid: step.reason for pod in restart.pods})
        if step.do != "restart":
            return
        with self._lock:
            if owner.key in self._restarted or (step.again and all(pod.tolerates for pod in restart.pods)):
                self._denied.update({pod.uid: CAME_BACK for pod in restart.pods})
                return
            self._restarted.add(owner.key)
            self._moved.add(owner.uid)
        self._alive()
        try:
            self._cluster.api.patch(DEPLOYMENTS, owner.name, restart_patch(deployment, step.value), owner.namespace)
        except Conflict:
            with self._lock:
                self._restarted.discard(owner.key)
            return
        with self._lock:
            self.tally.restarts += 1
        self._progress()
        self._log(f"{owner.key} is moved by a rolling restart: its budget {restart.budget} never allows an eviction")

    def _later(self, key: str, seconds: float = 0.0, *, grow: bool = True) -> None:
        with self._lock:
            pause = self._pauses.get(key, self._pace.back_off)
            self._not_before[key] = self._clock() + max(seconds, pause if grow else 0.0)
            if grow:
                self._pauses[key] = min(self._pace.longest_back_off, pause * 2)

    def _progress(self) -> None:
        with self._lock:
            self._progress_at = self._clock()

    def _stalled(self, plan: Plan, unready: Sequence[Blocked] = ()) -> bool:
        """Whether nothing has moved for too long. Neither a pod within its grace period nor a Job's is a stall."""
        now = self._clock()
        since = self._leaving_since
        self._leaving_since = {pod.uid: since.get(pod.uid, now) for pod in plan.leaving}
        ends = [self._leaving_since[pod.uid] + pod.grace_seconds for pod in plan.leaving]
        with self._lock:
            at = max([self._progress_at, *(min(end, now) for end in ends)])
        only_jobs = bool(plan.ending) and plan.remaining == len(plan.ending) and not unready
        return now - at > self._pace.stall and not only_jobs

    def _waiting(self, plan: Plan) -> list[Blocked]:
        """What isn't blocked by a rule but hasn't moved either, with the reason one can see."""
        found: list[Blocked] = []
        for lane in plan.lanes:
            budget = lane.budget
            if not lane.closed and self._braked:
                why = "it waits, since pods that were moved find no node, or haven't come back at all"
            elif not lane.closed:
                why = "its turn had not come"
            elif budget:
                healthy, wanted = budget.current_healthy, budget.desired_healthy
                why = f"its budget allows no eviction now ({healthy} healthy, wants {wanted})"
            else:
                why = "too few of its owner's pods are ready, those that moved included; repair it, or scale it to zero"
            for pod in (*lane.free, *lane.pods):
                name = budget.key if budget else ""
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

    def _wait_for_volumes(self) -> None:
        """Until no volume of a moved pod is attached to the nodes: its pod elsewhere needs it."""
        told = self._clock()

        def detached() -> bool:
            nonlocal told
            self._alive()
            view = self._look(self._cluster.exact)
            staying = [pod for pod in view.pods if pod.node in view.nodes and not pod.finished]
            held = self._cluster.volumes_held(staying)
            if held and self._clock() - told >= TELL_EVERY:
                told = self._clock()
                self._log(f"{len(held)} volumes still to be detached, the first is {held[0]}")
            if held:
                raise Retryable(f"still attached: {', '.join(held[:5])}")
            return True

        limit = min(self._pace.stall, self._deadline.remaining)
        Deadline(limit, self._clock, self._deadline.sleeper).until_true(
            detached, "volumes to be detached from the old nodes"
        )

    def _tell(self, plan: Plan, unready: list[Blocked]) -> None:
        if self._clock() - self._told_at < TELL_EVERY:
            return
        self._told_at = self._clock()
        closed = [lane.key for lane in plan.lanes if lane.phase == self._phase and lane.closed]
        waiting = ""
        if stuck := self._homeless():
            waiting = f"; no more evictions until {len(stuck)} moved pods find a node, the first is {stuck[0]}"
        elif unready:
            waiting = f"; waiting for {unready[0]}"
        elif closed:
            waiting = f"; {len(closed)} budgets closed for now, among them {', '.join(closed[:2])}"
        elif plan.ending:
            waiting = f"; {len(plan.ending)} pods run to completion, the first is {plan.ending[0].key}"
        name = "ingress pods" if self._rules.tier == "ingress" else PHASES[self._phase or 0]
        self._log(
            f"{name}: {plan.remaining} pods left, {self.tally.evictions} evicted, {len(plan.blocked)} blocked{waiting}"
        )
