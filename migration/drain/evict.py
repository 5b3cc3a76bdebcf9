"""One eviction and what the API's answer means; and how many a second are asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from migration.clients.kubernetes import ApiFailure
from migration.drain.model import Pod
from migration.runtime.deadline import Permanent


class Outcome(Enum):
    """What came of asking for one eviction."""

    EVICTED = "evicted"
    GONE = "gone"
    REFUSED = "refused"
    LATER = "later"
    DENIED = "denied"


@dataclass(frozen=True)
class Answer:
    """An outcome, why, and how many seconds the API asked to wait."""

    outcome: Outcome
    reason: str = ""
    retry_after: float = 0.0


class EvictionApi(Protocol):
    """What an eviction needs of the Kubernetes client."""

    def evict(self, namespace: str, name: str, uid: str) -> None: ...


def evict(api: EvictionApi, pod: Pod) -> Answer:
    """Ask for the eviction of exactly this pod; raises `Permanent` when this program may not evict at all."""
    try:
        api.evict(pod.namespace, pod.name, pod.uid)
    except ApiFailure as failure:
        return read_answer(failure)
    return Answer(Outcome.EVICTED)


def read_answer(failure: ApiFailure) -> Answer:
    """The meaning of a refusal (k8s.io/kubernetes pkg/registry/core/pod/storage/eviction.go).

    409 over the UID is the failed precondition: another pod has that name now; any other is a write that met
    another's. 500 with "more than one" budget never passes;
    504 is a conflict over the budget's status; other server errors pass.
    """
    if failure.code == 404 or (failure.code == 409 and "uid" in failure.message.lower()):
        return Answer(Outcome.GONE, failure.message)
    if failure.code == 429:
        return Answer(Outcome.REFUSED, failure.message, failure.retry_after or 0.0)
    if "NamespaceTerminating" in failure.causes or "is being terminated" in failure.message:
        return Answer(Outcome.LATER, failure.message, 2.0)
    if failure.code in (401, 403) and "pods/eviction" in failure.message:
        raise Permanent(f"this program may not evict pods ({failure.message}); allow it to create pods/eviction")
    if failure.code == 500 and "more than one" in failure.message.lower():
        return Answer(Outcome.DENIED, f"the eviction API refuses it: {failure.message}")
    if failure.code >= 500 or failure.code == 409:
        return Answer(Outcome.LATER, failure.message, 1.0)
    return Answer(Outcome.DENIED, f"its eviction is refused with {failure.code}: {failure.message}")


class Rate:
    """At most so many calls a second, evenly spaced, over all threads."""

    def __init__(self, per_second: float, clock: Callable[[], float], sleeper: Callable[[float], None]) -> None:
        self._space = 1.0 / per_second
        self._clock = clock
        self._sleep = sleeper
        self._next = 0.0
        self._lock = threading.Lock()

    def take(self) -> None:
        """Wait for this call's turn."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._space
        if turn > now:
            self._sleep(turn - now)
