"""What an operation may use besides its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migration.clients import Clients
from migration.runtime.deadline import Deadline

Log = Callable[[str], None]


@dataclass(frozen=True)
class Context:
    """A log for the operator, a deadline, and clients for the operation's connection.

    `alive` raises `migration.runtime.engine.Orphaned` when this process must stop acting: its engine is gone or its
    lease was lost. Long operations call it before every change.
    """

    log: Log
    deadline: Deadline
    clients: Clients
    alive: Callable[[], None] = lambda: None
