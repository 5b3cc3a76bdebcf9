"""The independent witness of a run: every budget and every pod followed by watches, and beats that prove it sees.

A violation is told twice over: by a budget's own status (as the proof does), and by the pods, whose watch is the
cluster's history in its order. Beats are changes of two objects nobody else touches: a watch that doesn't bring them is
blind, and what it didn't see counts as not measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.kubernetes.access import ApiError, ready
from lab.kubernetes.follow import Api
from migration.clients.asynchronous import AsyncKubernetes
from migration.clients.kubeconfig import read_kubeconfig
from migration.clients.kubernetes import BUDGETS, PODS
from proof.budgets import BudgetBook, BudgetSeen, read_budget
from proof.follow import Follower
from rehearsal.benches.drain.model import Breach, Latency, Left
from rehearsal.benches.drain.world import NAMESPACE, OLD, World

SPACE = "bench-watch"
CANARY = "canary"
BEAT = "bench/beat"
BEAT_S = 1.0
PROBE_S = 0.2
BLIND_S = 15.0
"""So far behind a watch may be. Events of 25 pods a second come within a second on a saturated machine."""
READY_S = 60.0
LAST = 10**9
"""The number of the beat after all others."""
MERGE = "application/merge-patch+json"


class Unseen(Exception):
    """The watches didn't begin; the message says which."""


@dataclass(frozen=True, kw_only=True)
class PodSeen:
    """A pod in one event."""

    uid: str
    app: str
    beat: int | None
    old: bool
    healthy: bool


@dataclass(frozen=True, kw_only=True)
class BudgetBeat:
    """A budget in one event."""

    budget: BudgetSeen
    beat: int | None


@dataclass
class PodBook:
    """What the pods' history says: who of those on old nodes is left, and how many of each workload are healthy. Pure.

    `desired`: by workload, how many have to be healthy.
    """

    desired: Mapping[str, int]
    left: set[str] = field(default_factory=set[str])
    began: int = 0
    history: list[Left] = field(default_factory=list[Left])
    breaches: list[Breach] = field(default_factory=list[Breach])
    _healthy: dict[str, str] = field(default_factory=dict[str, str])
    _counts: Counter[str] = field(default_factory=Counter[str])
    _low: set[str] = field(default_factory=set[str])
    _met: set[str] = field(default_factory=set[str])

    def listed(self, pods: list[PodSeen], at: float) -> None:
        """The first list: what counts from here on."""
        for pod in pods:
            self._count(pod)
            if pod.old and pod.app in self.desired:
                self.left.add(pod.uid)
        self.began = len(self.left)
        self._met = {app for app, desired in self.desired.items() if self._counts[app] >= desired}
        self.history.append(Left(at=at, pods=self.began))

    def seen(self, kind: str, pod: PodSeen, at: float) -> None:
        """One event, in the order in which the API made them."""
        gone = kind == "DELETED"
        self._count(pod, gone=gone)
        if gone and pod.uid in self.left:
            self.left.discard(pod.uid)
            self.history.append(Left(at=at, pods=len(self.left)))
        app = pod.app
        if app not in self._met:
            return
        if self._counts[app] >= self.desired[app]:
            self._low.discard(app)
        elif app not in self._low:
            self._low.add(app)
            self.breaches.append(
                Breach(
                    source="pods",
                    budget=f"{NAMESPACE}/{app}",
                    at=round(at, 3),
                    healthy=self._counts[app],
                    desired=self.desired[app],
                )
            )

    @property
    def unmet(self) -> list[str]:
        """Workloads that were short of pods at the start."""
        return sorted(self.desired.keys() - self._met)

    def _count(self, pod: PodSeen, *, gone: bool = False) -> None:
        was = self._healthy.pop(pod.uid, None)
        if was is not None:
            self._counts[was] -= 1
        if pod.healthy and not gone:
            self._healthy[pod.uid] = pod.app
            self._counts[pod.app] += 1


@dataclass
class Beats:
    """How far behind a watch is, by beats sent and seen. Pure; seconds of one clock."""

    sent: dict[int, float] = field(default_factory=dict[int, float])
    behind: float = 0.0
    last: int = 0

    def send(self, beat: int, at: float) -> None:
        """This one was made at that time; its event may have come before the answer."""
        if beat > self.last:
            self.sent[beat] = at

    def see(self, beat: int | None, at: float) -> None:
        """This one has come, and so has everything before it."""
        if beat is None:
            return
        self.last = max(self.last, beat)
        for older in [one for one in self.sent if one <= beat]:
            self.behind = max(self.behind, at - self.sent.pop(older))

    def lag(self, now: float) -> float:
        """The longest so far, with what is still awaited."""
        return max([self.behind, *(now - at for at in self.sent.values())])


class Watcher:
    """Follows everything for as long as `watching` lasts, which is where its clock begins."""

    def __init__(self, kubeconfig: Path, world: World) -> None:
        self._config = read_kubeconfig(str(kubeconfig))
        # Each watch has a client of its own: a connection that breaks is that one's alone.
        self.clients = {name: AsyncKubernetes(self._config, timeout=30.0) for name in ("budgets", "pods")}
        self._writer = Api(kubeconfig)
        self._zero = time.monotonic()
        self._ended: float | None = None
        self.book = BudgetBook()
        self.pods = PodBook({one.name: one.desired for one in world.workloads})
        self.beats = {"budgets": Beats(), "pods": Beats()}
        self.samples: list[float] = []
        self.trouble: list[str] = []
        self._relisted: list[str] = []
        self._listed = False
        self._followers = {
            "budgets": Follower(
                self.clients["budgets"],
                BUDGETS,
                read=_budget,
                listed=self._budgets_listed,
                seen=self._budget_seen,
                relisted=lambda detail: self._relisted.append(f"budgets ({detail})"),
            ),
            "pods": Follower(
                self.clients["pods"],
                PODS,
                read=_pod,
                listed=self._pods_listed,
                seen=self._pod_seen,
                relisted=lambda detail: self._relisted.append(f"pods ({detail})"),
            ),
        }

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Everything is followed within. At the end a last beat has to arrive. Raises Unseen, ApiError."""
        await self._canaries()
        self._zero = time.monotonic()
        tasks = [asyncio.create_task(follower.run()) for follower in self._followers.values()]
        try:
            async with asyncio.timeout(READY_S):
                for follower in self._followers.values():
                    await follower.ready.wait()
            if self.pods.unmet or self.book.unmet_at_start:
                raise Unseen(f"not met at the start: {', '.join(self.pods.unmet or self.book.unmet_at_start)}")
            tasks += [asyncio.create_task(self._beat()), asyncio.create_task(self._probe())]
            yield
            await self._caught_up(tasks[2])
        except TimeoutError:
            missing = [name for name, follower in self._followers.items() if not follower.ready.is_set()]
            raise Unseen(f"no list of {' and '.join(missing)} within {READY_S:.0f} s") from None
        finally:
            self._ended = time.monotonic()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._writer.close()
            for client in self.clients.values():
                await client.close()

    @property
    def now(self) -> float:
        """Seconds since `watching` began; it stands still where that has ended."""
        return (time.monotonic() if self._ended is None else self._ended) - self._zero

    @property
    def blind(self) -> float:
        """The longest time that a watch was behind, in seconds."""
        return max(beats.lag(self.now) for beats in self.beats.values())

    def violations(self) -> tuple[Breach, ...]:
        """All, by both sources."""
        by_status = [
            Breach(
                source="removed" if below.removed else "status",
                budget=below.budget,
                at=round(below.begin, 3),
                healthy=below.current,
                desired=below.desired,
            )
            for below in self.book.violations
        ]
        return (*by_status, *self.pods.breaches)

    def reasons(self) -> list[str]:
        """Why what was seen isn't to be believed; empty where it is."""
        found = list(self.trouble)
        for name, beats in self.beats.items():
            if (lag := beats.lag(self.now)) > BLIND_S:
                found.append(f"the watch of {name} was blind for {lag:.0f} s: what happened meanwhile isn't known")
        found += [f"the watch had to begin anew, and missed what was between: {one}" for one in self._relisted]
        if self.book.watched < len(self.pods.desired):
            found.append(f"only {self.book.watched} of {len(self.pods.desired)} budgets were watched")
        return found

    def latency(self) -> Latency | None:
        """Of the prober's writes; None where it made none."""
        if not self.samples:
            return None
        ordered = sorted(self.samples)
        return Latency(
            samples=len(ordered),
            p50=round(ordered[len(ordered) // 2], 4),
            p99=round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 4),
            worst=round(ordered[-1], 4),
        )

    def _budgets_listed(self, found: list[BudgetBeat]) -> None:
        self.book.listed([one.budget for one in found if _ours(one)], self.now)

    def _budget_seen(self, kind: str, one: BudgetBeat) -> None:
        self.beats["budgets"].see(one.beat, self.now)
        if _ours(one):
            self.book.seen(kind, one.budget, self.now)

    def _pods_listed(self, found: list[PodSeen]) -> None:
        if not self._listed:
            self._listed = True
            self.pods.listed(found, self.now)

    def _pod_seen(self, kind: str, pod: PodSeen) -> None:
        self.beats["pods"].see(pod.beat, self.now)
        self.pods.seen(kind, pod, self.now)

    async def _canaries(self) -> None:
        """A budget and a pod that only this watcher changes, and what the prober writes to."""
        pod = {"containers": [{"name": "none", "image": "none"}], "schedulerName": "nobody"}
        for path, kind, body in (
            ("/api/v1/namespaces", "Namespace", {"metadata": {"name": SPACE}}),
            (_path("policy/v1", "poddisruptionbudgets"), "PodDisruptionBudget", {"spec": {"minAvailable": 0}}),
            (_path("v1", "pods"), "Pod", {"spec": pod}),
            (_path("v1", "configmaps"), "ConfigMap", {"data": {"n": "0"}}),
        ):
            version = "policy/v1" if kind == "PodDisruptionBudget" else "v1"
            whole = {"apiVersion": version, "kind": kind, "metadata": {"name": CANARY}, **body}
            await self._create(path, whole)

    async def _create(self, path: str, body: Mapping[str, Any]) -> None:
        end = time.monotonic() + READY_S
        while True:
            try:
                await self._writer.call("POST", path, body)
                return
            except ApiError as error:
                if error.code == 409:
                    return
                # A new namespace has no service account yet: 403.
                if error.code != 403 or time.monotonic() > end:
                    raise
                await asyncio.sleep(0.5)

    async def _beat(self) -> None:
        beat = 0
        while True:
            beat += 1
            await self._send(beat)
            await asyncio.sleep(BEAT_S)

    async def _send(self, beat: int) -> None:
        body = {"metadata": {"annotations": {BEAT: str(beat)}}}
        paths = {"budgets": _path("policy/v1", "poddisruptionbudgets"), "pods": _path("v1", "pods")}
        for name, path in paths.items():
            at = self.now
            try:
                await self._writer.call("PATCH", f"{path}/{CANARY}", body, content=MERGE)
            except ApiError as error:
                self.trouble.append(f"a beat of {name} couldn't be sent: {error}")
                continue
            self.beats[name].send(beat, at)

    async def _probe(self) -> None:
        """Writes at a fixed rate, each timed; a slow one doesn't hold the next one up."""
        path = f"{_path('v1', 'configmaps')}/{CANARY}"
        count = 0
        async with asyncio.TaskGroup() as group:
            while True:
                count += 1
                group.create_task(self._write(path, count))
                await asyncio.sleep(PROBE_S)

    async def _write(self, path: str, count: int) -> None:
        began = time.monotonic()
        try:
            await self._writer.call("PATCH", path, {"data": {"n": str(count)}}, content=MERGE)
        except ApiError as error:
            self.trouble.append(f"a write of the prober failed: {error}")
        self.samples.append(time.monotonic() - began)

    async def _caught_up(self, beating: asyncio.Task[None]) -> None:
        """The last beat shows that everything before it was seen."""
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await self._send(LAST)
        end = time.monotonic() + BLIND_S + BEAT_S
        while any(beats.sent for beats in self.beats.values()) and time.monotonic() < end:
            await asyncio.sleep(0.1)


def _path(version: str, plural: str) -> str:
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{SPACE}/{plural}"


def _ours(one: BudgetBeat) -> bool:
    return one.budget.name.startswith(f"{NAMESPACE}/")


def _beat_of(item: Mapping[str, Any]) -> int | None:
    found = (item["metadata"].get("annotations") or {}).get(BEAT)
    return None if found is None else int(found)


def _budget(item: dict[str, Any]) -> BudgetBeat:
    return BudgetBeat(budget=read_budget(item), beat=_beat_of(item))


def _pod(item: dict[str, Any]) -> PodSeen:
    meta = item["metadata"]
    ours = meta.get("namespace") == NAMESPACE
    return PodSeen(
        uid=meta["uid"],
        app=(meta.get("labels") or {}).get("app", "") if ours else "",
        beat=_beat_of(item),
        old=str((item.get("spec") or {}).get("nodeName", "")).startswith(f"{OLD}-"),
        healthy=not meta.get("deletionTimestamp") and ready(item),
    )
