"""Evictions whose effect on their budget the watch hasn't shown yet, and how far behind the disruption controller is.

The API server itself writes an eviction into its budget: `disruptionsAllowed` one less, the pod's name among
`disruptedPods` (k8s.io/kubernetes pkg/registry/core/pod/storage/eviction.go, checkAndDecrement). The disruption
controller takes the name out once it sees that pod terminating or gone (pkg/controller/disruption,
buildDisruptedPodMap).
So a budget needn't be asked before each eviction: what the watch says it allows, less what isn't in it yet, may go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from migration.drain.model import Budget, Pod

# Seconds after which an eviction that the watch never showed is taken for shown: a list in between may have hidden it.
# Taken so too early, the API refuses one eviction more.
HIDDEN = 2.0


@dataclass
class _Sent:
    """One eviction. `answered` is when the API said yes, None before."""

    pod: Pod
    answered: float | None = None
    shown: bool = False

    def hidden(self, now: float) -> bool:
        """Whether the watch should have shown it by now, and hasn't."""
        return not self.shown and self.answered is not None and now - self.answered > HIDDEN


class InFlight:
    """Evictions under budgets, from before they are asked for until the controller has seen them. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sent: dict[str, dict[str, _Sent]] = {}

    def send(self, budget: str, pod: Pod) -> None:
        """`pod` is about to be evicted under `budget` (its key)."""
        with self._lock:
            self._sent.setdefault(budget, {})[pod.name] = _Sent(pod)

    def answer(self, budget: str, pod: Pod, *, let_go: bool) -> None:
        """The API answered; what it didn't let go changed nothing."""
        with self._lock:
            known = self._sent.get(budget, {}).get(pod.name)
            if known is None:
                return
            if let_go:
                known.answered = self._clock()
            else:
                self._forget(budget, pod.name)

    def see(self, budget: Budget) -> None:
        """The watch shows a budget as it is by now."""
        with self._lock:
            for name, sent in list(self._sent.get(budget.key, {}).items()):
                if name in budget.disrupted:
                    sent.shown = True
                elif sent.shown:
                    self._forget(budget.key, name)

    def unseen(self, budget: str) -> int:
        """How many more evictions are on their way than the budget's numbers, as the watch shows them, say."""
        now = self._clock()
        with self._lock:
            for name, sent in list(self._sent.get(budget, {}).items()):
                if sent.hidden(now):
                    self._forget(budget, name)
            return sum(not sent.shown for sent in self._sent.get(budget, {}).values())

    def waiting(self, back: Callable[[Pod], bool]) -> tuple[int, float]:
        """How many evictions the disruption controller hasn't seen, and for how many seconds the oldest waits.

        Those whose pod is `back` under its name wait for something else (`migration.drain.disrupted`). What no watch
        has shown counts for `HIDDEN` seconds, and is no sign of the controller's.
        """
        now = self._clock()
        with self._lock:
            sent = [one for some in self._sent.values() for one in some.values() if not back(one.pod)]
        since = [now - one.answered for one in sent if one.shown and one.answered is not None]
        return sum(not one.hidden(now) for one in sent), max(since, default=0.0)

    def _forget(self, budget: str, name: str) -> None:
        some = self._sent[budget]
        del some[name]
        if not some:
            del self._sent[budget]
