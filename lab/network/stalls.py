"""Moments in which this process came to nothing: packets waited then as no network of AWS's lets them wait.

What fails in such a moment is the lab's doing, so it has to be told from what a migration did. A stall in which the
process had a processor is its own work (a defect of the lab's); one in which it had none is the machine's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from datetime import UTC, datetime

log = logging.getLogger(__name__)

# Seconds: how often it is looked, what counts, and how many stalls are remembered.
EVERY, LONG, REMEMBERED = 0.05, 0.25, 100


class Stalls:
    """`seen`: a sentence for each of the last ones; `worst_s`: by how many seconds the loop was late at most."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        self.seen: deque[str] = deque(maxlen=REMEMBERED)

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            worked, due = time.thread_time(), time.monotonic() + EVERY
            await asyncio.sleep(EVERY)
            self.note(time.monotonic() - due, time.thread_time() - worked)

    def note(self, late: float, worked: float) -> None:
        """The loop came `late` to what was due, having worked for so long meanwhile. Seconds."""
        self.worst_s = max(self.worst_s, late)
        if late >= LONG:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            stall = f"held up for {late:.2f} s until {now}, at work itself for {worked:.2f} s of them"
            self.seen.append(stall)
            log.warning("%s", stall)
