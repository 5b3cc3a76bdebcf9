"""How many pods may leave before the next look, so that a cluster without room isn't filled with pods that wait.

Pods that had no node before this run are somebody else's matter. A moved pod's successor that isn't there yet counts
as one without a node; but a StatefulSet's only comes once its predecessor has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from migration.drain.index import Index
from migration.drain.model import Pod
from migration.drain.plan import Blocked, owner_of

# Seconds: how long ago a pod found a node that counts for how many may be without one.
RECENT = 5.0
# And how many times `Pace.unplaced` they are at most.
WHILE_HEALTHY = 4
LASTING = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"})


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a drain evicts, and how patiently it waits. Seconds, but for `per_second`."""

    per_second: float = 50.0
    """Most evictions a second, over all budgets."""
    rescan: float = 5.0
    """From the last pod's going to the look that shows whether another slipped past the taint."""
    stall: float = 900.0
    """Without any progress for so long, what still waits counts as blocked. A pod's own grace period is no stall."""
    pending: float = 60.0
    """A moved pod for which the scheduler finds no node for so long stops evictions until it does."""
    unplaced: int = 25
    """So many moved pods may be without a node at once; while others find one, as many as did in the last `RECENT`
    seconds, and `WHILE_HEALTHY` times this at most.

    A healthy cluster starts pods as fast as they leave, and those on their way there are no sign of a full one. Where
    none finds a node any more, and always for pods that the scheduler has refused, this number counts. It is also the
    most that leave between two looks.
    """
    width: int = 16
    """Lanes that are worked on at once."""
    back_off: float = 1.0
    """Before a refused budget is tried again; doubled at each further refusal up to `longest_back_off`."""
    longest_back_off: float = 10.0


class Brake:
    """What of the moved pods has no node, as the index shows it; `on`: nothing may leave now."""

    def __init__(self, index: Index, pace: Pace, clock: Callable[[], float]) -> None:
        self._index, self._pace, self._clock = index, pace, clock
        self.on = False
        self._before: frozenset[str] = frozenset()
        self._there_before: dict[str, int] = {}
        self._unplaced: dict[str, list[Pod]] = {}
        self._refused_since: dict[str, float] = {}
        self._settled: deque[tuple[float, int]] = deque()

    def begin(self) -> None:
        """Remember what was there before the first eviction."""
        self._before = frozenset(self._index.unplaced)
        self._there_before = {uid: standing.there for uid, standing in self._index.owners_standing()}

    def credit(self, moved: frozenset[str], evictions: int) -> int:
        """Look again: how many more may leave, when pods of the `moved` owners (UIDs) were evicted so often."""
        now, before = self._clock(), self._refused_since
        self._unplaced = self._without_node(moved)
        refused = [pod.uid for pods in self._unplaced.values() for pod in pods if pod.unschedulable]
        self._refused_since = {uid: before.get(uid, now) for uid in refused}
        homeless = sum(map(len, self._unplaced.values())) + self._missing(moved)
        most = min(WHILE_HEALTHY * self._pace.unplaced, self._found_nodes(now, evictions - homeless))
        most = max(self._pace.unplaced, most)
        credit = min(self._pace.unplaced - len(refused), most - homeless, self._pace.unplaced)
        credit = 0 if self._stuck() else max(0, credit)
        self.on = credit == 0
        return credit

    def homeless(self) -> list[Blocked]:
        """Moved pods for which the scheduler has found no node for too long, for people."""
        return [
            Blocked(pod=pod.key, owner=owner, budget="", reason=f"it was moved and finds no node: {pod.unschedulable}")
            for owner, pod in self._stuck()
        ]

    def no_node(self, owner: str) -> str:
        """What the scheduler says of an owner's moved pods, if it finds no node for one."""
        said = [pod.unschedulable for pod in self._unplaced.get(owner, ()) if pod.unschedulable]
        return f" ({len(said)} find no node: {said[0]})" if said else ""

    def _without_node(self, moved: frozenset[str]) -> dict[str, list[Pod]]:
        """Pods of moved owners that have no node, and had a predecessor with one; by the owner's key."""
        found: dict[str, list[Pod]] = {}
        for uid, pod in self._index.unplaced.items():
            owner = None if uid in self._before else owner_of(pod, self._index.facts)
            if owner is not None and owner.uid in moved:
                found.setdefault(owner.key, []).append(pod)
        return found

    def _found_nodes(self, now: float, settled: int) -> int:
        """How many moved pods found a node lately, when `settled` have by now."""
        seen = self._settled
        seen.append((now, settled))
        while len(seen) > 1 and now - seen[0][0] > RECENT:
            seen.popleft()
        return settled - min(count for _, count in seen)

    def _missing(self, moved: frozenset[str]) -> int:
        """How many pods of moved owners should be there and aren't, not even without a node."""
        index = self._index
        return sum(
            max(0, min(self._there_before.get(uid, 0), owner.desired or 0) - index.standing(uid).there)
            for uid in moved
            if (owner := index.owners.get(uid)) is not None and owner.kind in LASTING - {"StatefulSet"}
        )

    def _stuck(self) -> list[tuple[str, Pod]]:
        """Moved pods, with their owners, for which the scheduler has found no node for too long."""
        late = {uid for uid, since in self._refused_since.items() if self._clock() - since > self._pace.pending}
        return [(owner, pod) for owner, pods in self._unplaced.items() for pod in pods if pod.uid in late]
