"""Which process the engine is, and whether it still lives.

The engine gives a dynamic provider's host its address and nothing else. An address is no identity: once the engine is
killed, whatever listens next at that port would pass for it. So the host looks once, while the engine that has just
called it certainly lives, which of its own ancestors listens there, and from then on asks about that process alone. In
between stands a launcher (a shell), which outlives the engine: the parent is no answer either.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import psutil

from migration.runtime.deadline import Permanent

# A process table is read piece by piece, so one look may miss a socket that is there. Seconds.
LOOKS = 6
PAUSE = 0.5
_OVER = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


class Orphaned(Permanent):
    """This process must stop acting: its engine is gone, or another holds the lease."""


class Living(Protocol):
    """What may be gone by the next look; its text names it in a sentence."""

    def lives(self) -> bool: ...


@dataclass(frozen=True)
class Engine:
    """The engine at `address` (``host:port``); `process` is None where no ancestor listens there any more."""

    address: str
    process: psutil.Process | None

    def __str__(self) -> str:
        number = f"process {self.process.pid}, " if self.process else ""
        return f"the engine ({number}at {self.address})"

    def lives(self) -> bool:
        """Whether this very process runs (a stopped one does). Its pid in another's hands is another process."""
        if self.process is None:
            return False
        try:
            return self.process.is_running() and self.process.status() not in _OVER
        except psutil.NoSuchProcess:
            return False


def find_engine(address: str, sleeper: Callable[[float], None] = time.sleep) -> Engine:
    """The ancestor of this process that listens at ``host:port``, as it is now."""
    for look in range(LOOKS):
        if look:
            sleeper(PAUSE)
        if found := listening_ancestor(psutil.Process(), port_of(address)):
            return Engine(address, found)
    return Engine(address, None)


def port_of(address: str) -> int:
    """The port of ``host:port``."""
    return int(address.rpartition(":")[2])


def listening_ancestor(process: psutil.Process, port: int) -> psutil.Process | None:
    """The nearest ancestor of `process` that listens at `port`; None where none does."""
    return next((one for one in process.parents() if _listens(one, port)), None)


def _listens(process: psutil.Process, port: int) -> bool:
    try:
        found = process.net_connections("tcp")
    except psutil.Error:
        # Gone meanwhile; or another user's, and the engine is never that: it started this process.
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)
