"""The plan kept current: each change of a pod or a budget costs what it touches, however large the cluster is.

`migration.drain.plan.plan_drain` says what the plan is. This gives the same (a property test says so), without looking
at pods and budgets that didn't change.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from migration.drain.model import Budget, Owner, Pod, matches
from migration.drain.plan import (
    Blocked,
    Lane,
    Placement,
    Plan,
    Restart,
    Rules,
    Standing,
    View,
    budget_lane,
    ended,
    moves,
    owner_lane,
    owner_uid,
    place,
    stands,
    turn,
)

# What is planned together: a budget's pods, an owner's, a Deployment's restart.
Group = tuple[str, str]
TODO = frozenset({"leaving", "restart", "budget", "owner"})


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What became of pods and budgets, by UID (None: gone), in the order it was seen.

    `facts` is a view without pods and budgets: nodes, owners, volumes; None where those are as they were.
    """

    pods: Sequence[tuple[str, Pod | None]] = ()
    budgets: Sequence[tuple[str, Budget | None]] = ()
    facts: View | None = None


@dataclass
class _Counted:
    """Where a pod was counted in, so that it can be counted out."""

    pod: Pod
    owner: str


@dataclass
class Index:
    """Everything that the plan of `rules` needs, by what asks for it. Not safe for several threads."""

    rules: Rules
    facts: View
    pods: dict[str, Pod] = field(default_factory=dict[str, Pod])
    budgets: dict[str, Budget] = field(default_factory=dict[str, Budget])
    evicted: set[str] = field(default_factory=set[str])
    denied: dict[str, str] = field(default_factory=dict[str, str])
    placed: dict[str, Placement] = field(default_factory=dict[str, Placement])
    lanes: dict[str, Lane] = field(default_factory=dict[str, Lane])
    """By the limit's key."""
    restarts: dict[str, Restart] = field(default_factory=dict[str, Restart])
    open: set[str] = field(default_factory=set[str])
    """Keys of the lanes that aren't closed."""
    owners: dict[str, Owner] = field(default_factory=dict[str, Owner])
    """By their own UID."""
    movers: dict[str, Owner] = field(default_factory=dict[str, Owner])
    """Those that ever had a movable pod on the nodes, by UID."""
    unplaced: dict[str, Pod] = field(default_factory=dict[str, Pod])
    """Pods without a node that aren't on their way out, by UID."""
    names: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """The newest pod's UID by namespace and name."""
    on_node: Counter[str] = field(default_factory=Counter[str])
    """How many movable pods each of the nodes has; none that has none."""
    quickest: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds, by owner's UID: the least that any of its pods took to be ready on its node."""
    gone: int = 0
    """How many movable pods have left the nodes so far."""
    _together: defaultdict[Group, dict[str, Pod]] = field(
        default_factory=lambda: defaultdict[Group, dict[str, Pod]](dict)
    )
    _dirty: set[Group] = field(default_factory=set[Group])
    _standing: defaultdict[str, Standing] = field(default_factory=lambda: defaultdict[str, Standing](Standing))
    _counted: dict[str, _Counted] = field(default_factory=dict[str, _Counted])
    _ended: dict[str, Blocked] = field(default_factory=dict[str, Blocked])
    _phases: Counter[int] = field(default_factory=Counter[int])
    _in_namespace: defaultdict[str, dict[str, Budget]] = field(
        default_factory=lambda: defaultdict[str, dict[str, Budget]](dict)
    )
    _selectors: Counter[str] = field(default_factory=Counter[str])
    """How often a namespace's selectors changed."""
    _selected: dict[str, tuple[tuple[int, Mapping[str, str]], tuple[str, ...]]] = field(
        default_factory=dict[str, tuple[tuple[int, Mapping[str, str]], tuple[str, ...]]]
    )
    _by_key: dict[str, Budget] = field(default_factory=dict[str, Budget])
    _keys_of_owner: dict[str, str] = field(default_factory=dict[str, str])
    _movable_in: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict[str, set[str]](set))

    def apply(self, changes: Changes) -> None:
        """Take the changes in, and plan what they touch anew."""
        if changes.facts is not None:
            self.facts = replace(changes.facts, pods=(), budgets=())
            self.owners = {owner.uid: owner for owner in self.facts.owners.values()}
        for uid, budget in changes.budgets:
            self._budget(uid, budget)
        for uid, pod in changes.pods:
            self._pod(uid, pod)
        if changes.facts is not None:
            for uid, pod in list(self.pods.items()):
                self._pod(uid, pod)
        self._settle()

    def mark(self, evicted: Iterable[str] = (), denied: Iterable[tuple[str, str]] = ()) -> None:
        """Remember who was let go and who was refused for good, with the reason."""
        found = list(denied)
        self.denied.update(found)
        touched = [*evicted]
        self.evicted.update(touched)
        for uid in (*touched, *(uid for uid, _ in found)):
            if uid in self.pods:
                self._pod(uid, self.pods[uid])
        self._settle()

    # What is asked.

    @property
    def lowest(self) -> int | None:
        """The first phase that still has something to do."""
        return min(self._phases, default=None)

    @property
    def remaining(self) -> int:
        """Pods to move or moving; blocked ones don't count, those that end by themselves do."""
        return self._phases.total() + len(self._together["ending", ""])

    @property
    def leaving(self) -> dict[str, Pod]:
        """Pods on their way out, by UID."""
        return self._together["leaving", ""]

    @property
    def ending(self) -> dict[str, Pod]:
        """Pods that run to completion and are waited for."""
        return self._together["ending", ""]

    @property
    def blocked(self) -> list[Blocked]:
        """Pods that may not move, those that wait for somebody first."""
        found = sorted(self._together["blocked", ""].values(), key=turn)
        reasons = [one for pod in found if (one := self.placed[pod.uid].blocked) is not None]
        return [*reasons, *self._ended.values()]

    @property
    def blocked_count(self) -> int:
        """How many those are."""
        return len(self._together["blocked", ""]) + len(self._ended)

    def named(self, namespace: str, name: str) -> Pod | None:
        """The newest pod of that name."""
        return self.pods.get(self.names.get((namespace, name), ""))

    def standing(self, owner: str) -> Standing:
        """An owner's pods, by its UID."""
        return self._standing[owner] if owner in self._standing else Standing()

    def owners_standing(self) -> Iterator[tuple[str, Standing]]:
        """The same of every owner."""
        return iter(self._standing.items())

    def plan(self) -> Plan:
        """All of it at once, for those that name every pod."""
        phases = {uid: one.phase for uid, one in self.placed.items()}
        return Plan(
            lanes=tuple(sorted(self.lanes.values(), key=lambda lane: (lane.phase, lane.key))),
            restarts=tuple(one for _, one in sorted(self.restarts.items())),
            blocked=tuple(self.blocked),
            leaving=tuple(sorted(self.leaving.values(), key=turn)),
            ending=tuple(sorted(self.ending.values(), key=turn)),
            phases=phases,
            owners={uid: one.owner_key for uid, one in self.placed.items()},
        )

    # Keeping it.

    def _budget(self, uid: str, budget: Budget | None) -> None:
        before = self.budgets.pop(uid, None)
        if before is not None:
            self._in_namespace[before.namespace].pop(uid, None)
            self._by_key.pop(before.key, None)
        if budget is not None:
            self.budgets[uid] = budget
            self._in_namespace[budget.namespace][uid] = budget
            self._by_key[budget.key] = budget
        if before is not None and budget is not None and _selects_alike(before, budget):
            self._dirty.add(("budget", budget.key))
            return
        for namespace in {one.namespace for one in (before, budget) if one is not None}:
            self._selectors[namespace] += 1
            for touched in list(self._movable_in[namespace]):
                self._pod(touched, self.pods[touched])

    def _pod(self, uid: str, pod: Pod | None) -> None:
        moved = uid in self.placed
        self._out(uid)
        if pod is not None:
            self._in(uid, pod)
        else:
            self._selected.pop(uid, None)
        self.gone += moved and uid not in self.placed

    def _in(self, uid: str, pod: Pod) -> None:
        """Know a pod as it is."""
        self.pods[uid] = pod
        self.names[pod.namespace, pod.name] = uid
        if stands(pod, self.evicted):
            owner = owner_uid(pod, self.facts)
            self._counted[uid] = _Counted(pod, owner)
            self._standing[owner].count(pod, self.facts.nodes)
            self._dirty.add(("standing", owner))
            if (start := pod.start_seconds) is not None:
                self.quickest[owner] = min(start, self.quickest.get(owner, start))
        if not pod.node and not pod.terminating and not pod.finished:
            self.unplaced[uid] = pod
        if (one := ended(pod, self.facts, self.rules)) is not None:
            self._ended[uid] = one
        if not moves(pod, self.facts.nodes, self.rules):
            return
        placement = place(
            pod,
            self._selecting(pod),
            self.facts,
            self.rules,
            evicted=uid in self.evicted,
            denied=self.denied.get(uid),
        )
        self.placed[uid] = placement
        if placement.owner is not None:
            self.movers.setdefault(placement.owner.uid, placement.owner)
        self.on_node[pod.node] += 1
        self._movable_in[pod.namespace].add(uid)
        group = (placement.kind, placement.key)
        self._together[group][uid] = pod
        self._dirty.add(group)
        if placement.kind in TODO:
            self._phases[placement.phase] += 1

    def _selecting(self, pod: Pod) -> list[Budget]:
        """The budgets that select a pod, matched once for its labels and the namespace's selectors."""
        asked = (self._selectors[pod.namespace], pod.labels)
        known = self._selected.get(pod.uid)
        if known is None or known[0] != asked:
            there = self._in_namespace[pod.namespace].items()
            found = tuple(uid for uid, one in there if matches(one.selector, pod.labels))
            known = self._selected[pod.uid] = asked, found
        return [self.budgets[uid] for uid in known[1]]

    def _out(self, uid: str) -> None:
        """Forget a pod as it was."""
        pod = self.pods.pop(uid, None)
        if pod is None:
            return
        if self.names.get((pod.namespace, pod.name)) == uid:
            del self.names[pod.namespace, pod.name]
        counted = self._counted.pop(uid, None)
        if counted is not None:
            self._standing[counted.owner].count(counted.pod, self.facts.nodes, -1)
            self._dirty.add(("standing", counted.owner))
        self.unplaced.pop(uid, None)
        self._ended.pop(uid, None)
        placement = self.placed.pop(uid, None)
        if placement is None:
            return
        self.on_node[pod.node] -= 1
        if not self.on_node[pod.node]:
            del self.on_node[pod.node]
        self._movable_in[pod.namespace].discard(uid)
        group = (placement.kind, placement.key)
        self._together[group].pop(uid, None)
        self._dirty.add(group)
        if placement.kind in TODO:
            self._phases[placement.phase] -= 1
            if not self._phases[placement.phase]:
                del self._phases[placement.phase]

    def _settle(self) -> None:
        """Plan anew whatever was touched."""
        dirty, self._dirty = self._dirty, set()
        for kind, key in list(dirty):
            if kind == "standing":
                known = self._standing[key]
                if not known.there:
                    del self._standing[key]
                if key in self._keys_of_owner:
                    dirty.add(("owner", self._keys_of_owner[key]))
        for kind, key in dirty:
            if kind in ("budget", "owner"):
                self._lane((kind, key))
            elif kind == "restart":
                self._restart(key)

    def _lane(self, group: Group) -> None:
        pods, key = sorted(self._together[group].values(), key=turn), group[1]
        if not pods:
            # A pod that goes from its owner's share to a budget's has another key.
            del self._together[group]
            self.lanes.pop(key, None)
            self.open.discard(key)
            return
        phase = min(self.placed[pod.uid].phase for pod in pods)
        one = self.placed[pods[0].uid]
        if group[0] == "budget" and one.budget is not None:
            lane = budget_lane(self._by_key[key], pods, phase)
        else:
            owner = one.owner.uid if one.owner else ""
            self._keys_of_owner[owner] = key
            lane = owner_lane(key, one.owner, self.standing(owner), pods, phase, self.rules)
        self.lanes[key] = lane
        (self.open.discard if lane.closed else self.open.add)(key)

    def _restart(self, key: str) -> None:
        pods = sorted(self._together["restart", key].values(), key=turn)
        if not pods:
            del self._together["restart", key]
            self.restarts.pop(key, None)
            return
        one = self.placed[pods[0].uid]
        assert one.owner is not None  # nothing else is placed so
        assert one.budget is not None
        phase = min(self.placed[pod.uid].phase for pod in pods)
        self.restarts[key] = Restart(owner=one.owner, budget=one.budget.key, phase=phase, pods=tuple(pods))


def _selects_alike(before: Budget, now: Budget) -> bool:
    """Whether a budget's change leaves each pod where it was placed: only its numbers are others."""
    return (
        before.selector == now.selector
        and before.never_allows == now.never_allows
        and before.key == now.key
        and (not now.never_allows or before == now)
    )
