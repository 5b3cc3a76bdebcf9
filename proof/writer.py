"""Numbered keys written through the Kubernetes API while everything moves, and read back at the end.

Key n is a ConfigMap `w-<run>-<n>` whose value follows from run and n alone. The API server acknowledges a
create once etcd has committed it, so an acknowledged key that is missing, or holds something else, is a
lost write. A number counts as acknowledged only when it is in the journal on disk (synced once a second): a
crash of the writer can forget acknowledgements, never invent them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migration.clients.asynchronous import REFUSALS, AsyncKubernetes
from migration.clients.kubernetes import CONFIG_MAPS, NAMESPACES, Conflict
from proof.config import WriterConfig

JOURNAL = "writes.journal"
LABEL = "proof.kube-vpc-migration/run"
REQUEST_TIMEOUT_S = 2.0
LIST_TIMEOUT_S = 30.0
DELETE_TIMEOUT_S = 60.0
RETRY_PAUSE_S = 0.1

Event = Callable[..., None]


def key_name(run: str, n: int) -> str:
    return f"w-{run}-{n}"


def key_value(run: str, n: int) -> str:
    """What key n must hold: its number and a digest, so that a value under the wrong name is seen."""
    return f"{n}:{hashlib.sha256(f'{run}/{n}'.encode()).hexdigest()[:16]}"


def config_map(namespace: str, run: str, n: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": key_name(run, n), "namespace": namespace, "labels": {LABEL: run}},
        "data": {"value": key_value(run, n)},
    }


class Journal:
    """Acknowledged numbers on disk, one per line. The first line is the run's name."""

    def __init__(self, path: Path, run: str) -> None:
        self._stream = path.open("a", encoding="ascii")
        self._stream.write(f"run {run}\n")
        # A deque: noted on the event loop, taken in the worker thread.
        self._pending: deque[int] = deque()
        self.counted = 0

    def note(self, n: int) -> None:
        self._pending.append(n)

    def sync(self) -> None:
        """Write and sync what was noted, then count it. Runs in a worker thread."""
        ready = [self._pending.popleft() for _ in range(len(self._pending))]
        self._stream.write("".join(f"{n}\n" for n in ready))
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.counted += len(ready)

    def close(self) -> None:
        self._stream.close()


def read_journal(path: Path) -> tuple[str | None, list[int]]:
    """(run, acknowledged numbers). A torn last line does not count: it was never counted either."""
    run: str | None = None
    numbers: list[int] = []
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return None, []
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        if line.startswith("run "):
            run = line[4:].strip()
        else:
            numbers.append(int(line))
    return run, numbers


class Writer:
    """Writes until stopped. One number at a time, each until it is acknowledged; the schedule is absolute,
    so the average rate recovers after a stall."""

    def __init__(self, kube: AsyncKubernetes, config: WriterConfig, run: str, out: Path, event: Event) -> None:
        self._kube = kube
        self._config = config
        self._run = run
        self._event = event
        self.journal = Journal(out / JOURNAL, run)
        self.acknowledged = 0
        self.longest_gap_s = 0.0
        self.longest_gap_begin: float | None = None
        self.errors = 0
        self.started_at: float | None = None
        self._last_ack: float | None = None
        """The last acknowledgement, or the beginning: writes are due from then on, also while there is no namespace."""
        self._stopping = asyncio.Event()

    @property
    def gap_s(self) -> float:
        """Time since the last acknowledgement (seconds)."""
        return 0.0 if self._last_ack is None else time.monotonic() - self._last_ack

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        self.started_at = time.time()
        self._last_ack = time.monotonic()
        await self._make_namespace()
        loop = asyncio.get_running_loop()
        start = loop.time()
        n = 0
        while not self._stopping.is_set():
            await self._pause(start + n / self._config.rate_hz - loop.time())
            if self._stopping.is_set():
                break
            if not await self._write(n):
                break
            n += 1
        self._note_gap(self.gap_s)

    def _note_gap(self, seconds: float) -> None:
        if seconds > self.longest_gap_s:
            self.longest_gap_s, self.longest_gap_begin = seconds, time.time() - seconds

    async def _make_namespace(self) -> None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._config.namespace}}
        while not self._stopping.is_set():
            try:
                await self._kube.create(NAMESPACES, body)
                return
            except Conflict:
                return
            except REFUSALS as error:
                self._failed(-1, error)
                await self._pause(1.0)

    async def _write(self, n: int) -> bool:
        """Until key n is acknowledged (true) or the writer is stopped (false)."""
        body = config_map(self._config.namespace, self._run, n)
        while True:
            try:
                await self._kube.create(CONFIG_MAPS, body, self._config.namespace, timeout=REQUEST_TIMEOUT_S)
                break
            except REFUSALS as error:
                # The answer to an earlier try may have been lost after the commit: then the key is there,
                # and reading it back through the API is the acknowledgement.
                if isinstance(error, Conflict) and await self._holds(n):
                    break
                self._failed(n, error)
            if self._stopping.is_set():
                return False
            await self._pause(RETRY_PAUSE_S)
        now = time.monotonic()
        if self._last_ack is not None:
            gap = now - self._last_ack
            self._note_gap(gap)
            if gap >= 1.0:
                self._event("write_gap", time.time(), n=n, seconds=round(gap, 2))
        self._last_ack = now
        self.acknowledged += 1
        self.journal.note(n)
        return True

    async def _holds(self, n: int) -> bool:
        try:
            found = await self._kube.get(
                CONFIG_MAPS, key_name(self._run, n), self._config.namespace, timeout=REQUEST_TIMEOUT_S
            )
        except REFUSALS:
            return False
        return found.get("data", {}).get("value") == key_value(self._run, n)

    def _failed(self, n: int, error: Exception) -> None:
        self.errors += 1
        self._event("write_failed", time.time(), n=n, detail=str(error))

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


@dataclass(frozen=True, kw_only=True)
class ReadBack:
    acknowledged: int
    lost: list[int]
    complete: bool
    """False when the list could not be read: then nothing is known about the writes."""
    problem: str | None = None


async def read_back(
    kube: AsyncKubernetes, namespace: str, run: str, acknowledged: list[int], *, patience_s: float = 60.0
) -> ReadBack:
    """List every key of the run, page by page, and compare with the acknowledged numbers. Repeats an
    interrupted list.
    """
    until = time.monotonic() + patience_s
    while True:
        try:
            found: dict[str, str | None] = {}
            pages = kube.pages(CONFIG_MAPS, namespace, labels=f"{LABEL}={run}", timeout=LIST_TIMEOUT_S)
            async for items, _ in pages:
                found |= {item["metadata"]["name"]: item.get("data", {}).get("value") for item in items}
            break
        except REFUSALS as error:
            if time.monotonic() >= until:
                return ReadBack(acknowledged=len(acknowledged), lost=[], complete=False, problem=str(error))
            await asyncio.sleep(1.0)
    return ReadBack(acknowledged=len(acknowledged), lost=compare(run, acknowledged, found), complete=True)


def compare(run: str, acknowledged: list[int], found: dict[str, str | None]) -> list[int]:
    """Acknowledged numbers whose key is missing or holds another value."""
    return [n for n in acknowledged if found.get(key_name(run, n)) != key_value(run, n)]


async def remove(kube: AsyncKubernetes, namespace: str, run: str) -> None:
    """Delete the run's keys (the namespace stays: it may be somebody's). Raises one of `REFUSALS`."""
    await kube.delete_all(CONFIG_MAPS, namespace, labels=f"{LABEL}={run}", timeout=DELETE_TIMEOUT_S)
