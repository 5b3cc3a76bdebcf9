"""How many evictions may wait for the disruption controller at once, while StatefulSets have pods to move.

Where a StatefulSet's next pod is back under its name before the controller has seen the last one end, its budget stays
closed for two minutes (`migration.drain.disrupted`). The controller looks at one budget after the other, and asks the
API no more often than its `--kube-api-qps` allows (20 a second by default): what is evicted faster only queues up
before it. So evictions go as TCP's segments do (RFC 5681): a window of them waits to be seen, it grows while they are
seen in good time, and is halved where they aren't. The sets' own lanes go first in it: `first`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from migration.drain.index import Index
from migration.drain.inflight import InFlight
from migration.drain.model import Pod
from migration.drain.plan import Lane, owner_of

# The controller keeps up while it sees an eviction in half the time that a set's pod takes to end at least, or in so
# many seconds, where that is more.
KEEPS_UP, SOON = 0.5, 0.25
# Evictions: with the first, the controller is asked for little more than one budget at a time.
AT_FIRST, LARGEST = 4, 16
# Seconds between two changes of the window.
EVERY = 1.0
# Seconds. All wait for the controller at most so long, so that it catches up; beside one that doesn't, one goes a look.
AT_MOST = 20.0


class Window:
    """Asked before evictions are handed out; remembers its size, and since when the controller is behind."""

    def __init__(self, index: Index, in_flight: InFlight, clock: Callable[[], float]) -> None:
        self._index, self._in_flight, self._clock = index, in_flight, clock
        self.size = AT_FIRST
        self._full = False
        self._changed_at = clock()
        self._behind_since: float | None = None

    def room(self, lanes: Iterable[Lane], in_hand: int) -> int | None:
        """How many more may be handed out now, with `in_hand` handed out and not sent yet; None: as many as you like.

        `lanes` are the phase's, the closed ones, too: it is then that the controller has to see their pods end.
        """
        limits = [KEEPS_UP * min(pod.grace_seconds for pod in lane.pods) for lane in lanes if self.first(lane)]
        if not limits:
            self._behind_since = None
            return None
        now, limit = self._clock(), max(SOON, min(limits))
        waiting, seconds = self._in_flight.waiting(self._back)
        self._full = self._full or waiting >= self.size
        if seconds > limit:
            self._resize(now, self.size // 2)
            self._behind_since = now if self._behind_since is None else self._behind_since
            return 0 if now - self._behind_since < AT_MOST else max(0, 1 - in_hand)
        self._behind_since = None
        if self._full and seconds <= limit / 2:
            self._resize(now, self.size + 1)
        return max(0, self.size - waiting - in_hand)

    def first(self, lane: Lane) -> bool:
        """Whether a lane's next pods come back under their names, and a budget counts them."""
        if lane.budget is None or not lane.pods:
            return False
        owner = owner_of(lane.pods[0], self._index.facts)
        return owner is not None and owner.kind == "StatefulSet"

    def _resize(self, now: float, size: int) -> None:
        if now - self._changed_at >= EVERY:
            self.size = max(1, min(LARGEST, size))
            self._full = False
            self._changed_at = now

    def _back(self, pod: Pod) -> bool:
        """Whether another pod is there under this one's name."""
        now = self._index.named(pod.namespace, pod.name)
        return now is not None and now.uid != pod.uid
