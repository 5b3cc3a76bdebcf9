"""The machine that something was measured on, so that figures of two can be compared."""

from __future__ import annotations

import os
import platform
import time
from typing import Self

import psutil

from rehearsal.world import Fact

TURNS, TRIES = 200_000, 10


class Machine(Fact):
    """Where it was measured.

    `memory_mb`: all of it; `load`: the run queue's length over the minute before; `speed`: of one processor, millions
    of additions a second in Python, which tells a slow machine from a slow program.
    """

    processors: int
    memory_mb: int
    load: float
    speed: float | None = None
    kernel: str
    python: str

    def __str__(self) -> str:
        speed = "–" if self.speed is None else f"{self.speed:,.1f}"
        return f"{self.processors} processors ({speed} million additions a second in Python), {self.memory_mb:,} MB"

    @classmethod
    def here(cls) -> Self:
        """This one, now."""
        return cls(
            processors=os.cpu_count() or 0,
            memory_mb=psutil.virtual_memory().total // 2**20,
            load=round(os.getloadavg()[0], 2),
            speed=python_speed(),
            kernel=platform.release(),
            python=platform.python_version(),
        )


def python_speed() -> float:
    """Millions of additions a second in a plain Python loop: the best of `TRIES`, since others may compute, too."""
    return round(max(TURNS / _seconds() for _ in range(TRIES)) / 1e6, 1)


def _seconds() -> float:
    total, began = 0, time.perf_counter()
    for number in range(TURNS):
        total += number
    return time.perf_counter() - began
