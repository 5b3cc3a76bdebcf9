"""Whether the lab's cluster is whole: its API answers, every node and pod is ready, every budget is met."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.addresses import LOOPBACK, LabAddresses
from lab.kubernetes.access import ApiError, access, read, ready
from lab.kubernetes.client import Client
from lab.settings import LabSettings

Object = dict[str, Any]

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


def judge(nodes: list[Object], pods: list[Object], budgets: list[Object], *, workload: bool) -> Health:
    """What is missing, from the objects alone. Without `workload`, no pod and no budget is asked for."""
    running = [pod for pod in pods if pod["status"].get("phase") not in {"Succeeded", "Failed"}]
    unready_nodes, unready_pods = ([_name(o) for o in objects if not ready(o)] for objects in (nodes, running))
    unmet = [
        _name(budget)
        for budget in budgets
        # A budget without status has not been looked at by the controller yet.
        if not (status := budget.get("status")) or status["currentHealthy"] < status["desiredHealthy"]
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


def _name(item: Object) -> str:
    return item["metadata"]["name"]


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


def look(directory: Path, addresses: LabAddresses, *, workload: bool = True) -> Health:
    """Looks once; an API that can't be asked is a health of its own, never an exception."""
    try:
        client = Client(access(read(directory / "kubeconfig")), patience_s=0, timeout_s=TIMEOUT_S)
        nodes, pods, budgets = map(
            client.list, ("/api/v1/nodes", "/api/v1/pods", "/apis/policy/v1/poddisruptionbudgets")
        )
    except ApiError as error:
        return Health(missing=(f"the Kubernetes API doesn't answer ({error})",))
    health = judge(nodes, pods, budgets, workload=workload)
    if workload and health.whole:
        trouble = ingress_answers(addresses, LabSettings.load(directory).ingress_name)
        if trouble:
            return Health(health.nodes, health.pods, health.budgets, (trouble,))
    return health
