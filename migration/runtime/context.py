"""What an operation may use besides its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from migration.clients import Clients
from migration.runtime.deadline import Deadline

Log = Callable[[str], None]


@dataclass(frozen=True)
class Context:
    """A log for the operator, a deadline, and clients for the operation's connection.

    `alive` raises `migration.runtime.lease.Orphaned` when this process must stop acting: its engine is gone or its
    lease was lost. Long operations call it before every change.
    """

    log: Log
    deadline: Deadline
    clients: Clients
    alive: Callable[[], None] = lambda: None


class Operation(Protocol):
    """One operation: inputs as in the resource, the outputs of the last time (None at first), a context."""

    def __call__(
        self, inputs: Mapping[str, Any], previous: Mapping[str, Any] | None, context: Context
    ) -> dict[str, Any]: ...
