"""How quick one processor of this machine is: what tells a slow machine from a slow program."""

from __future__ import annotations

import time

TURNS, TRIES = 200_000, 10


def python_speed() -> float:
    """Millions of additions a second in a plain Python loop: the best of `TRIES`, since others may compute, too."""
    return round(max(TURNS / _seconds() for _ in range(TRIES)) / 1e6, 1)


def _seconds() -> float:
    total, began = 0, time.perf_counter()
    for number in range(TURNS):
        total += number
    return time.perf_counter() - began
