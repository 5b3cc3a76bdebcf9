"""Keeping up with every object of one kind: list, watch, resume.

A watch resumes from its resourceVersion, so a broken connection loses no event; only a version that has become too
old (410) does, and that is counted as `relists`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from migration.clients.asynchronous import REFUSALS, AsyncKubernetes
from migration.clients.kubernetes import ApiFailure, Kind

T = TypeVar("T")

GONE = 410
CHUNK = 100
"""Objects decoded at once: a page of 500 pods would keep the event loop from its probes for tens of milliseconds."""
PAUSE_S = 0.5


class Follower(Generic[T]):
    """`run` until cancelled. `read` makes of an object the little that is kept of it.

    `listed` is told the whole list, `seen` each event (ADDED, MODIFIED, DELETED) after it, `relisted` why a new list
    was needed.
    """

    def __init__(
        self,
        kube: AsyncKubernetes,
        kind: Kind,
        *,
        read: Callable[[dict[str, Any]], T],
        listed: Callable[[list[T]], None],
        seen: Callable[[str, T], None],
        relisted: Callable[[str], None],
    ) -> None:
        self._kube, self._kind = kube, kind
        self._read, self._listed, self._seen, self._relisted = read, listed, seen, relisted
        self.relists = 0
        self.reconnects = 0
        self.ready = asyncio.Event()
        """Set when the first list is in."""

    async def run(self) -> None:
        version: str | None = None
        while True:
            try:
                if version is None:
                    version = await self._list()
                async for event, item in self._kube.watch(self._kind, version):
                    version = str(item["metadata"]["resourceVersion"])
                    if event != "BOOKMARK":
                        self._seen(event, self._read(item))
            except REFUSALS as error:
                if isinstance(error, ApiFailure) and error.code == GONE:
                    version = None
                    self.relists += 1
                    self._relisted(str(error))
                    continue
                self.reconnects += 1
                await asyncio.sleep(PAUSE_S)

    async def _list(self) -> str:
        found: list[T] = []
        version = ""
        async for items, at in self._kube.pages(self._kind, chunk=CHUNK):
            found += [self._read(item) for item in items]
            version = at
        self._listed(found)
        self.ready.set()
        return version
