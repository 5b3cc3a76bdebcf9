"""Requests at fixed times, whatever becomes of those before (an open loop), on an event loop beside what is measured.

Who waits for an answer before it asks again measures its own patience: a stall of two seconds would be one slow request
of hundreds.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from rehearsal.benches.gaps import Asked

T = TypeVar("T")

_EPOCH = time.time() - time.monotonic()


def now() -> float:
    """Seconds since 1970, of a clock that is never set."""
    return _EPOCH + time.monotonic()


class OpenLoop:
    """Asks every `period` seconds; `ask` gets the request's number, and raises one of `refusals` where it fails.

    What is a whole period late, because this machine was busy, isn't asked at all: it would hide that it was.
    """

    def __init__(
        self, ask: Callable[[int], Awaitable[object]], period: float, refusals: tuple[type[Exception], ...]
    ) -> None:
        self._ask, self._period, self._refusals = ask, period, refusals
        self._stopping = asyncio.Event()
        self.asked: list[Asked] = []
        self.skipped: list[float] = []
        """When one was due that wasn't asked."""
        self.last: float | None = None
        """When one was acknowledged last."""

    async def run(self) -> None:
        """Until stopped, and until all answers are there."""
        start, number = now(), 0
        async with asyncio.TaskGroup() as group:
            while not self._stopping.is_set():
                due = start + number * self._period
                # Also where it is late: without a turn of the loop no answer would be read.
                await asyncio.sleep(max(0.0, due - now()))
                if now() - due < self._period:
                    group.create_task(self._one(number, due))
                else:
                    self.skipped.append(due)
                number += 1

    async def _one(self, number: int, due: float) -> None:
        error = ""
        try:
            await self._ask(number)
        except self._refusals as failure:
            error = str(failure) or type(failure).__name__
        ended = now()
        if not error:
            self.last = ended
        self.asked.append(Asked(number=number, due=due, ended=ended, error=error))

    def stop(self) -> None:
        """Ask no more. From the loop's own thread."""
        self._stopping.set()


class Beside:
    """An event loop in a thread of its own: the caller's thread acts, and takes Ctrl-C. Used as a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="open loops", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run it there; its result, or what it raised, is the future's."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it there, and wait for it."""
        return self.begin(coroutine).result()

    def tell(self, callback: Callable[[], None]) -> None:
        """Call it there."""
        self._loop.call_soon_threadsafe(callback)

    @staticmethod
    async def _end() -> None:
        """What still runs is cancelled: after Ctrl-C nobody waits for it."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for one in others:
            one.cancel()
        await asyncio.gather(*others, return_exceptions=True)
