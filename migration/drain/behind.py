"""Whether a drain has to wait for the disruption controller, which its own evictions keep busy.

Where a StatefulSet's next pod is back under its name before the controller has seen the last one end, its budget stays
closed for two minutes (`migration.drain.disrupted`). So while StatefulSets have pods left, nothing is evicted for a
moment where the controller is behind: it catches up, and their lanes, the longest chains, go first then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from migration.drain.index import Index
from migration.drain.inflight import InFlight
from migration.drain.model import Pod
from migration.drain.plan import Lane, owner_of

# The disruption controller keeps up while it sees an eviction in half the time that a pod takes to end at least.
KEEPS_UP = 0.5
# Seconds. All lanes wait for the controller at most so long, so that it catches up; one that doesn't stops no drain.
AT_MOST = 20.0


class Behind:
    """Asked before evictions are handed out; remembers since when it has said so."""

    def __init__(self, index: Index, in_flight: InFlight, clock: Callable[[], float]) -> None:
        self._index, self._in_flight, self._clock = index, in_flight, clock
        self._since: float | None = None

    def wait(self, lanes: Iterable[Lane]) -> bool:
        """Whether nothing may leave now; `lanes` are the phase's, the closed ones, too.

        Also while the StatefulSets' own lanes are closed: it is then that the controller has to see their pods end.
        """
        limits = [
            KEEPS_UP * min(pod.grace_seconds for pod in lane.pods)
            for lane in lanes
            if lane.budget is not None and lane.pods and self._keeps_names(lane)
        ]
        if not limits or self._in_flight.lag(self._back) <= min(limits):
            self._since = None
            return False
        now = self._clock()
        if self._since is None:
            self._since = now
        return now - self._since < AT_MOST

    def _keeps_names(self, lane: Lane) -> bool:
        owner = owner_of(lane.pods[0], self._index.facts)
        return owner is not None and owner.kind == "StatefulSet"

    def _back(self, pod: Pod) -> bool:
        """Whether another pod is there under this one's name."""
        now = self._index.named(pod.namespace, pod.name)
        return now is not None and now.uid != pod.uid
