"""What the idle cluster shows of itself before any drain: a round of single evictions (r_b), and its pace (q)."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.kubernetes.access import ApiError, ready
from lab.kubernetes.follow import Api, Mirror, Name
from lab.workload.objects import deployment, pod_template
from rehearsal.benches.drain import metrics
from rehearsal.benches.drain.model import Single, Step
from rehearsal.benches.drain.world import NAMESPACE, START, Workload, World

STAGGER_S = 0.5
SINGLE_S = 120.0
P99_S = 1.0
"""The aim for writes; q is the rate that keeps it."""
SUSTAINED = 0.85
"""A rate counts as sustained where so much of it was reached."""
THROWAWAY = "bench-pace"
READY_S = 1.0
STEP_S = 6.0
STEP_PATIENCE_S = 120.0
FIRST_RATE = 4.0
LEAST_RATE = 0.5
GROWTH = 1.5
MOST_RATE = 512.0


class IdleError(Exception):
    """The cluster couldn't be calibrated; the message says why."""


def sample(world: World, count: int) -> list[Workload]:
    """Workloads of both kinds, spread over their ready times: of each kind half of `count`, at least one."""
    found: list[Workload] = []
    for stateful in (False, True):
        ones = sorted((one for one in world.workloads if one.stateful is stateful), key=lambda one: one.ready_s)
        few = min(len(ones), max(1, count // 2))
        found += [ones[index * len(ones) // few] for index in range(few)]
    return found


async def singles(kubeconfig: Path, world: World, count: int) -> list[Single]:
    """Evict one pod of each of some workloads: seconds until its budget allows as many as before.

    They are of different budgets and begin one after the other, so none waits for another. Raises IdleError, ApiError.
    """
    api = Api(kubeconfig)
    budgets: dict[Name, int] = {}
    changed = asyncio.Condition()
    tasks: set[asyncio.Task[None]] = set()

    async def tell() -> None:
        async with changed:
            changed.notify_all()

    def seen(name: Name, before: int | None, after: int | None) -> None:
        task = asyncio.create_task(tell())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    path = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
    mirror = asyncio.create_task(Mirror(api, path, _allowed, budgets, seen).run())

    async def allows(one: Workload, wanted: Callable[[int], bool]) -> None:
        async with changed:
            await changed.wait_for(lambda: wanted(budgets.get((NAMESPACE, one.name), -1)))

    async def measure(one: Workload, delay: float) -> Single:
        await asyncio.sleep(delay)
        async with asyncio.timeout(SINGLE_S):
            await allows(one, lambda now: now == one.allowed)
            pod = (await _pods(api, NAMESPACE, one.name))[0]
            began = time.monotonic()
            await _evict(api, pod)
            await allows(one, lambda now: now < one.allowed)
            await allows(one, lambda now: now == one.allowed)
        return Single(
            workload=one.name,
            stateful=one.stateful,
            seeded=round(one.seeded_s, 3),
            measured=round(time.monotonic() - began, 3),
        )

    try:
        chosen = sample(world, count)
        return list(await asyncio.gather(*(measure(one, STAGGER_S * n) for n, one in enumerate(chosen))))
    except TimeoutError:
        raise IdleError(f"a budget wasn't open again {SINGLE_S:.0f} s after a single eviction") from None
    finally:
        mirror.cancel()
        await asyncio.gather(mirror, *tasks, return_exceptions=True)
        await api.close()


def pace(arrivals: Sequence[float]) -> float:
    """Arrivals a second, without the first and the last tenth: neither the start nor a straggler decides. Pure."""
    tenth = len(arrivals) // 10
    first, last = tenth, len(arrivals) - 1 - tenth
    seconds = arrivals[last] - arrivals[first]
    return (last - first) / seconds if seconds > 0 else math.inf


def next_rate(steps: Sequence[Step]) -> float | None:
    """What to try after these; None where the end was found. Pure.

    Up while it is sustained; down while nothing has been yet and writes are too slow.
    """
    last = steps[-1]
    if _sustained(last):
        up = last.asked * GROWTH
        # Once it went down, what is above is known.
        return up if up <= MOST_RATE and all(step.asked <= last.asked for step in steps) else None
    down = last.asked / 2
    return down if last.p99 > P99_S and down >= LEAST_RATE and all(step.p99 > P99_S for step in steps) else None


def judged(steps: Sequence[Step]) -> tuple[float, bool]:
    """q, and whether the ramp found its end: the highest rate kept with writes within the limit. Pure.

    What came of a step that was too fast counts as well: that many pods a second were replaced.

    Raises IdleError where not even the first step was.
    """
    good = [step.sustained for step in steps if step.p99 <= P99_S]
    top = max(steps, key=lambda step: step.asked)
    if not good:
        raise IdleError(f"even {steps[-1].asked:g} evictions a second make writes slower than {P99_S:g} s at p99")
    return max(good), not _sustained(top)


def _sustained(step: Step) -> bool:
    return step.p99 <= P99_S and step.sustained >= SUSTAINED * step.asked


@dataclass
class Pace:
    """Throwaway pods without a budget, evicted at growing rates until the cluster doesn't keep up."""

    kubeconfig: Path
    members: Sequence[Path]
    pods: int
    step_s: float = STEP_S
    _ready: dict[Name, str] = field(default_factory=dict[Name, str])
    """Pods that are ready and not ending, by name: their UIDs."""
    _arrivals: list[float] = field(default_factory=list[float])
    """When a pod became ready, since the step began."""

    async def steps(self) -> list[Step]:
        """One step after the other, until one wasn't sustained. Raises IdleError, ApiError."""
        api = Api(self.kubeconfig)
        await self._make(api)
        path = f"/api/v1/namespaces/{THROWAWAY}/pods"
        mirror = asyncio.create_task(Mirror(api, path, _living, self._ready, self._changed).run())
        found: list[Step] = []
        try:
            rate = FIRST_RATE
            while rate is not None:
                await self._full()
                found.append(await self._step(api, rate))
                rate = next_rate(found)
        finally:
            mirror.cancel()
            await asyncio.gather(mirror, return_exceptions=True)
            await api.call("DELETE", f"/api/v1/namespaces/{THROWAWAY}")
            await self._gone(api)
            await api.close()
        return found

    def _changed(self, name: Name, before: str | None, after: str | None) -> None:
        if after is not None:
            self._arrivals.append(time.monotonic())

    async def _make(self, api: Api) -> None:
        """Raises ApiError."""
        await self._gone(api)
        await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": THROWAWAY}})
        pod = pod_template(THROWAWAY, annotations={START: f"{READY_S:g}s"}, terminationGracePeriodSeconds=1)
        wanted = deployment(THROWAWAY, THROWAWAY, self.pods, pod)
        await api.call("POST", f"/apis/apps/v1/namespaces/{THROWAWAY}/deployments", wanted)

    async def _gone(self, api: Api) -> None:
        end = time.monotonic() + STEP_PATIENCE_S
        while time.monotonic() < end:
            try:
                await api.call("GET", f"/api/v1/namespaces/{THROWAWAY}")
            except ApiError as error:
                if error.code == 404:
                    return
                raise
            await asyncio.sleep(0.5)
        raise IdleError(f"namespace {THROWAWAY} isn't gone after {STEP_PATIENCE_S:.0f} s")

    async def _full(self) -> None:
        end = time.monotonic() + STEP_PATIENCE_S
        while len(self._ready) < self.pods:
            if time.monotonic() > end:
                raise IdleError(f"{len(self._ready)} of {self.pods} pods were ready {STEP_PATIENCE_S:.0f} s later")
            await asyncio.sleep(0.05)

    async def _step(self, api: Api, rate: float) -> Step:
        """Evict at this rate for some seconds, and see at which rate what replaces them becomes ready."""
        count = max(10, min(self.pods, round(rate * self.step_s)))
        victims = list(self._ready.items())[:count]
        before = await asyncio.to_thread(metrics.read, self.members)
        self._arrivals.clear()
        began = time.monotonic()

        async def evict(number: int, name: Name, uid: str) -> None:
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            await _evict(api, {"metadata": {"namespace": name[0], "name": name[1], "uid": uid}})

        async with asyncio.TaskGroup() as group:
            for number, (name, uid) in enumerate(victims):
                group.create_task(evict(number, name, uid))
        end = time.monotonic() + STEP_PATIENCE_S
        while len(self._arrivals) < count:
            if time.monotonic() > end:
                raise IdleError(f"{len(self._arrivals)} of {count} pods were replaced {STEP_PATIENCE_S:.0f} s later")
            await asyncio.sleep(0.05)
        after = await asyncio.to_thread(metrics.read, self.members)
        latency = after.since(before).latency()
        if latency is None:
            raise IdleError("the API servers count no writes: their metrics aren't what they were")
        return Step(
            asked=round(rate, 2),
            evictions=count,
            sustained=round(min(rate, pace(self._arrivals[:count])), 2),
            p99=latency.p99,
        )


async def _pods(api: Api, namespace: str, app: str) -> list[dict[str, Any]]:
    path = f"/api/v1/namespaces/{namespace}/pods"
    return (await api.call("GET", path, query={"labelSelector": f"app={app}"}))["items"]


async def _evict(api: Api, pod: Mapping[str, Any]) -> None:
    meta = pod["metadata"]
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
        "deleteOptions": {"preconditions": {"uid": meta["uid"]}},
    }
    await api.call("POST", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction", body)


def _allowed(item: Mapping[str, Any]) -> int:
    status = item.get("status") or {}
    return int(status.get("disruptionsAllowed", -1))


def _living(item: Mapping[str, Any]) -> str | None:
    return item["metadata"]["uid"] if ready(item) and not item["metadata"].get("deletionTimestamp") else None
