"""Budgets kept closed by pods that are there again: told apart from those that are low. Pure.

`status.disruptedPods` holds, by name, pods that the API let go and the disruption controller hasn't seen go: for those
it counts nothing as healthy. It drops a name once it sees that pod terminating or gone, and else 2 minutes after the
eviction (k8s.io/kubernetes pkg/controller/disruption/disruption.go, DeletionTimeout and buildDisruptedPodMap). A
StatefulSet's next pod has the same name: where it came before the controller looked, it is taken for the old one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from migration.drain.model import Budget, Pod

# Seconds; the controller's DeletionTimeout.
KEPT = 120.0


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A pod that its budget counts as on its way out although it is there again, for so many `seconds` more."""

    pod: str
    budget: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.budget} still counts {self.pod} as leaving, which is there again (status.disruptedPods), for "
            f"{self.seconds:.0f} s more"
        )


def kept_closed(budget: Budget, named: Callable[[str, str], Pod | None], now: datetime) -> list[Kept]:
    """Who keeps a budget closed so; `named` finds the pod of a namespace and name. Longest first; empty where none."""
    found: list[Kept] = []
    for name, when in budget.disrupted.items():
        pod, at = named(budget.namespace, name), _time(when)
        if pod is None or at is None or not is_back(pod, at):
            continue
        left = KEPT - (now - at).total_seconds()
        if left > 0:
            found.append(Kept(pod=pod.key, budget=budget.key, seconds=left))
    return sorted(found, key=lambda one: -one.seconds)


def is_back(pod: Pod, let_go: datetime) -> bool:
    """Whether it is another pod than the one that was let go then: it stays, and was made no earlier."""
    made = _time(pod.created)
    return not pod.terminating and made is not None and made >= let_go


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
