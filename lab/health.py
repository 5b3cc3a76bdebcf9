"""Whether the lab's cluster is whole: its API answers, every node and pod is ready, every budget is met."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import lightkube
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.models.core_v1 import NodeCondition, PodCondition
from lightkube.resources.core_v1 import Node, Pod
from lightkube.resources.policy_v1 import PodDisruptionBudget

from lab.addresses import LOOPBACK, LabAddresses
from lab.settings import LabSettings

TIMEOUT_S = 5.0
SHOWN = 3
"""How many names of what isn't ready a line shows."""


@dataclass(frozen=True)
class Health:
    """What was seen, and what is missing for the cluster to be whole (nothing: it is)."""

    nodes: int = 0
    pods: int = 0
    budgets: int = 0
    missing: tuple[str, ...] = field(default=())

    @property
    def whole(self) -> bool:
        return not self.missing

    def __str__(self) -> str:
        if self.missing:
            return "; ".join(self.missing)
        return f"{self.nodes} nodes, {self.pods} pods, {self.budgets} budgets: all ready"


def ready(conditions: Iterable[NodeCondition] | Iterable[PodCondition] | None) -> bool:
    """Whether an object's conditions say `Ready: True`."""
    return any(one.type == "Ready" and one.status == "True" for one in conditions or ())


def judge(nodes: list[Node], pods: list[Pod], budgets: list[PodDisruptionBudget], *, workload: bool) -> Health:
    """What is missing, from the objects alone. Without `workload`, no pod and no budget is asked for."""
    running = [pod for pod in pods if (pod.status and pod.status.phase) not in {"Succeeded", "Failed"}]
    unready_nodes = [_name(node) for node in nodes if not ready(node.status and node.status.conditions)]
    unready_pods = [_name(pod) for pod in running if not ready(pod.status and pod.status.conditions)]
    unmet = [
        _name(budget)
        for budget in budgets
        # A budget without status has not been looked at by the controller yet.
        if budget.status is None or (budget.status.currentHealthy or 0) < (budget.status.desiredHealthy or 0)
    ]
    missing: list[str] = []
    if not nodes:
        missing.append("no node has joined")
    if workload and not running:
        missing.append("no pod is there")
    for what, names in (("node", unready_nodes), ("pod", unready_pods), ("budget", unmet)):
        if names:
            state = "below its minimum" if what == "budget" else "not ready"
            missing.append(f"{len(names)} {what}(s) {state} ({_some(names)})")
    return Health(len(nodes), len(running), len(budgets), tuple(missing))


def _name(thing: Node | Pod | PodDisruptionBudget) -> str:
    return (thing.metadata.name if thing.metadata else None) or "?"


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def ingress_answers(addresses: LabAddresses, host: str) -> str | None:
    """None if a request through the ingress got 200, else what came instead."""
    connection = http.client.HTTPConnection(LOOPBACK, addresses.ingress_port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/", headers={"Host": host})
        status = connection.getresponse().status
        return None if status == 200 else f"the ingress answered {status}"
    except (OSError, http.client.HTTPException) as error:
        return f"the ingress doesn't answer ({type(error).__name__})"
    finally:
        connection.close()


def look(
    directory: Path,
    addresses: LabAddresses,
    *,
    workload: bool = True,
    client: Callable[[], lightkube.Client] | None = None,
) -> Health:
    """Looks once; an API that can't be asked is a health of its own, never an exception."""
    try:
        kube = client() if client is not None else _client(directory)
        nodes, pods = list(kube.list(Node)), list(kube.list(Pod, namespace="*"))
        budgets = list(kube.list(PodDisruptionBudget, namespace="*"))
    except (ApiError, ConfigError, httpx2.HTTPError, OSError) as error:
        return Health(missing=(f"the Kubernetes API doesn't answer ({str(error) or type(error).__name__})",))
    health = judge(nodes, pods, budgets, workload=workload)
    if workload and health.whole:
        trouble = ingress_answers(addresses, LabSettings.load(directory).ingress_name)
        if trouble:
            return Health(health.nodes, health.pods, health.budgets, (trouble,))
    return health


def _client(directory: Path) -> lightkube.Client:
    config = lightkube.KubeConfig.from_file(directory / "kubeconfig")
    # trust_env: a proxy variable must not catch a connection to loopback.
    return lightkube.Client(config=config, timeout=httpx2.Timeout(TIMEOUT_S), trust_env=False)
