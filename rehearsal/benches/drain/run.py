"""One run of a command with everything that watches it, and what it came to."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from lab.bare.cluster import Bare, group_of
from lab.kubernetes.access import ApiError
from migration.clients.kubernetes import PODS
from rehearsal.benches.drain import metrics
from rehearsal.benches.drain.commands import Command
from rehearsal.benches.drain.metrics import CREATED, REFUSED, Counts
from rehearsal.benches.drain.model import Cpu, Left, Run
from rehearsal.benches.drain.state import State
from rehearsal.benches.drain.watch import Unseen, Watcher
from rehearsal.benches.drain.world import NAMESPACE, OLD, World

MEMORY_EVERY_S = 2.0
POINTS = 400
"""So many points of the pods' history are kept."""
GROUPS: Mapping[str, str] = {"api": "apiservers", "controller-manager": "controllers"}
"""Names of a cluster's groups of processes in `Cpu`, where they differ."""


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """What a run needs besides its command."""

    bare: Bare
    state: State
    world: World
    program: str
    sitting: str

    async def measure(self, name: str, command: Command) -> Run:
        """Run the command once, watched. What couldn't be seen is in the run's `trouble`."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        watcher = Watcher(self.bare.kubeconfig, self.world)
        trouble: list[str] = []
        try:
            async with watcher.watching():
                before, used = await self._counts(), self._used()
                memory = _Memory(self.bare)
                began = watcher.now
                async with memory.looked_at():
                    ended = await command()
                spent = Counter(self._used())
                spent.subtract(used)
                wall = ended.seconds
                counted = (await self._counts()).since(before)
        except (Unseen, ApiError) as error:
            raise Unmeasured(f"{name}: {error}") from error
        trouble += [*ended.trouble, *watcher.reasons(), *self._contradictions(watcher, counted)]
        left = watcher.pods.history
        return Run(
            program=self.program,
            sitting=self.sitting,
            at=at,
            name=name,
            world=self.world,
            wall=round(wall, 3),
            emptied=round(left[-1].at - began, 3) if left[-1].pods == 0 else None,
            pods=watcher.pods.began - left[-1].pods,
            evictions=counted.evictions[CREATED],
            refused=counted.evictions[REFUSED],
            violations=watcher.violations(),
            watched=watcher.book.watched,
            blind=round(watcher.blind, 3),
            prober=watcher.latency(),
            server=counted.latency(),
            cpu=Cpu(**{key: round(value, 2) for key, value in spent.items()}),
            memory_mb=None if ended.memory_mb is None else round(ended.memory_mb, 1),
            cluster_mb=round(memory.peak_mb, 1),
            left=thinned([Left(at=round(one.at - began, 3), pods=one.pods) for one in left]),
            told=ended.told,
            trouble=tuple(trouble),
        )

    async def _counts(self) -> Counts:
        return await asyncio.to_thread(metrics.read, self.bare.members)

    def _used(self) -> dict[str, float]:
        """CPU seconds so far, by group; commands are children that have ended."""
        used = dict.fromkeys(Cpu.model_fields, 0.0)
        for name, identity in self.bare.processes().items():
            spent = psutil.Process(identity.pid).cpu_times()
            group = group_of(name)
            used[GROUPS.get(group, group)] += spent.user + spent.system
        children, own = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
        used["commands"] = children.ru_utime + children.ru_stime
        used["bench"] = own.ru_utime + own.ru_stime
        return used

    def _contradictions(self, watcher: Watcher, counted: Counts) -> list[str]:
        """What a second source says against what the watch saw."""
        found: list[str] = []
        if ended := self.bare.ended():
            found.append(f"{', '.join(ended)} ended during the run")
        if counted.went_back:
            found.append("an API server's counters went back: it began anew during the run")
        if watcher.pods.began != self.world.pods:
            found.append(f"{watcher.pods.began} of {self.world.pods} pods were on old nodes when it began")
        pods = self.state.kube.list(PODS, NAMESPACE)
        there = [item for item in pods if str((item.get("spec") or {}).get("nodeName", "")).startswith(f"{OLD}-")]
        if len(there) != watcher.pods.history[-1].pods:
            seen = watcher.pods.history[-1].pods
            found.append(f"a list has {len(there)} pods on old nodes, the watch {seen}")
        if there:
            found.append(f"{len(there)} pods are still on old nodes")
        gone = watcher.pods.began - watcher.pods.history[-1].pods
        if counted.evictions[CREATED] < gone:
            found.append(f"{gone} pods went, but the API servers count {counted.evictions[CREATED]} evictions")
        return found


@dataclass
class _Memory:
    """The cluster's memory while something runs."""

    bare: Bare
    peak_mb: float = 0.0

    @contextlib.asynccontextmanager
    async def looked_at(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._look())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            found = self.bare.processes().values()
            # What ended meanwhile is told by the run itself.
            with contextlib.suppress(psutil.NoSuchProcess):
                now = sum(psutil.Process(identity.pid).memory_info().rss for identity in found) / 2**20
                self.peak_mb = max(self.peak_mb, now)
            await asyncio.sleep(MEMORY_EVERY_S)


class Unmeasured(Exception):
    """A run that nobody could watch; the message says which and why."""


def thinned(points: list[Left]) -> tuple[Left, ...]:
    """No more than `POINTS`, the first and the last among them."""
    step = max(1, -(-len(points) // POINTS))
    kept = points[::step]
    return tuple(kept if kept[-1] is points[-1] else [*kept, points[-1]])
