"""What the lab's long-running processes share: their log, their end, and a sentence for what keeps them from it."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any


def serve(name: str, make: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Runs what `make` returns until it ends or SIGTERM or SIGINT cancels it; returns an exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(name)s %(message)s", datefmt="%H:%M:%S")
    try:
        asyncio.run(_until_told(make))
    except (ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


async def _until_told(make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = asyncio.create_task(make())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logging.info("told to end; everything has ended")
