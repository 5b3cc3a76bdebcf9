"""The end of a dynamic provider's host whose engine is gone.

Nothing else ends it: a killed engine takes no child along, and the host waits for calls for ever. Running operations
are given the time to stop by themselves, so that a lease is given back and no batch is cut in two; where one takes
longer the process ends all the same, as a `kill -9` would, which every operation survives.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from time import sleep

from migration.runtime.engine import Living, Orphaned, find_engine

# Seconds: how often the engine is looked for, and how long what runs may take to stop. Together less than 10, which
# is when the lease of an operation that doesn't stop expires.
LOOK = 1.0
GRACE = 6.0
# `python -m pulumi.dynamic ADDRESS`, as Pulumi's launcher starts the host.
_MODULE = "pulumi.dynamic.__main__"


def _end() -> None:
    # Not sys.exit: gRPC's threads would be waited for, and they wait for the operation that didn't stop.
    os._exit(1)


@dataclass
class Host:
    """This process as the host of an engine's operations."""

    engine: Living
    end: Callable[[], None] = _end
    pause: Callable[[float], None] = sleep
    grace: float = GRACE
    _running: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def check(self) -> None:
        """Raise `Orphaned` once the engine is gone."""
        if not self.engine.lives():
            raise Orphaned(f"{self.engine} is gone; what is done stays done, run the same up again")

    @contextmanager
    def working(self) -> Generator[None, None, None]:
        """An operation runs inside of the block."""
        with self._changed:
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def watch(self) -> None:
        """Return once the engine is gone and this process was ended."""
        while self.engine.lives():
            self.pause(LOOK)
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0, self.grace)
        self.end()


def address_given() -> str | None:
    """The engine's ``host:port`` if this process is a dynamic provider's host; None in every other.

    The program's own process, tests and the command line import the same modules.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if getattr(spec, "name", None) != _MODULE:
        return None
    return next((argument for argument in sys.argv[1:2] if ":" in argument), None)


@cache
def host() -> Host | None:
    """This process as a host, watched from the first call on; None where it isn't one."""
    address = address_given()
    if address is None:
        return None
    made = Host(find_engine(address))
    threading.Thread(target=made.watch, name="engine", daemon=True).start()
    return made
