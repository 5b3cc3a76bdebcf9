"""A cluster in memory for the drain: pods that end and start again elsewhere, budgets that are really counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from migration.clients.kubernetes import DEPLOYMENTS, PODS, ApiFailure, Conflict, Kind, NotFound
from migration.drain.index import Changes
from migration.drain.model import Budget, Controller, Owner, Pod, matches
from migration.drain.plan import View

MORNING = datetime(2026, 1, 1, 6, tzinfo=UTC)
OLD, NEW = "old-1", "new-1"


class InlinePool(Executor):
    """Runs what is submitted at once, in the caller's thread: tests see one order only."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - what a future is for
            future.set_exception(error)
        return future


@dataclass
class Clock:
    """Time that passes only when somebody sleeps."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class World:
    """The cluster and its API. `starts` seconds until a new pod is ready, `ends` until a told one is gone."""

    clock: Clock = field(default_factory=Clock)
    starts: float = 1.0
    ends: float = 0.5
    nodes: frozenset[str] = frozenset({OLD})
    pods: dict[str, Pod] = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)
    selectors: dict[str, tuple[Mapping[str, Any], int]] = field(default_factory=dict)
    admission: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    refusals: dict[str, list[ApiFailure]] = field(default_factory=dict)
    evictions: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    patches: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    lowest: dict[str, int] = field(default_factory=dict)
    back_to: str = NEW
    room: int = 1_000_000
    """How many pods the new side takes; what finds none stays without a node."""
    attached: list[list[str]] = field(default_factory=list)
    templates: dict[str, str] = field(default_factory=dict)
    disrupted: dict[str, str] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    """Names that the disruption controller takes for the pod that was let go, also when another has it."""
    _pods_told: dict[str, Pod] = field(default_factory=dict)
    _budgets_told: dict[str, Budget] = field(default_factory=dict)
    _facts_told: View | None = None
    restarts: int = 0
    _events: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    _number: int = 0

    def now(self) -> str:
        """The wall's time, as the API writes it."""
        return (MORNING + timedelta(seconds=self.clock.now)).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def api(self) -> Any:
        return self

    def deploy(
        self, name: str, replicas: int, *, kind: str = "Deployment", namespace: str = "apps", **pod: Any
    ) -> Owner:
        """An owner with its pods ready on the old node."""
        owner = Owner(
            kind=kind,
            namespace=namespace,
            name=name,
            uid=f"uid-{name}",
            desired=replicas,
            surges=pod.pop("surges", False),
        )
        self.owners[owner.uid] = owner
        for index in range(replicas):
            self._add(owner, f"{name}-{index}", OLD, ready=True, **pod)
        return owner

    def protect(self, name: str, min_available: int, selector: Mapping[str, Any] | None = None) -> None:
        """A budget over the pods labelled ``app: <name>``."""
        self.selectors[name] = (selector or {"matchLabels": {"app": name}}, min_available)

    def _add(self, owner: Owner, name: str, node: str, *, ready: bool, **more: Any) -> Pod:
        self._number += 1
        labels = {"app": owner.name, **more.pop("labels", {})}
        pod = Pod(
            namespace=owner.namespace,
            name=name,
            uid=f"{name}#{self._number}",
            node=node,
            ready=ready,
            labels=labels,
            controller=Controller(kind=owner.kind, name=owner.name, uid=owner.uid),
            **more,
        )
        self.pods[pod.uid] = pod
        return pod

    # What the drain looks at.

    def view(self) -> View:
        for name, (_, wanted) in self.selectors.items():
            healthy = self._budget(name).current_healthy
            self.lowest[name] = min(self.lowest.get(name, healthy), healthy)
            assert healthy >= wanted, f"budget {name} is violated: {healthy} of {wanted}"
        budgets = [self._budget(name) for name in self.selectors]
        return View(
            nodes=self.nodes,
            pods=list(self.pods.values()),
            budgets=budgets,
            owners=dict(self.owners),
            admission=self.admission,
        )

    def exact(self) -> View:
        return self.view()

    def told_anew(self) -> None:
        """Another drain begins: it is told everything first."""
        self._pods_told, self._budgets_told, self._facts_told = {}, {}, None

    def changes(self) -> Changes:
        """What differs from when this was asked before."""
        view = self.view()
        pods, budgets = {pod.uid: pod for pod in view.pods}, {budget.key: budget for budget in view.budgets}
        facts = replace(view, pods=(), budgets=())
        found = Changes(
            pods=_differences(self._pods_told, pods),
            budgets=_differences(self._budgets_told, budgets),
            facts=None if facts == self._facts_told else facts,
        )
        self._pods_told, self._budgets_told, self._facts_told = pods, budgets, facts
        # The disruption controller looks as often as the drain does.
        self.disrupted = {name: since for name, since in self.disrupted.items() if name in self.kept}
        return found

    def _budget(self, name: str) -> Budget:
        selector, wanted = self.selectors[name]
        chosen = [p for p in self.pods.values() if matches(selector, p.labels)]
        healthy = sum(p.ready and not p.terminating for p in chosen)
        owners = {p.controller.uid for p in chosen if p.controller}
        return Budget(
            namespace="apps",
            name=name,
            selector=selector,
            allowed=max(0, healthy - wanted),
            current_healthy=healthy,
            desired_healthy=wanted,
            expected=sum(self.owners[uid].desired or 0 for uid in owners),
            disrupted={pod.name: self.disrupted[pod.name] for pod in chosen if pod.name in self.disrupted},
        )

    def volumes_held(self, staying: Callable[[], Sequence[Pod]]) -> list[str]:
        return self.attached.pop(0) if self.attached else []

    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.settle()

    def settle(self) -> None:
        """Let everything due by now happen."""
        due = [event for event in self._events if event[0] <= self.clock.now]
        self._events = [event for event in self._events if event[0] > self.clock.now]
        for _, happen in due:
            happen()

    # What the drain does.

    def evict(self, namespace: str, name: str, uid: str) -> None:
        self.asked.append(name)
        if self.refusals.get(name):
            raise self.refusals[name].pop(0)
        pod = self.pods.get(uid)
        if pod is None:
            raise NotFound(404, {}, "evict")
        for budget in self.selectors:
            if matches(self.selectors[budget][0], pod.labels) and self._budget(budget).allowed < 1:
                raise too_low()
            if matches(self.selectors[budget][0], pod.labels):
                self.disrupted[name] = self.now()
        self.evictions.append(name)
        self.end(pod)

    def end(self, pod: Pod) -> None:
        """The pod is told to go; its owner starts another one."""
        self.pods[pod.uid] = replace(pod, terminating=True)
        self._events.append((self.clock.now + self.ends, lambda: self._gone(pod)))

    def _gone(self, pod: Pod) -> None:
        self.pods.pop(pod.uid, None)
        if pod.controller and pod.controller.uid in self.owners:
            self.start(self.owners[pod.controller.uid], pod)

    def start(self, owner: Owner, like: Pod) -> None:
        """A new pod of the owner, ready after a while."""
        name = like.name if owner.kind == "StatefulSet" else f"{like.name}x"
        labels, keeps = dict(like.labels), {"tolerates": like.tolerates}
        if self.back_to == NEW and sum(pod.node == NEW for pod in self.pods.values()) >= self.room:
            why = "0/9 nodes are available: 9 Insufficient cpu."
            self._add(owner, name, "", ready=False, labels=labels, phase="Pending", unschedulable=why, **keeps)
            return
        new = self._add(owner, name, self.back_to, ready=False, labels=labels, created=self.now(), **keeps)

        def ready() -> None:
            if new.uid in self.pods:
                self.pods[new.uid] = replace(self.pods[new.uid], ready=True)

        self._events.append((self.clock.now + self.starts, ready))

    def grow(self, room: int) -> None:
        """The new side takes more: what has no node gets one."""
        self.room = room
        for pod in [pod for pod in self.pods.values() if not pod.node]:
            self.pods[pod.uid] = replace(pod, node=NEW, phase="Running", ready=True, unschedulable="")

    def find(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        if kind == PODS:
            pod = next((p for p in self.pods.values() if p.name == name), None)
            return None if pod is None else {"metadata": {"uid": pod.uid, "name": name}}
        assert kind == DEPLOYMENTS
        owner = next(o for o in self.owners.values() if o.name == name)
        live = [p for p in self.pods.values() if p.controller and p.controller.uid == owner.uid and not p.terminating]
        whole = len(live) == owner.desired and all(p.ready for p in live)
        return {
            "metadata": {"name": name, "resourceVersion": "1", "generation": 1},
            "spec": {
                "replicas": owner.desired,
                "template": {"metadata": {"annotations": {"migration/restarted-off": self.templates.get(name, "")}}},
            },
            "status": {
                "observedGeneration": 1,
                "replicas": len(live),
                "updatedReplicas": owner.desired if whole else 0,
                "availableReplicas": sum(p.ready for p in live),
            },
        }

    def patch(self, kind: Kind, name: str, body: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        assert kind == DEPLOYMENTS
        self.patches.append((name, body))
        self.templates[name] = body["spec"]["template"]["metadata"]["annotations"]["migration/restarted-off"]
        owner = next(o for o in self.owners.values() if o.name == name)
        self.restarts += 1
        for pod in [p for p in self.pods.values() if p.controller and p.controller.uid == owner.uid]:
            self.start(owner, pod)
            # The surge pod is ready before the old one ends.
            self._events.append((self.clock.now + self.starts, lambda pod=pod: self._retire(pod)))
        return {}

    def _retire(self, pod: Pod) -> None:
        self.pods[pod.uid] = replace(pod, terminating=True)
        self._events.append((self.clock.now + self.ends, lambda: self.pods.pop(pod.uid, None)))


T = TypeVar("T")


def _differences(before: Mapping[str, T], now: Mapping[str, T]) -> list[tuple[str, T | None]]:
    gone: list[tuple[str, T | None]] = [(key, None) for key in before if key not in now]
    return gone + [(key, one) for key, one in now.items() if before.get(key) != one]


def too_low() -> ApiFailure:
    """A budget allows no eviction now."""
    return refusal(429, details={"causes": [{"reason": "DisruptionBudget"}]})


def refusal(code: int, message: str = "no", **body: Any) -> ApiFailure:
    """What the API answers; 404 and 409 have types of their own."""
    kind = {404: NotFound, 409: Conflict}.get(code, ApiFailure)
    return kind(code, {"message": message, **body}, "evict")
