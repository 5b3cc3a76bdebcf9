"""Carrying a drain out: every budget advances at once, each fed by one writer, until nothing movable is left.

A coordinator keeps the plan current by what the watches show and hands lanes that may advance to workers, the longest
chain first; a lane is never with two workers. Killing it loses nothing: the next run plans from what is there.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor as Pool
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from migration.clients.kubernetes import DEPLOYMENTS, PODS, ApiFailure, Conflict
from migration.drain.brake import LASTING, Brake, Pace
from migration.drain.cluster import Api
from migration.drain.evict import Answer, Outcome, evict
from migration.drain.index import Changes, Index
from migration.drain.inflight import InFlight
from migration.drain.model import Owner, Pod
from migration.drain.pacer import Pacer
from migration.drain.plan import PHASES, Blocked, Lane, Plan, Restart, Rules, View, owner_of, plan_drain
from migration.drain.progress import Progress
from migration.drain.reasons import Reasons
from migration.drain.restart import next_step, restart_patch
from migration.drain.terms import Terms
from migration.drain.window import Window
from migration.runtime.deadline import Deadline, OutOfTime, Permanent, Retryable

# Seconds.
LOOK_EVERY = 0.25
TELL_EVERY = 5.0
# Evictions of one owner before its pods are said to come back again and again: times what it had, plus some.
RETURNS, SOME = 3, 5
CAME_BACK = (
    "its rolling restart came through and its new pods started on the nodes being emptied again, so they tolerate "
    "their taints; give it a node selector for the other side"
)


class Unfinished(OutOfTime):
    """Patience or time ran out: `left` are the pods and owners that were waited for."""

    def __init__(self, message: str, left: Sequence[Blocked]) -> None:
        super().__init__(message)
        self.left = tuple(left)


class ObservedCluster(Protocol):
    """What the executor needs of `migration.drain.cluster.Cluster`."""

    @property
    def api(self) -> Api: ...
    def changes(self) -> Changes: ...
    def exact(self) -> View: ...
    def volumes_held(self, staying: Callable[[], Sequence[Pod]]) -> list[str]: ...
    def wait(self, seconds: float) -> None: ...


@dataclass
class Tally:
    """What this run did. `rejected` counts evictions that a budget answered with 429, `throttled` those that the API
    server did because it is busy, `server_errors` answers of 500 and above. `evicting_seconds` lasts from the first
    eviction until the last pod left its node; `bound_seconds` is the least it can take, with the quickest start of each
    limit's pods and their successors as seen by its end."""

    pods: int = 0
    evictions: int = 0
    rejected: int = 0
    restarts: int = 0
    throttled: int = 0
    server_errors: int = 0
    evicting_seconds: float = 0.0
    bound_seconds: float = 0.0


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
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster, self._rules, self._pool = cluster, rules, pool
        self._off, self._pace, self._deadline, self._alive, self._log = off, pace, deadline, alive, log
        self._clock = deadline.clock
        self._pacer = Pacer(pace.per_second, deadline.clock, deadline.sleeper)
        self._in_flight = InFlight(deadline.clock)
        self.tally = tally or Tally()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        # Shared with the workers, under the lock.
        self._evicted: list[str] = []
        self._denied: list[tuple[str, str]] = []
        self._let_go_at: float | None = None
        self._let_go: Counter[str] = Counter()
        self._not_before: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._progress_at = self._clock()
        self._moved: set[str] = set()
        self._restarted: set[str] = set()
        self._credit = 0
        self._in_hand = 0
        # The coordinator's own.
        self._index = Index(rules, View(nodes=frozenset(), pods=(), budgets=(), owners={}))
        self._brake = Brake(self._index, pace, deadline.clock)
        self._window = Window(self._index, self._in_flight, deadline.clock)
        self._terms = Terms(self._index, rules)
        self._reasons = Reasons(self._index, rules, self._brake, wall)
        self._busy: dict[str, Future[None]] = {}
        self._at_first: Counter[str] | None = None
        self._ready_at_first: dict[str, int] = {}
        self._gone = 0
        self._phase: int | None = None
        self._progress: Progress | None = None
        self._told_at = float("-inf")
        self._leaving_since: dict[str, float] = {}

    def run(self) -> list[Blocked]:
        """Empty the nodes; returns what is blocked. Raises `Unfinished` naming what was still on its way."""
        try:
            while True:
                unready = self._sweep()
                self._wait_for_volumes()
                self._deadline.sleep(self._pace.rescan)
                plan = self._plan(self._look(self._cluster.exact))
                leaving = {pod.uid: pod for pod in plan.leaving}
                if not plan.remaining or self._stalled(leaving, len(plan.ending), plan.remaining):
                    return [*plan.blocked, *self._reasons.of(plan), *unready]
                self._log(f"{plan.remaining} more pods found on the nodes; going on")
        finally:
            self._stopping.set()
            self.tally.bound_seconds = max(self._terms.bound_seconds, self.tally.evictions / self._pace.per_second)

    def _look(self, at: Callable[[], View]) -> View:
        """A view, however long the API takes to answer again."""
        return self._deadline.until(at, "the Kubernetes API", pause=1.0)

    def _plan(self, view: View) -> Plan:
        self._mark()
        return plan_drain(view, self._rules, frozenset(self._index.evicted), self._index.denied)

    def _mark(self) -> None:
        """Tell the index whom the workers let go, and who was refused."""
        with self._lock:
            evicted, self._evicted = self._evicted, []
            denied, self._denied = self._denied, []
        if evicted or denied:
            self._index.mark(evicted, [one for one in denied if one[0] not in self._index.denied])

    def _sweep(self) -> list[Blocked]:
        """Until only blocked pods are left, or nothing has moved for too long; returns owners not ready again."""
        index = self._index
        while True:
            self._alive()
            self._collect()
            self._mark()
            self._take_in(self._changes())
            lowest = index.lowest
            unready: list[Blocked] = []
            if self._phase is not None and (lowest is None or lowest > self._phase):
                # Before the next phase, and before the end, whatever moved must be ready on the other side.
                unready = self._unready()
            if not unready:
                self._phase = lowest
                if lowest is None and not index.ending:
                    return []
            self._tell(unready)
            if self._stalled(index.leaving, len(index.ending), index.remaining, unready):
                if unready and lowest is not None:
                    raise Unfinished(f"stopped before {PHASES[lowest]}: " + "; ".join(map(str, unready)), unready)
                return [*self._brake.homeless(), *unready]
            if self._deadline.remaining <= 0:
                left = [*self._brake.homeless(), *self._reasons.of(index.plan()), *unready]
                raise Unfinished(
                    f"gave up after {self._deadline.seconds:g} s with {index.remaining} pods left; run the same again. "
                    f"First of them: " + "; ".join(map(str, left[:5])),
                    left,
                )
            if not unready:
                self._feed()
            self._cluster.wait(LOOK_EVERY)

    def _changes(self) -> Changes:
        """What changed, however long the API takes to answer again."""
        return self._deadline.until(self._cluster.changes, "the Kubernetes API", pause=1.0)

    def _take_in(self, changes: Changes) -> None:
        """Keep the plan current, notice progress, and stop chasing pods that keep coming back."""
        index = self._index
        index.apply(changes)
        for _, budget in changes.budgets:
            if budget is not None:
                self._in_flight.see(budget)
        if index.gone > self._gone:
            self._gone = index.gone
            self._went_on()
            with self._lock:
                if self._let_go_at is not None:
                    self.tally.evicting_seconds = self._clock() - self._let_go_at
        if self._at_first is None:
            self._begin()
        with self._lock:
            moved, evictions = frozenset(self._moved), self.tally.evictions
        credit = self._brake.credit(moved, evictions)
        with self._lock:
            self._credit = credit
        for uid in index.movers.keys() - self._ready_at_first.keys():
            self._ready_at_first[uid] = index.standing(uid).ready
        self._stop_chasing()

    def _begin(self) -> None:
        """Remember what was there before the first eviction."""
        index = self._index
        owners = (one.owner_key for one in index.placed.values())
        self._at_first = Counter(key for key in owners if key)
        self._brake.begin()
        self._terms.begin(index.lanes.values())
        self.tally.pods = len(index.placed)
        self._progress = Progress(pods=len(index.placed), nodes=index.facts.nodes, clock=self._clock)

    def _stop_chasing(self) -> None:
        """Let the pods of an owner be that come back again and again."""
        first = self._at_first or Counter[str]()
        with self._lock:
            chased = {key for key, count in self._let_go.items() if count > RETURNS * first[key] + SOME}
        if not chased:
            return
        why = (
            "its pods keep starting on the nodes being emptied, so they tolerate their taints; "
            "give them a node selector for the other side"
        )
        index = self._index
        index.mark(
            denied=[
                (uid, why) for uid, one in index.placed.items() if one.owner_key in chased and uid not in index.denied
            ]
        )

    def _unready(self) -> list[Blocked]:
        """Owners of moved pods that don't have as many ready as they had, or as they want by now."""
        found: list[Blocked] = []
        for uid, first in self._ready_at_first.items():
            owner, ready = self._index.owners.get(uid), self._index.standing(uid).ready
            if owner is None or owner.kind not in LASTING:
                continue
            count = min(owner.desired or 0, first)
            if ready < count:
                reason = f"only {ready} of {count} ready again after its move{self._brake.no_node(owner.key)}"
                found.append(Blocked(pod=owner.key, owner=owner.key, budget="", reason=reason))
        return sorted(found, key=lambda one: one.owner)

    def _feed(self) -> None:
        """Hand out lanes that may go, in their order: what decides when the drain ends goes first."""
        now, index = self._clock(), self._index
        with self._lock:
            if self._credit <= 0:
                return
        ready = [lane for key in index.open if (lane := index.lanes[key]).phase == self._phase and self._idle(key, now)]
        with self._lock:
            room = self._window.room(self._lanes(), self._in_hand)
            if room is not None:
                self._credit = min(self._credit, room + self._in_hand)
            left = self._credit - self._in_hand
        for lane in sorted(ready, key=self._before):
            if len(self._busy) >= self._pace.width or left <= 0:
                break
            if pods := self._may_go(lane)[:left]:
                left -= len(pods)
                with self._lock:
                    self._in_hand += len(pods)
                self._busy[lane.key] = self._pool.submit(self._work, lane, pods)
        for restart in index.restarts.values():
            key = f"restart {restart.owner.key}"
            if restart.phase == self._phase and self._idle(key, now):
                self._busy[key] = self._pool.submit(self._restart, key, restart)

    def _before(self, lane: Lane) -> tuple[bool, float, str]:
        """The order of lanes: where names come back first, and then the longest chain."""
        return not self._window.first(lane), -self._terms.of(lane).seconds, lane.key

    def _lanes(self) -> list[Lane]:
        """This phase's, open and closed."""
        return [lane for lane in self._index.lanes.values() if lane.phase == self._phase]

    def _may_go(self, lane: Lane) -> list[Pod]:
        """Who of a lane may go now: what the watch shows of its budget, less what isn't in that yet."""
        allowed = lane.allowed - (self._in_flight.unseen(lane.key) if lane.budget is not None else 0)
        return [*lane.free[: lane.free_allowed], *lane.pods[: max(0, allowed)]]

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

    def _work(self, lane: Lane, pods: Sequence[Pod]) -> None:
        """A lane's one writer: evict these, one after the other."""
        left = len(pods)
        free = {pod.uid for pod in lane.free}
        try:
            for pod in pods:
                self._pacer.take()
                if self._stopping.is_set() or not self._spend():
                    return
                left -= 1
                self._alive()
                answer = self._evict(lane.key, pod, counted=lane.budget is not None and pod.uid not in free)
                self._take(pod, owner_of(pod, self._index.facts), answer)
                if answer.outcome is Outcome.THROTTLED:
                    return
                if answer.outcome in (Outcome.REFUSED, Outcome.LATER):
                    self._later(lane.key, answer.retry_after)
                    return
            with self._lock:
                self._pauses.pop(lane.key, None)
        finally:
            with self._lock:
                self._in_hand -= left

    def _evict(self, key: str, pod: Pod, *, counted: bool) -> Answer:
        """One eviction, timed; `counted` where the API server writes it into the budget `key`."""
        if counted:
            self._in_flight.send(key, pod)
        began, let_go = self._clock(), False
        try:
            answer = evict(self._cluster.api, pod)
            let_go = answer.outcome is Outcome.EVICTED
        finally:
            if counted:
                self._in_flight.answer(key, pod, let_go=let_go)
        self._pacer.answered(self._clock() - began, busy=answer.busy, retry_after=answer.retry_after)
        return answer

    def _spend(self) -> bool:
        """Whether one more pod may leave before the next look; it is in hand no more then."""
        with self._lock:
            self._credit -= 1
            self._in_hand -= self._credit >= 0
            return self._credit >= 0

    def _take(self, pod: Pod, owner: Owner | None, answer: Answer) -> None:
        with self._lock:
            if answer.outcome is Outcome.EVICTED:
                self.tally.evictions += 1
                if self._let_go_at is None:
                    self._let_go_at = self._clock()
                if owner is not None:
                    self._let_go[owner.key] += 1
                    self._moved.add(owner.uid)
            if answer.outcome in (Outcome.EVICTED, Outcome.GONE):
                self._evicted.append(pod.uid)
                self._progress_at = self._clock()
            elif answer.outcome is Outcome.REFUSED:
                self.tally.rejected += 1
            elif answer.outcome is Outcome.THROTTLED:
                self.tally.throttled += 1
            elif answer.outcome is Outcome.DENIED:
                self._denied.append((pod.uid, answer.reason))
            self.tally.server_errors += answer.failed

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
                self._denied += [(pod.uid, step.reason) for pod in restart.pods]
        if step.do != "restart":
            return
        with self._lock:
            if owner.key in self._restarted or (step.again and all(pod.tolerates for pod in restart.pods)):
                self._denied += [(pod.uid, CAME_BACK) for pod in restart.pods]
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
        self._went_on()
        self._log(f"{owner.key} is moved by a rolling restart: its budget {restart.budget} never allows an eviction")

    def _later(self, key: str, seconds: float = 0.0, *, grow: bool = True) -> None:
        with self._lock:
            pause = self._pauses.get(key, self._pace.back_off)
            self._not_before[key] = self._clock() + max(seconds, pause if grow else 0.0)
            if grow:
                self._pauses[key] = min(self._pace.longest_back_off, pause * 2)

    def _went_on(self) -> None:
        with self._lock:
            self._progress_at = self._clock()

    def _stalled(
        self, leaving: Mapping[str, Pod], ending: int, remaining: int, unready: Sequence[Blocked] = ()
    ) -> bool:
        """Whether nothing has moved for too long. Neither a pod within its grace period nor a Job's is a stall."""
        now = self._clock()
        since = self._leaving_since
        self._leaving_since = {uid: since.get(uid, now) for uid in leaving}
        ends = [self._leaving_since[uid] + pod.grace_seconds for uid, pod in leaving.items()]
        with self._lock:
            at = max([self._progress_at, *(min(end, now) for end in ends)])
        only_jobs = bool(ending) and remaining == ending and not unready
        return now - at > self._pace.stall and not only_jobs

    def _staying(self) -> list[Pod]:
        view = self._look(self._cluster.exact)
        return [pod for pod in view.pods if pod.node in view.nodes and not pod.finished]

    def _wait_for_volumes(self) -> None:
        """Until no volume of a moved pod is attached to the nodes: its pod elsewhere needs it."""
        told = self._clock()

        def detached() -> bool:
            nonlocal told
            self._alive()
            held = self._cluster.volumes_held(self._staying)
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

    def _tell(self, unready: Sequence[Blocked]) -> None:
        index, progress = self._index, self._progress
        if progress is None or self._clock() - self._told_at < TELL_EVERY:
            return
        self._told_at = self._clock()
        lanes = self._lanes()
        waiting = self._reasons.now(lanes, unready)
        name = "ingress pods" if self._rules.tier == "ingress" else PHASES[self._phase or 0]
        terms = [self._terms.of(lane) for lane in lanes]
        said = progress.say(gone=index.gone, left=index.remaining, full=len(index.on_node), terms=terms)
        self._log(
            f"{name}: {said}; {self.tally.evictions} evicted, {index.blocked_count} blocked, at most "
            f"{self._pacer.rate:g}/s" + (f"; {waiting}" if waiting else "")
        )
