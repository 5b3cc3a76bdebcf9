"""Asks every place's resolver for the probed names several times a second, past the cache.

A place's cache looks at a name once per TTL, so a record that is gone for a second can slip between two looks; among
thousands of clients, some cache always expires just then. This stands for all of them. Only an answer *without address*
counts: what is not answered at all already fails the probes that needed it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import dns.exception
import dns.rcode

from proof.model import Asked
from proof.resolver import Query, read_answer

RATE_HZ = 2.0
"""Per place. Places look in turn, so that three of them see a zone every sixth of a second: about half of what a
change of a hosted zone takes to be seen in the lab (Route 53 takes far longer)."""


@dataclass
class Count:
    """Running counts of one name at one place."""

    asked: int = 0
    empty: int = 0
    unanswered: int = 0


class NameWatcher:
    """One task per place; `start` and `stop` follow the places."""

    def __init__(self, names: list[str], event: Callable[..., None]) -> None:
        self._names = names
        self._event = event
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.counts: dict[str, Count] = {}
        self._started = 0

    def start(self, place: str, query: Query) -> None:
        self.stop(place)
        self._tasks[place] = asyncio.create_task(self._watch(place, query))

    def stop(self, place: str) -> None:
        task = self._tasks.pop(place, None)
        if task is not None:
            task.cancel()

    def stop_all(self) -> None:
        for place in list(self._tasks):
            self.stop(place)

    async def _watch(self, place: str, query: Query) -> None:
        loop = asyncio.get_running_loop()
        # The same time as the probes get to begin in; from then on the place is there.
        due = loop.time() + 1.0 + (self._started % 3) / 3 / RATE_HZ
        self._started += 1
        while True:
            await asyncio.sleep(due - loop.time())
            for name in self._names:
                await self._ask(place, name, query)
            due = max(due + 1 / RATE_HZ, loop.time())

    async def _ask(self, place: str, name: str, query: Query) -> None:
        counts = self.counts.setdefault(f"{place}/{name}", Count())
        counts.asked += 1
        at = time.time()
        try:
            message = await query(name)
        except (OSError, dns.exception.DNSException):
            counts.unanswered += 1
            return
        if not read_answer(message)[0]:
            counts.empty += 1
            self._event("name_empty", at, place=place, name=name, answer=dns.rcode.to_text(message.rcode()))

    def facts(self) -> dict[str, Asked]:
        """Counts so far, by `place/name`."""
        return {key: Asked(**vars(count)) for key, count in self.counts.items()}
