"""Pods and budgets as the API writes them: only the fields that a drain reads, decoded straight from its bytes.

A pod is 4 to 6 kB of JSON. Everything that isn't named here is skipped while it is read, so that neither a first list
of thousands nor the watch ever holds whole objects. Field names are the API's (k8s.io/api core/v1, policy/v1).
"""

from __future__ import annotations

from typing import Any

import msgspec


class Wire(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """Base of what is read of an object. Unknown fields are skipped; what is absent has its default."""


class Reference(Wire, frozen=True):
    """An owner reference."""

    kind: str
    name: str
    uid: str
    controller: bool | None = None


class Metadata(Wire, frozen=True):
    """An object's metadata. A bookmark has only the version."""

    resource_version: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    generation: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[Reference] | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None


class HostPath(Wire, frozen=True):
    """A hostPath volume."""

    type: str | None = None


class Claim(Wire, frozen=True):
    """A volume's PersistentVolumeClaim."""

    claim_name: str


class Volume(Wire, frozen=True):
    """A pod's volume: of those kinds that a drain asks about."""

    name: str = ""
    empty_dir: dict[str, Any] | None = None
    host_path: HostPath | None = None
    persistent_volume_claim: Claim | None = None
    ephemeral: dict[str, Any] | None = None


class Mount(Wire, frozen=True):
    """Where a container has a volume."""

    name: str = ""
    read_only: bool | None = None


class Resources(Wire, frozen=True):
    """What is requested, as quantities: a string, or a number."""

    requests: dict[str, str | int | float] | None = None


class Container(Wire, frozen=True):
    """A container, or an init container."""

    volume_mounts: list[Mount] | None = None
    resources: Resources | None = None
    restart_policy: str | None = None


class Toleration(Wire, frozen=True):
    """A toleration."""

    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None


class PodSpec(Wire, frozen=True):
    """A pod's spec."""

    node_name: str | None = None
    volumes: list[Volume] | None = None
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    tolerations: list[Toleration] | None = None
    termination_grace_period_seconds: int | None = None
    restart_policy: str | None = None
    resources: Resources | None = None
    overhead: dict[str, str | int | float] | None = None


class Condition(Wire, frozen=True):
    """A pod's condition."""

    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None


class PodStatus(Wire, frozen=True):
    """A pod's status."""

    phase: str | None = None
    conditions: list[Condition] | None = None


class PodWire(Wire, frozen=True):
    """A pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class BudgetSpec(Wire, frozen=True):
    """A budget's spec; its selector as the API gives it."""

    selector: dict[str, Any] | None = None
    unhealthy_pod_eviction_policy: str | None = None


class BudgetStatus(Wire, frozen=True):
    """A budget's status. `disrupted_pods`: when each of these pods, by name, was let go."""

    observed_generation: int | None = None
    disruptions_allowed: int | None = None
    current_healthy: int | None = None
    desired_healthy: int | None = None
    expected_pods: int | None = None
    disrupted_pods: dict[str, str] | None = None


class BudgetWire(Wire, frozen=True):
    """A PodDisruptionBudget."""

    metadata: Metadata
    spec: BudgetSpec = BudgetSpec()
    status: BudgetStatus = BudgetStatus()
