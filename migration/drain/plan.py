"""What may be evicted now, what waits, what is blocked and why: one pure function of what is seen.

It is asked again after every change, so a killed drain, an edited budget or a removed annotation need no special
case: what remains is planned from what is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from migration.clients.documents import Document, listed, mapping
from migration.drain.model import Budget, Owner, Pod, matches, scaled

DNS_LABEL = ("k8s-app", "kube-dns")
# Phases of the tier "rest". Where a fail-closed webhook has no backend no pod can start, and without DNS the ones
# that start fail: both move first, each while everything else still runs.
ADMISSION, DNS, OTHERS = 0, 1, 2
PHASES = ("webhooks and aggregated APIs", "CoreDNS", "everything else")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which pods a drain moves, and what it accepts to lose."""

    tier: Literal["ingress", "rest"]
    """Only the ingress pods, or all that are left."""
    ingress_namespace: str = ""
    ingress_selector: Mapping[str, str] = field(default_factory=dict[str, str])
    """Labels of the ingress pods."""
    unprotected: int | str = "25%"
    """How many pods of an owner without a budget may be away at once: a count, or a share of its replicas."""
    empty_dir: bool = False
    """Whether what pods keep in emptyDir volumes may be lost."""
    bare_pods: bool = False
    """Whether pods without a controller, which nothing starts again, may be ended."""


@dataclass(frozen=True, kw_only=True)
class View:
    """The cluster as seen at one moment.

    `nodes`: names of the nodes to empty. `owners`: by the UID of a pod's controller (a ReplicaSet's leads to its
    Deployment). `admission`: namespace and selector of Services behind webhooks and aggregated APIs.
    `single_writer`: claims (``namespace/name``) that only one node may mount at a time.
    """

    nodes: frozenset[str]
    pods: Sequence[Pod]
    budgets: Sequence[Budget]
    owners: Mapping[str, Owner]
    admission: Sequence[tuple[str, Mapping[str, str]]] = ()
    single_writer: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Blocked:
    """A pod that this drain may not move, and what somebody can do about it."""

    pod: str
    owner: str
    budget: str
    reason: str

    def __str__(self) -> str:
        return f"{self.pod} (owner {self.owner or 'none'}, budget {self.budget or 'none'}): {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Pods that share one limit, moved by one writer. `free` pods pass whatever the limit says.

    `allowed` is how many of `pods` may go now; of a PodDisruptionBudget it is a hint from a cache, to be asked again.
    """

    key: str
    phase: int
    budget: Budget | None
    allowed: int
    pods: tuple[Pod, ...]
    free: tuple[Pod, ...]


@dataclass(frozen=True, kw_only=True)
class Restart:
    """A Deployment moved by a rolling restart, because its budget never allows an eviction."""

    owner: Owner
    budget: str
    phase: int
    pods: tuple[Pod, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything still on the nodes, by what happens to it. `leaving` pods are on their way out already.

    `phases` and `owners` (keys, "" for none) are by UID, of every pod named here.
    """

    lanes: tuple[Lane, ...]
    restarts: tuple[Restart, ...]
    blocked: tuple[Blocked, ...]
    leaving: tuple[Pod, ...]
    phases: Mapping[str, int]
    owners: Mapping[str, str]

    @property
    def remaining(self) -> int:
        """Pods to move or moving; blocked ones don't count."""
        return (
            sum(len(lane.pods) + len(lane.free) for lane in self.lanes)
            + sum(len(restart.pods) for restart in self.restarts)
            + len(self.leaving)
        )


def belongs(pod: Pod, rules: Rules) -> bool:
    """Whether `pod` is of the tier. "rest" takes what the ingress tier left, too."""
    if rules.tier == "rest":
        return True
    return pod.namespace == rules.ingress_namespace and _selected(rules.ingress_selector, pod.labels)


def _selected(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def phase_of(pod: Pod, view: View, rules: Rules) -> int:
    """The phase in which `pod` moves; the ingress tier has only one."""
    if rules.tier == "ingress":
        return OTHERS
    if any(pod.namespace == namespace and _selected(selector, pod.labels) for namespace, selector in view.admission):
        return ADMISSION
    return DNS if pod.labels.get(DNS_LABEL[0]) == DNS_LABEL[1] else OTHERS


def owner_of(pod: Pod, view: View) -> Owner | None:
    """What replaces `pod`, or None for a bare one. A controller nobody described stands for itself."""
    if pod.controller is None:
        return None
    known = view.owners.get(pod.controller.uid)
    if known is not None:
        return known
    return Owner(kind=pod.controller.kind, namespace=pod.namespace, name=pod.controller.name, uid=pod.controller.uid)


def movable(view: View, rules: Rules) -> list[Pod]:
    """The tier's pods on the nodes that don't stay and aren't finished."""
    return [
        pod
        for pod in view.pods
        if pod.node in view.nodes and not pod.stays and not pod.finished and belongs(pod, rules)
    ]


def plan_drain(
    view: View, rules: Rules, evicted: frozenset[str] = frozenset(), denied: Mapping[str, str] | None = None
) -> Plan:
    """What to do with each pod of the tier.

    `evicted`: UIDs let go already, which the view may still show whole. `denied`: UIDs the API refused for good,
    with its reason.
    """
    by_namespace: dict[str, list[Budget]] = defaultdict(list)
    for budget in view.budgets:
        by_namespace[budget.namespace].append(budget)
    protected: dict[str, list[Pod]] = defaultdict(list)
    unprotected: dict[str, list[Pod]] = defaultdict(list)
    restarts: dict[str, list[Pod]] = defaultdict(list)
    budgets: dict[str, Budget] = {}
    owners: dict[str, Owner | None] = {}
    blocked: list[Blocked] = []
    leaving: list[Pod] = []
    phases: dict[str, int] = {}
    keys: dict[str, str] = {}
    for pod in sorted(movable(view, rules), key=lambda pod: (pod.ready, pod.key)):
        phases[pod.uid] = phase_of(pod, view, rules)
        owner = owner_of(pod, view)
        keys[pod.uid] = owner.key if owner else ""
        if pod.terminating or pod.uid in evicted:
            leaving.append(pod)
            continue
        selecting = [b for b in by_namespace[pod.namespace] if matches(b.selector, pod.labels)]
        reason = (denied or {}).get(pod.uid) or _objection(pod, rules) or _two_budgets(selecting)
        budget = selecting[0] if len(selecting) == 1 else None
        if not reason and budget is not None and budget.never_allows and pod.phase != "Pending":
            reason = _no_restart(pod, owner, budget, view)
            if not reason and owner is not None:
                restarts[owner.key].append(pod)
                owners[owner.key], budgets[owner.key] = owner, budget
                continue
        if reason:
            names = ", ".join(b.key for b in selecting)
            blocked.append(Blocked(pod=pod.key, owner=keys[pod.uid], budget=names, reason=reason))
        elif budget is not None:
            protected[budget.key].append(pod)
            budgets[budget.key] = budget
        else:
            key = keys[pod.uid] or f"Pod {pod.key}"
            unprotected[key].append(pod)
            owners[key] = owner
    ready = _ready_by_owner(view, set(unprotected), evicted) if unprotected else {}
    lanes = [_budget_lane(budgets[key], pods, phases) for key, pods in protected.items()]
    for key, pods in unprotected.items():
        lanes.append(_owner_lane(key, owners[key], ready.get(key, 0), pods, phases, rules))
    return Plan(
        lanes=tuple(sorted(lanes, key=lambda lane: (lane.phase, lane.key))),
        restarts=tuple(
            Restart(owner=owner, budget=budgets[key].key, phase=min(phases[p.uid] for p in pods), pods=tuple(pods))
            for key, pods in sorted(restarts.items())
            if (owner := owners[key]) is not None
        ),
        blocked=tuple(blocked),
        leaving=tuple(leaving),
        phases=phases,
        owners=keys,
    )


def _objection(pod: Pod, rules: Rules) -> str:
    if pod.leave_alone:
        return f"its annotation {pod.leave_alone} asks to leave it alone; remove that, or move the pod yourself"
    if pod.controller is None and not rules.bare_pods:
        return "it has no controller, nothing would start it again; set migration:drain.barePods to true to end it"
    if pod.empty_dir and not rules.empty_dir:
        return "its emptyDir data would be lost; set migration:drain.emptyDir to true to accept that"
    return ""


def _two_budgets(selecting: Iterable[Budget]) -> str:
    names = [budget.key for budget in selecting]
    if len(names) < 2:
        return ""
    return "more than one budget selects it, and the eviction API refuses such pods for good; leave it one budget"


def _no_restart(pod: Pod, owner: Owner | None, budget: Budget, view: View) -> str:
    """Why a pod whose budget never allows an eviction can't be moved by a rolling restart either; "" if it can."""
    never = (
        f"its budget never allows an eviction (wants {budget.desired_healthy} healthy of {budget.expected}); "
        f"add replicas or relax the budget"
    )
    if owner is None or owner.kind != "Deployment":
        return never
    if owner.paused:
        return f"{never}, or resume the Deployment: a paused one can't be moved by a rolling restart"
    if not owner.surges:
        return f"{never}, or let the Deployment surge (RollingUpdate, maxUnavailable 0, maxSurge 1)"
    if any(f"{pod.namespace}/{claim}" in view.single_writer for claim in pod.claims):
        return f"{never}: a rolling restart can't, since its volume is mounted by one node at a time"
    return ""


def _budget_lane(budget: Budget, pods: list[Pod], phases: Mapping[str, int]) -> Lane:
    # The eviction API lets pending pods go without asking the budget, unready ones by the budget's policy.
    free = [p for p in pods if p.phase == "Pending" or (not p.ready and budget.passes_unready())]
    return Lane(
        key=budget.key,
        phase=min(phases[p.uid] for p in pods),
        budget=budget,
        allowed=budget.allowed,
        pods=tuple(p for p in pods if p not in free),
        free=tuple(free),
    )


def _ready_by_owner(view: View, keys: set[str], evicted: frozenset[str]) -> dict[str, int]:
    ready: dict[str, int] = defaultdict(int)
    for pod in view.pods:
        if pod.ready and not pod.terminating and not pod.finished and pod.uid not in evicted:
            owner = owner_of(pod, view)
            if owner is not None and owner.key in keys:
                ready[owner.key] += 1
    return ready


def unprotected_limit(desired: int, rules: Rules) -> int:
    """How many pods of an owner without a budget may be away at once.

    At least one, or an owner would never move; rounded up as a budget's maxUnavailable is.
    """
    return max(1, scaled(rules.unprotected, desired, up=True))


def _owner_lane(
    key: str, owner: Owner | None, ready: int, pods: list[Pod], phases: Mapping[str, int], rules: Rules
) -> Lane:
    serving = [p for p in pods if p.ready]
    if owner is None:
        allowed = len(serving)
    else:
        desired = owner.desired if owner.desired is not None else ready
        allowed = max(0, unprotected_limit(desired, rules) - max(0, desired - ready))
    return Lane(
        key=key,
        phase=min(phases[p.uid] for p in pods),
        budget=None,
        allowed=allowed,
        pods=tuple(serving),
        # Whoever isn't ready serves nobody: ending it takes nothing away.
        free=tuple(p for p in pods if not p.ready),
    )


def admission_services(webhooks: Iterable[Document], api_services: Iterable[Document]) -> set[tuple[str, str]]:
    """Namespace and name of every Service that admission webhooks and aggregated APIs need."""
    services = [mapping(webhook, "clientConfig", "service") for one in webhooks for webhook in listed(one, "webhooks")]
    services += [mapping(api_service, "spec", "service") for api_service in api_services]
    return {(service["namespace"], service["name"]) for service in services if service}
