"""What a drain needs to know of pods, budgets and owners, read from the API's dictionaries."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

import msgspec
from lightkube.utils.quantity import parse_quantity

from migration.clients.documents import Document, listed, mapping
from migration.drain.wire import (
    BudgetWire,
    Condition,
    Metadata,
    PodSpec,
    PodWire,
    Resources,
    Toleration,
    Volume,
)

# What keeps new pods off a side's nodes; and how the API shows a cordon among a node's taints.
TAINT = {"key": "migration", "value": "migration", "effect": "NoSchedule"}
CORDON_TAINT = {"key": "node.kubernetes.io/unschedulable", "value": "", "effect": "NoSchedule"}
MIRROR = "kubernetes.io/config.mirror"
# Annotations with which owners ask that a pod be left alone: cluster-autoscaler's, Karpenter's (new and old).
LEAVE_ALONE = (
    ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
    ("karpenter.sh/do-not-disrupt", "true"),
    ("karpenter.sh/do-not-evict", "true"),
)
# Seconds a pod may take to end where it doesn't say: the API's own default.
GRACE = 30.0
FINISHED = frozenset({"Succeeded", "Failed"})
NO_CONDITION = Condition()


@dataclass(frozen=True, kw_only=True, slots=True)
class Controller:
    """The controlling owner reference of an object."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """One pod. `leave_alone` is the annotation that asks so, or empty; `claims` are PersistentVolumeClaim names.

    `created`, `placed` (when it got its node) and `ready_since` are the API's timestamps, or empty; `grace_seconds`
    it may take to end. `host_path`: it may write to its node's own files. `ends_itself`: it runs to completion, as
    a Job's does. `tolerates`: neither our taint nor a cordon keeps it off a node. `unschedulable`: why the
    scheduler finds no node for it, or empty. `cpu` (cores) and `memory` (bytes) are what it requests.
    """

    namespace: str
    name: str
    uid: str
    node: str
    phase: str = "Running"
    ready: bool = True
    terminating: bool = False
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    controller: Controller | None = None
    mirror: bool = False
    leave_alone: str = ""
    empty_dir: bool = False
    claims: tuple[str, ...] = ()
    created: str = ""
    placed: str = ""
    ready_since: str = ""
    grace_seconds: float = GRACE
    host_path: bool = False
    ends_itself: bool = False
    tolerates: bool = False
    unschedulable: str = ""
    cpu: float = 0.0
    memory: float = 0.0

    @property
    def key(self) -> str:
        """Namespace and name, as people write it."""
        return f"{self.namespace}/{self.name}"

    @property
    def finished(self) -> bool:
        """Its containers ended and won't start again."""
        return self.phase in FINISHED

    @property
    def start_seconds(self) -> float | None:
        """From getting its node until it was ready (the last time it became so); None while it isn't.

        Not from its creation: how long a scheduler had no place for it then says nothing of how it starts.
        """
        began = self.placed or self.created
        if not (self.ready and began and self.ready_since):
            return None
        took = datetime.fromisoformat(self.ready_since) - datetime.fromisoformat(began)
        return max(0.0, took.total_seconds())

    @property
    def stays(self) -> bool:
        """DaemonSet pods come back to their node and mirror pods are the kubelet's own."""
        return self.mirror or (self.controller is not None and self.controller.kind in ("DaemonSet", "Node"))


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A PodDisruptionBudget: its selector as the API gives it (None selects nothing) and its status.

    `disrupted`: names of pods that were let go and that the disruption controller hasn't seen go, and when that was.
    """

    namespace: str
    name: str
    selector: Document | None
    allowed: int
    current_healthy: int
    desired_healthy: int
    expected: int
    fresh: bool = True
    evicts_unhealthy: bool = False
    disrupted: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}"

    @property
    def never_allows(self) -> bool:
        """Even with every pod healthy no eviction would be allowed."""
        return self.fresh and self.expected > 0 and self.desired_healthy >= self.expected

    def passes_unready(self) -> bool:
        """Whether the eviction API lets an unready pod go regardless of `allowed`.

        IfHealthyBudget (the default) does once enough others are healthy, AlwaysAllow does always.
        """
        return self.evicts_unhealthy or (self.current_healthy >= self.desired_healthy > 0)


@dataclass(frozen=True, kw_only=True)
class Owner:
    """What replaces a pod: a Deployment, StatefulSet, Job, … `desired` replicas, None when it doesn't say.

    `surges`: a Deployment whose rolling update starts a new pod before it ends an old one.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    desired: int | None = None
    surges: bool = False
    paused: bool = False

    @property
    def key(self) -> str:
        """Kind, namespace and name."""
        return f"{self.kind} {self.namespace}/{self.name}"


def pod_from(item: Document) -> Pod:
    """A pod from the API's dictionary."""
    return pod_of(msgspec.convert(item, PodWire))


def pod_of(item: PodWire) -> Pod:
    """A pod from what was read of it."""
    metadata, spec, status = item.metadata, item.spec, item.status
    annotations = metadata.annotations or {}
    volumes = spec.volumes or ()
    ready = placed = NO_CONDITION
    for condition in status.conditions or ():
        if condition.type == "Ready":
            ready = condition
        elif condition.type == "PodScheduled":
            placed = condition
    # A pod that was told to end says how long it was given, which may differ from what it asked for.
    told = metadata.deletion_grace_period_seconds
    grace = spec.termination_grace_period_seconds if told is None else told
    cpu, memory = _requests(spec)
    controller = _controller(metadata)
    return Pod(
        namespace=sys.intern(metadata.namespace),
        name=metadata.name,
        uid=metadata.uid,
        node=sys.intern(spec.node_name or ""),
        phase=sys.intern(status.phase or "Pending"),
        ready=ready.status == "True",
        terminating=bool(metadata.deletion_timestamp),
        labels=_interned(metadata.labels),
        controller=controller,
        mirror=MIRROR in annotations,
        leave_alone=next((f"{key}={value}" for key, value in LEAVE_ALONE if annotations.get(key) == value), ""),
        empty_dir=any(volume.empty_dir is not None for volume in volumes),
        claims=_claims(metadata.name, volumes),
        created=metadata.creation_timestamp or "",
        placed=(placed.last_transition_time or "") if placed.status == "True" else "",
        ready_since=ready.last_transition_time or "",
        grace_seconds=GRACE if grace is None else grace,
        host_path=any(_written_on_host(volume, spec) for volume in volumes if volume.host_path is not None),
        ends_itself=(controller is not None and controller.kind == "Job")
        or (spec.restart_policy or "Always") != "Always",
        tolerates=all(any(_tolerated(taint, one) for one in spec.tolerations or ()) for taint in (TAINT, CORDON_TAINT)),
        unschedulable=(placed.message or "it says no reason")
        if placed.status == "False" and placed.reason == "Unschedulable"
        else "",
        cpu=cpu,
        memory=memory,
    )


def _interned(labels: dict[str, str] | None) -> Mapping[str, str]:
    """The labels, their words held once for all pods that have them."""
    return {sys.intern(key): sys.intern(value) for key, value in (labels or {}).items()}


def _controller(metadata: Metadata) -> Controller | None:
    for reference in metadata.owner_references or ():
        if reference.controller:
            return _one_controller(reference.kind, reference.name, reference.uid)
    return None


@lru_cache(maxsize=16384)
def _one_controller(kind: str, name: str, uid: str) -> Controller:
    return Controller(kind=kind, name=name, uid=uid)


def _written_on_host(volume: Volume, spec: PodSpec) -> bool:
    """Whether a container may write to a hostPath volume. Sockets and devices hold no data."""
    if volume.host_path is None or volume.host_path.type in ("Socket", "CharDevice", "BlockDevice"):
        return False
    containers = (*(spec.containers or ()), *(spec.init_containers or ()))
    mounts = [one for container in containers for one in container.volume_mounts or ()]
    return any(one.name == volume.name and not one.read_only for one in mounts)


def _tolerated(taint: Mapping[str, str], toleration: Toleration) -> bool:
    """Whether a toleration takes a taint (k8s.io/api core/v1, Toleration): without key or effect it takes any."""
    if toleration.effect not in (None, "", taint["effect"]):
        return False
    exists = toleration.operator == "Exists"
    if toleration.key not in (None, ""):
        return toleration.key == taint["key"] and (exists or (toleration.value or "") == taint["value"])
    return exists


def requests(spec: Document) -> tuple[float, float]:
    """The cores and bytes the scheduler reserves for a pod (Kubernetes: sidecar containers, resource sharing).

    The containers and sidecars together, or the largest init container with the sidecars before it where that is
    more; the pod's own requests instead of both where it has them; and its overhead.
    """
    return _requests(msgspec.convert(spec, PodSpec))


def _requests(spec: PodSpec) -> tuple[float, float]:
    found: list[float] = []
    for what in ("cpu", "memory"):
        running = sum(_requested(one.resources, what) for one in spec.containers or ())
        sidecars, starting = 0.0, 0.0
        for one in spec.init_containers or ():
            if one.restart_policy == "Always":
                sidecars += _requested(one.resources, what)
                starting = max(starting, sidecars)
            else:
                starting = max(starting, sidecars + _requested(one.resources, what))
        own = None if spec.resources is None else (spec.resources.requests or {}).get(what)
        wanted = max(running + sidecars, starting) if own is None else amount(own)
        found.append(wanted + amount((spec.overhead or {}).get(what) or 0))
    return found[0], found[1]


def _requested(resources: Resources | None, what: str) -> float:
    return 0.0 if resources is None or not resources.requests else amount(resources.requests.get(what) or 0)


@lru_cache(maxsize=4096)
def amount(quantity: str | int | float) -> float:
    """A Kubernetes quantity as a number: ``"100m"`` → 0.1, ``"1Gi"`` → 1073741824.0."""
    return float(parse_quantity(str(quantity)) or 0)


def _claims(pod: str, volumes: Iterable[Volume]) -> tuple[str, ...]:
    volumes = tuple(volumes)
    named = [one.persistent_volume_claim.claim_name for one in volumes if one.persistent_volume_claim is not None]
    # A generic ephemeral volume's claim is named after pod and volume (Kubernetes: ephemeral volumes).
    named += [f"{pod}-{one.name}" for one in volumes if one.ephemeral is not None]
    return tuple(named)


def controller_from(metadata: Document) -> Controller | None:
    """The owner reference marked as controller, if any."""
    for reference in listed(metadata, "ownerReferences"):
        if reference.get("controller"):
            return Controller(kind=reference["kind"], name=reference["name"], uid=reference["uid"])
    return None


def budget_from(item: Document) -> Budget:
    """A budget from the API's dictionary."""
    return budget_of(msgspec.convert(item, BudgetWire))


def budget_of(item: BudgetWire) -> Budget:
    """A budget from what was read of it. A status older than the spec counts as allowing nothing yet."""
    metadata, spec, status = item.metadata, item.spec, item.status
    fresh = (status.observed_generation or 0) >= (metadata.generation or 0)
    return Budget(
        namespace=metadata.namespace,
        name=metadata.name,
        selector=spec.selector,
        allowed=(status.disruptions_allowed or 0) if fresh else 0,
        current_healthy=status.current_healthy or 0,
        desired_healthy=status.desired_healthy or 0,
        expected=status.expected_pods or 0,
        fresh=fresh,
        evicts_unhealthy=spec.unhealthy_pod_eviction_policy == "AlwaysAllow",
        disrupted=status.disrupted_pods or {},
    )


def owner_from(kind: str, item: Document) -> Owner:
    """A workload controller from the API's dictionary."""
    metadata, spec = mapping(item, "metadata"), mapping(item, "spec")
    desired = spec.get("parallelism") if kind == "Job" else spec.get("replicas")
    return Owner(
        kind=kind,
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        desired=None if desired is None else int(desired),
        surges=kind == "Deployment" and _surges(spec),
        paused=bool(spec.get("paused")),
    )


def _surges(spec: Document) -> bool:
    """RollingUpdate with an effective maxUnavailable of 0 and maxSurge of 1 or more (both default to 25 %).

    A Deployment rounds maxUnavailable down and maxSurge up (k8s.io/kubectl, deployment util, ResolveFenceposts).
    """
    if mapping(spec, "strategy").get("type", "RollingUpdate") != "RollingUpdate":
        return False
    rolling = mapping(spec, "strategy", "rollingUpdate")
    replicas = int(spec.get("replicas", 1))
    surge = scaled(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return surge >= 1 and unavailable == 0


def scaled(value: int | str, total: int, *, up: bool) -> int:
    """An int-or-percent of `total`, rounded as asked: ``"25%"`` of 5 is 2 up and 1 down. Raises `ValueError`."""
    if isinstance(value, str) and value.endswith("%"):
        share = int(value[:-1]) * total / 100
        return math.ceil(share) if up else math.floor(share)
    return int(value)


def matches(selector: Document | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects `labels`. None selects nothing, an empty one everything (policy/v1)."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in mapping(selector, "matchLabels").items()):
        return False
    return all(_holds(expression, labels) for expression in listed(selector, "matchExpressions"))


def _holds(expression: Document, labels: Mapping[str, str]) -> bool:
    key: str = expression["key"]
    operator: str = expression["operator"]
    values: Sequence[str] = expression.get("values") or ()
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    raise ValueError(f"unknown operator {operator!r} in a label selector")
