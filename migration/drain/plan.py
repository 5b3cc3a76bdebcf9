"""What may be evicted now, what waits, what is blocked and why: one pure function of what is seen.

It is asked again after every change, so a killed drain, an edited budget or a removed annotation need no special
case: what remains is planned from what is there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
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
    more_ingress: Sequence[tuple[str, Mapping[str, str]]] = ()
    """The same of further ingress Services: namespace and labels."""
    unprotected: int | str = "25%"
    """How many pods of an owner without a budget may be away at once: a count, or a share of its replicas."""
    empty_dir: bool = False
    """Whether what pods keep in emptyDir volumes may be lost."""
    bare_pods: bool = False
    """Whether pods without a controller, which nothing starts again, may be ended."""
    jobs: Literal["wait", "evict", "refuse"] = "wait"
    """What becomes of pods that run to completion: they end by themselves, are evicted, or block the drain."""
    finished: Literal["leave", "refuse"] = "leave"
    """Whether ended pods, whose logs go with their node, may be left there."""
    host_path: bool = False
    """Whether what pods wrote to their node's own files may be lost."""
    local_volumes: bool = False
    """Whether pods may leave a volume behind that lives on their node alone."""
    by_option: bool = False
    """Whether these were said by a command's options, so that remedies name those, or by keys of a stack's file."""

    def remedy(self, key: str, value: str = "true") -> str:
        """How to say `key` of the configuration's `drain` otherwise: ``set migration:drain.emptyDir to true``."""
        if not self.by_option:
            return f"set migration:drain.{key} to {value}"
        option = "--" + re.sub("[A-Z]", lambda one: f"-{one[0].lower()}", key)
        return f"give {option}" if value == "true" else f"give {option} {value}"


@dataclass(frozen=True, kw_only=True)
class View:
    """The cluster as seen at one moment.

    `nodes`: names of the nodes to empty. `owners`: by the UID of a pod's controller (a ReplicaSet's leads to its
    Deployment). `admission`: namespace and selector of Services behind webhooks and aggregated APIs.
    `single_writer`: claims (``namespace/name``) that only one node may mount at a time. `zones`: of claims whose volume
    is bound to some; `node_bound`: volumes, by claim, that live on one node alone.
    """

    nodes: frozenset[str]
    pods: Sequence[Pod]
    budgets: Sequence[Budget]
    owners: Mapping[str, Owner]
    admission: Sequence[tuple[str, Mapping[str, str]]] = ()
    single_writer: frozenset[str] = frozenset()
    zones: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    node_bound: Mapping[str, str] = field(default_factory=dict[str, str])


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
    """Pods that share one limit, moved by one writer. `free` pods pass whatever a budget says.

    `allowed` is how many of `pods` may go now; of a PodDisruptionBudget it is a hint from a cache, to be asked again.
    `free_allowed` is how many of `free` may: all of a budget's, an owner's share where there is none.
    """

    key: str
    phase: int
    budget: Budget | None
    allowed: int
    pods: tuple[Pod, ...]
    free: tuple[Pod, ...]
    free_allowed: int

    @property
    def closed(self) -> bool:
        """None of its pods may go now."""
        return not (self.allowed and self.pods) and not (self.free_allowed and self.free)


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

    `ending` pods run to completion and are waited for. `phases` and `owners` (keys, "" for none) are by UID, of every
    pod named here.
    """

    lanes: tuple[Lane, ...]
    restarts: tuple[Restart, ...]
    blocked: tuple[Blocked, ...]
    leaving: tuple[Pod, ...]
    ending: tuple[Pod, ...]
    phases: Mapping[str, int]
    owners: Mapping[str, str]

    @property
    def remaining(self) -> int:
        """Pods to move or moving; blocked ones don't count."""
        return (
            sum(len(lane.pods) + len(lane.free) for lane in self.lanes)
            + sum(len(restart.pods) for restart in self.restarts)
            + len(self.leaving)
            + len(self.ending)
        )


def belongs(pod: Pod, rules: Rules) -> bool:
    """Whether `pod` is of the tier. "rest" takes what the ingress tier left, too."""
    if rules.tier == "rest":
        return True
    every = ((rules.ingress_namespace, rules.ingress_selector), *rules.more_ingress)
    return any(pod.namespace == namespace and _selected(selector, pod.labels) for namespace, selector in every)


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
    return [pod for pod in view.pods if moves(pod, view.nodes, rules)]


def moves(pod: Pod, nodes: frozenset[str], rules: Rules) -> bool:
    """Whether a pod is one of them."""
    return pod.node in nodes and not pod.stays and not pod.finished and belongs(pod, rules)


Kind = Literal["leaving", "ending", "blocked", "restart", "budget", "owner"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What happens to one pod: its `kind`, and with whom (`key`): a budget's pods, or an owner's."""

    kind: Kind
    phase: int
    owner: Owner | None
    key: str = ""
    budget: Budget | None = None
    blocked: Blocked | None = None

    @property
    def owner_key(self) -> str:
        """The owner's key, or "" for a bare pod."""
        return self.owner.key if self.owner else ""


def place(
    pod: Pod, selecting: Sequence[Budget], view: View, rules: Rules, *, evicted: bool, denied: str | None
) -> Placement:
    """What happens to one movable pod; `selecting` are the budgets that select it. Of the view no pod is looked at."""
    phase, owner = phase_of(pod, view, rules), owner_of(pod, view)
    if pod.terminating or evicted:
        return Placement(kind="leaving", phase=phase, owner=owner)
    if pod.ends_itself and rules.jobs == "wait":
        return Placement(kind="ending", phase=phase, owner=owner)
    reason = denied or _objection(pod, view, rules) or _two_budgets(selecting)
    budget = selecting[0] if len(selecting) == 1 else None
    key = owner.key if owner else ""
    if not reason and budget is not None and budget.never_allows and pod.phase != "Pending":
        reason = _no_restart(pod, owner, budget, view)
        if not reason:
            return Placement(kind="restart", phase=phase, owner=owner, key=key, budget=budget)
    if reason:
        names = ", ".join(sorted(one.key for one in selecting))
        blocked = Blocked(pod=pod.key, owner=key, budget=names, reason=reason)
        return Placement(kind="blocked", phase=phase, owner=owner, blocked=blocked)
    if budget is not None:
        return Placement(kind="budget", phase=phase, owner=owner, key=budget.key, budget=budget)
    return Placement(kind="owner", phase=phase, owner=owner, key=key or f"Pod {pod.key}")


def turn(pod: Pod) -> tuple[bool, str, str]:
    """The order in which pods of a lane go: those that serve nobody first.

    By UID last: a watch may show a StatefulSet's next pod before the end of the one of its name.
    """
    return pod.ready, pod.key, pod.uid


def plan_drain(
    view: View, rules: Rules, evicted: frozenset[str] = frozenset(), denied: Mapping[str, str] | None = None
) -> Plan:
    """What to do with each pod of the tier.

    `evicted`: UIDs let go already, which the view may still show whole. `denied`: UIDs the API refused for good,
    with its reason. `migration.drain.index.Index` keeps the same plan current change by change.
    """
    by_namespace: dict[str, list[Budget]] = defaultdict(list)
    for budget in view.budgets:
        by_namespace[budget.namespace].append(budget)
    together: dict[tuple[Kind, str], list[Pod]] = defaultdict(list)
    first: dict[tuple[Kind, str], Placement] = {}
    blocked: list[Blocked] = []
    phases: dict[str, int] = {}
    keys: dict[str, str] = {}
    for pod in sorted(movable(view, rules), key=turn):
        selecting = [b for b in by_namespace[pod.namespace] if matches(b.selector, pod.labels)]
        placement = place(pod, selecting, view, rules, evicted=pod.uid in evicted, denied=(denied or {}).get(pod.uid))
        phases[pod.uid], keys[pod.uid] = placement.phase, placement.owner_key
        if placement.blocked is not None:
            blocked.append(placement.blocked)
            continue
        together[placement.kind, placement.key].append(pod)
        first.setdefault((placement.kind, placement.key), placement)
    blocked += _finished(view, rules)
    owned = {one.owner.uid for (kind, _), one in first.items() if kind == "owner" and one.owner is not None}
    standing = _standing(view, owned, evicted)
    lanes: list[Lane] = []
    restarts: list[Restart] = []
    for (kind, key), pods in together.items():
        one = first[kind, key]
        phase = min(phases[pod.uid] for pod in pods)
        if kind == "budget" and one.budget is not None:
            lanes.append(budget_lane(one.budget, pods, phase))
        elif kind == "owner":
            lanes.append(owner_lane(key, one.owner, standing[one.owner.uid if one.owner else ""], pods, phase, rules))
        elif kind == "restart" and one.owner is not None and one.budget is not None:
            restarts.append(Restart(owner=one.owner, budget=one.budget.key, phase=phase, pods=tuple(pods)))
    return Plan(
        lanes=tuple(sorted(lanes, key=lambda lane: (lane.phase, lane.key))),
        restarts=tuple(sorted(restarts, key=lambda restart: restart.owner.key)),
        blocked=tuple(blocked),
        leaving=tuple(together["leaving", ""]),
        ending=tuple(together["ending", ""]),
        phases=phases,
        owners=keys,
    )


def _objection(pod: Pod, view: View, rules: Rules) -> str:
    if pod.leave_alone:
        return f"its annotation {pod.leave_alone} asks to leave it alone; remove that, or move the pod yourself"
    if pod.ends_itself and rules.jobs == "refuse":
        return f"it runs to completion, and its work would be lost; {rules.remedy('jobs', 'wait')} or evict, or end it"
    if pod.controller is None and not rules.bare_pods:
        return f"it has no controller, nothing would start it again; {rules.remedy('barePods')} to end it"
    if pod.empty_dir and not rules.empty_dir:
        return f"its emptyDir data would be lost; {rules.remedy('emptyDir')} to accept that"
    if pod.host_path and not rules.host_path:
        return (
            f"what it writes to its node's files (a hostPath volume) would be lost; {rules.remedy('hostPath')} to "
            f"accept that"
        )
    local = next(
        (view.node_bound[c] for claim in pod.claims if (c := f"{pod.namespace}/{claim}") in view.node_bound), ""
    )
    if local and not rules.local_volumes:
        return (
            f"its volume {local} lives on this node alone and can't follow; move the data yourself and delete the "
            f"claim, or {rules.remedy('localVolumes')} to evict the pod all the same"
        )
    return ""


def _finished(view: View, rules: Rules) -> list[Blocked]:
    """Ended pods on the nodes, where they may not be left there."""
    return [one for pod in view.pods if (one := ended(pod, view, rules)) is not None]


def ended(pod: Pod, view: View, rules: Rules) -> Blocked | None:
    """Why an ended pod on the nodes may not be left there; None where it may, or isn't one."""
    if rules.finished == "leave" or not pod.finished or pod.node not in view.nodes or pod.stays:
        return None
    if not belongs(pod, rules):
        return None
    owner = owner_of(pod, view)
    reason = (
        f"it has ended, and its logs go with the node; save them and delete it, or "
        f"{rules.remedy('finishedPods', 'leave')}"
    )
    return Blocked(pod=pod.key, owner=owner.key if owner else "", budget="", reason=reason)


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


def budget_lane(budget: Budget, pods: Sequence[Pod], phase: int) -> Lane:
    """A budget's pods, in their turn."""
    # The eviction API lets pending pods go without asking the budget, unready ones by the budget's policy.
    free = [p for p in pods if p.phase == "Pending" or (not p.ready and budget.passes_unready())]
    passing = {p.uid for p in free}
    return Lane(
        key=budget.key,
        phase=phase,
        budget=budget,
        allowed=budget.allowed,
        pods=tuple(p for p in pods if p.uid not in passing),
        free=tuple(free),
        free_allowed=len(free),
    )


@dataclass
class Standing:
    """An owner's pods that aren't on their way out: all, the ready ones, and those off the nodes that aren't ready."""

    there: int = 0
    ready: int = 0
    starting: int = 0

    def count(self, pod: Pod, nodes: frozenset[str], by: int = 1) -> None:
        """Count a pod in, or (with -1) out."""
        self.there += by
        self.ready += by * pod.ready
        self.starting += by * (not pod.ready and pod.node not in nodes)


def stands(pod: Pod, evicted: Collection[str]) -> bool:
    """Whether an owner's pod counts: it isn't on its way out."""
    return not (pod.controller is None or pod.terminating or pod.finished or pod.uid in evicted)


def owner_uid(pod: Pod, view: View) -> str:
    """The UID of what replaces a pod; "" for a bare one."""
    if pod.controller is None:
        return ""
    known = view.owners.get(pod.controller.uid)
    return known.uid if known else pod.controller.uid


def _standing(view: View, uids: set[str], evicted: frozenset[str]) -> defaultdict[str, Standing]:
    """Of each of these owners, by UID, with one pass over all pods."""
    found: defaultdict[str, Standing] = defaultdict(Standing)
    for pod in view.pods if uids else ():
        if stands(pod, evicted) and (uid := owner_uid(pod, view)) in uids:
            found[uid].count(pod, view.nodes)
    return found


def unprotected_limit(desired: int, rules: Rules) -> int:
    """How many pods of an owner without a budget may be away at once.

    At least one, or an owner would never move; rounded up as a budget's maxUnavailable is.
    """
    return max(1, scaled(rules.unprotected, desired, up=True))


def owner_lane(
    key: str, owner: Owner | None, standing: Standing, pods: Sequence[Pod], phase: int, rules: Rules
) -> Lane:
    """An owner's pods under the default budget. Its share counts every pod that moves, not only those that served.

    An unready pod serves nobody now, but may be about to (a quorum that forms): so it goes before a ready one, and no
    more at once than the share, until as many have become ready elsewhere.
    """
    serving, unready = [p for p in pods if p.ready], [p for p in pods if not p.ready]
    if owner is None:
        allowed, free_allowed = len(serving), len(unready)
    else:
        desired = owner.desired if owner.desired is not None else standing.there
        limit = unprotected_limit(desired, rules)
        moving = standing.starting + max(0, desired - standing.there)
        free_allowed = min(len(unready), max(0, limit - moving))
        allowed = max(0, min(limit - max(0, desired - standing.ready), limit - moving - free_allowed))
    return Lane(
        key=key,
        phase=phase,
        budget=None,
        allowed=allowed,
        pods=tuple(serving),
        free=tuple(unready),
        free_allowed=free_allowed,
    )


def admission_services(webhooks: Iterable[Document], api_services: Iterable[Document]) -> set[tuple[str, str]]:
    """Namespace and name of every Service that admission webhooks and aggregated APIs need."""
    services = [mapping(webhook, "clientConfig", "service") for one in webhooks for webhook in listed(one, "webhooks")]
    services += [mapping(api_service, "spec", "service") for api_service in api_services]
    return {(service["namespace"], service["name"]) for service in services if service}
