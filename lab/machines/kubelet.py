"""The part of a kubelet that follows a folder of manifests and runs what they say.

A file that comes is started, one that changes is ended and started anew, one that goes is ended; whatever ends by
itself is started again. While the kubelet is stopped nobody follows, and what runs goes on, as containers do.
https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.machines.manifests import ManifestError, StaticPod, Where, read_manifest
from lab.machines.processes import Ledger
from lab.machines.services import Service, ended
from lab.machines.units import Unit

log = logging.getLogger(__name__)
NOTE = "static-pods.json"
"""Beside the machine's root: which manifest (its digest) each pod's processes belong to."""
CONTAINER = "pod-"
"""What the names of containers' processes and logs begin with."""
STRANGER_S = 5.0
"""What a container without a manifest gets to end by itself."""

Stamps = dict[str, tuple[int, int, int]]


@dataclass
class Pod:
    """What one manifest has become."""

    digest: str
    static: StaticPod | None = None
    """None where the manifest can't be run."""
    services: dict[str, Service] = field(default_factory=dict)
    error: str | None = None
    begun: bool = False
    ending: bool = False
    task: asyncio.Task[None] | None = None
    """Its worker, at its beginning and its end: a pod that takes its time keeps no other one waiting."""


@dataclass
class StaticPods:
    """The static pods of one machine. `make` gives the service of a unit."""

    machine: str
    manifests: Path
    where: Where
    ledger: Ledger
    make: Callable[[Unit], Service]
    pods: dict[str, Pod] = field(default_factory=dict)
    """By the manifest's file name, in the order they came."""
    _first: bool = True
    _stamps: Stamps | None = None
    _digests: dict[str, str] = field(default_factory=dict)

    @property
    def services(self) -> dict[str, Service]:
        return {name: service for pod in self.pods.values() for name, service in pod.services.items()}

    async def tick(self) -> None:
        """One look at the folder, and at what runs. Called a few times a second; never waits for a pod."""
        noted = self._noted() if self._first else {}
        digests = self._look()
        for name, pod in list(self.pods.items()):
            if pod.ending and pod.task is not None and pod.task.done():
                del self.pods[name]
            elif pod.begun and not pod.ending and digests.get(name) != pod.digest:
                pod.ending = True
                pod.task = asyncio.create_task(self._end(name, pod))
        for name, digest in digests.items():
            if name not in self.pods:
                pod = self.pods[name] = Pod(digest)
                pod.task = asyncio.create_task(self._begin(name, pod, adopt=noted.get(name) == digest))
        if self._first:
            self._first = False
            await asyncio.gather(*(pod.task for pod in self.pods.values() if pod.task is not None))
            await self._end_strangers()
        for name, pod in self.pods.items():
            if pod.begun and not pod.ending and pod.static is not None:
                await self._keep(name, pod, pod.static)

    def _look(self) -> dict[str, str]:
        """File name → digest of its content. What is just being written counts once it rests for one look."""
        stamps: Stamps = {}
        for path in sorted(self.manifests.glob("*")):
            with contextlib.suppress(FileNotFoundError):
                if not path.name.startswith(".") and path.is_file():
                    stat = path.stat()
                    stamps[path.name] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        before, self._stamps = self._stamps, stamps
        if stamps == before or self._first:
            known = self._digests
            self._digests = {}
            for name in stamps:
                with contextlib.suppress(FileNotFoundError):
                    content = (self.manifests / name).read_bytes()
                    self._digests[name] = hashlib.sha256(content).hexdigest()
            if known != self._digests:
                text = json.dumps(self._digests)
                self.ledger.folder.mkdir(parents=True, exist_ok=True)
                (self.ledger.folder / NOTE).write_text(text)
        return self._digests

    async def _begin(self, name: str, pod: Pod, *, adopt: bool) -> None:
        try:
            pod.static = read_manifest((self.manifests / name).read_bytes().decode(), self.where)
        except (ManifestError, OSError, UnicodeDecodeError) as error:
            self._say(name, pod, str(error))
            pod.begun = True
            return
        for unit in pod.static.containers:
            service = pod.services[unit.name] = self.make(unit)
            if not (adopt and await service.adopt()) and unit.name not in self._others(pod):
                await self._end_process(unit.name)
        pod.begun = True
        log.info("%s: manifest %s: pod %s", self.machine, name, pod.static.name)

    def _others(self, pod: Pod) -> set[str]:
        return {name for other in self.pods.values() if other is not pod for name in other.services}

    async def _keep(self, name: str, pod: Pod, static: StaticPod) -> None:
        """Starts what doesn't run yet, once all it needs is there; notices ends, and starts again."""
        fresh = [s for s in pod.services.values() if s.state == "inactive" and s.code is None]
        problem = self._obstacle(pod, static) if fresh else None
        self._say(name, pod, problem)
        if problem is None:
            for service in fresh:
                for folder in (*static.folders, self.where.scratch / service.name):
                    folder.mkdir(parents=True, exist_ok=True)
                await service.start()
        for service in pod.services.values():
            await service.tick()

    def _obstacle(self, pod: Pod, static: StaticPod) -> str | None:
        """Why this pod can't start now. A copy of a manifest in the same folder is a second pod of the same name."""
        for name, other in self.pods.items():
            if other is pod:
                break
            if other.static is not None and (other.static.namespace, other.static.name) == (
                static.namespace,
                static.name,
            ):
                return f"pod {static.namespace}/{static.name} is that of {name} already"
        missing = [str(path) for path in static.needed if not path.exists()]
        return f"hostPath {', '.join(missing)} isn't there" if missing else None

    def _say(self, name: str, pod: Pod, problem: str | None) -> None:
        """Keeps a manifest's problem for the status, and logs it once."""
        if problem is not None and problem != pod.error:
            log.error("%s: manifest %s: %s", self.machine, name, problem)
        pod.error = problem

    async def _end(self, name: str, pod: Pod) -> None:
        # A second manifest of one pod has the same names, and nothing that runs.
        others = self._others(pod)
        mine = [s for s in pod.services.values() if s.state != "inactive" or s.name not in others]
        await asyncio.gather(*(service.stop() for service in mine))
        for folder in [*(s.name for s in mine), *([f"{CONTAINER}{pod.static.name}"] if mine and pod.static else [])]:
            shutil.rmtree(self.where.scratch / folder, ignore_errors=True)
        log.info("%s: manifest %s changed or went: its pod has ended", self.machine, name)

    async def _end_process(self, name: str) -> None:
        """Ends what an earlier manifest left running while nobody followed."""
        identity = self.ledger.read(name)
        if identity is not None:
            await ended(identity, None, STRANGER_S)
            self.ledger.forget(name)

    async def _end_strangers(self) -> None:
        known = self.services
        for name in self.ledger.running():
            if name.startswith(CONTAINER) and name not in known:
                await self._end_process(name)

    async def stop(self, limit_s: float) -> None:
        """Ends them all: the machine goes."""
        for pod in self.pods.values():
            if pod.task is not None and not pod.begun:
                pod.task.cancel()
        await asyncio.gather(*(service.stop(limit_s) for service in self.services.values()))

    def _noted(self) -> dict[str, str]:
        try:
            return json.loads((self.ledger.folder / NOTE).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def status(self) -> dict[str, Mapping[str, Any]]:
        return {
            name: {
                "pod": pod.static.name if pod.static else None,
                "error": pod.error,
                "containers": {name: service.state for name, service in pod.services.items()},
            }
            for name, pod in sorted(self.pods.items())
        }
