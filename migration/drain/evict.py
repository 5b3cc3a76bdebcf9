"""One eviction and what the API's answer means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from migration.clients.kubernetes import ApiFailure
from migration.drain.model import Pod
from migration.runtime.deadline import Permanent

# The cause of a refusal by a budget.
BUDGET = "DisruptionBudget"


class Outcome(Enum):
    """What came of asking for one eviction."""

    EVICTED = "evicted"
    GONE = "gone"
    REFUSED = "refused"
    """By its budget."""
    THROTTLED = "throttled"
    """By a server that has too much."""
    LATER = "later"
    DENIED = "denied"


@dataclass(frozen=True)
class Answer:
    """An outcome, why, and how many seconds the API asked to wait. `failed`: by an error of the server's."""

    outcome: Outcome
    reason: str = ""
    retry_after: float = 0.0
    failed: bool = False

    @property
    def busy(self) -> bool:
        """Whether the server has too much: it would have fewer evictions."""
        return self.failed or self.outcome is Outcome.THROTTLED


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

    A 429 of a budget names it as the cause (policy/v1, DisruptionBudgetCause); one of priority and fairness, or of a
    server with too many requests in flight, names none. 409 over the UID is the failed precondition: another pod has
    that name now; any other is a write that met another's. 500 with "more than one" budget never passes; 504 is a
    conflict over the budget's status; other server errors pass.
    """
    if failure.code == 404 or (failure.code == 409 and "uid" in failure.message.lower()):
        return Answer(Outcome.GONE, failure.message)
    if failure.code == 429 and BUDGET in failure.causes:
        return Answer(Outcome.REFUSED, failure.message, failure.retry_after or 0.0)
    if failure.code == 429:
        return Answer(Outcome.THROTTLED, failure.message, failure.retry_after or 1.0)
    if "NamespaceTerminating" in failure.causes or "is being terminated" in failure.message:
        return Answer(Outcome.LATER, failure.message, 2.0)
    if failure.code in (401, 403) and "pods/eviction" in failure.message:
        raise Permanent(f"this program may not evict pods ({failure.message}); allow it to create pods/eviction")
    if failure.code == 500 and "more than one" in failure.message.lower():
        return Answer(Outcome.DENIED, f"the eviction API refuses it: {failure.message}")
    if failure.code >= 500 or failure.code == 409:
        return Answer(Outcome.LATER, failure.message, 1.0, failed=failure.code >= 500)
    return Answer(Outcome.DENIED, f"its eviction is refused with {failure.code}: {failure.message}")
