"""Applying the workload and seeing whether it is there."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.kubernetes.access import access, read, ready
from lab.kubernetes.client import PASSING, Client, Where

MANAGER = "pet-deploy"
CONTROLLER = "cloud-controller-manager"
PATIENCE_S = 60.0


class NotReady(RuntimeError):
    """The workload isn't as declared within the time given; the message says what is missing."""


@dataclass(frozen=True)
class Summary:
    """What of the workload is ready."""

    nodes: int
    nodes_ready: int
    pods: int
    pods_ready: int
    missing: tuple[str, ...]
    """Workloads that have fewer ready (or up-to-date) pods than they want, as kind/namespace/name ready/wanted."""

    @property
    def ok(self) -> bool:
        return not self.missing and self.nodes == self.nodes_ready and self.pods == self.pods_ready > 0

    def __str__(self) -> str:
        text = f"{self.nodes_ready}/{self.nodes} nodes, {self.pods_ready}/{self.pods} pods ready"
        return text + (f"; waiting for {', '.join(self.missing[:5])}" if self.missing else "")


class Cluster:
    """The lab's cluster as its administrator fills it. Every method raises ApiError once its patience is over."""

    def __init__(self, kubeconfig: Path) -> None:
        # 403: the API serves before its own roles are there.
        self._client = Client(access(read(kubeconfig)), patience_s=PATIENCE_S, passing=PASSING | {403})

    def exists(self, item: dict[str, Any]) -> bool:
        """Whether there is an object of this kind and name."""
        return self._client.get(Where.of(item)) is not None

    def read(self, item: dict[str, Any]) -> dict[str, Any]:
        """The object of this kind and name as it is; empty where there is none."""
        return self._client.get(Where.of(item)) or {}

    def apply(self, item: dict[str, Any]) -> None:
        """Server-side apply: https://kubernetes.io/docs/reference/using-api/server-side-apply/"""
        self._client.apply(Where.of(item), item, manager=MANAGER, force=True)

    def apply_status(self, item: dict[str, Any]) -> None:
        """The same of an object's status, as its controller would."""
        self._client.apply(Where.of(item), item, manager=CONTROLLER, force=True, part="status")

    def apply_all(self, items: Iterable[dict[str, Any]]) -> None:
        """Namespaces and other cluster-wide objects first, then the rest side by side."""
        ordered = list(items)
        with ThreadPoolExecutor(4) as pool:
            for inside in (False, True):
                list(pool.map(self.apply, (i for i in ordered if ("namespace" in i["metadata"]) is inside)))

    def wait(self, seconds: float, *, only: str | None = None) -> Summary:
        """Waits until all (or those of one namespace) are ready. Raises NotReady."""
        deadline = time.monotonic() + seconds
        while True:
            late = time.monotonic() > deadline
            # Pods, of which there may be thousands, only once those who own them say that they are ready.
            if late or not self.missing(only):
                found = self.summary(only)
                if found.ok:
                    return found
                if late:
                    raise NotReady(str(found))
            time.sleep(0.3)

    def missing(self, only: str | None = None) -> tuple[str, ...]:
        """Workloads that have fewer ready (or up-to-date) pods than they want; of one namespace where one is named."""
        space = f"/namespaces/{only}" if only else ""
        return tuple(
            line
            for plural in ("deployments", "statefulsets", "daemonsets")
            for line in map(_missing, self._client.list(f"/apis/apps/v1{space}/{plural}"))
            if line
        )

    def summary(self, only: str | None = None) -> Summary:
        """All of it (or of one namespace), as it is now."""
        space = f"/namespaces/{only}" if only else ""
        nodes = [ready(n) for n in self._client.list("/api/v1/nodes")]
        pods = [
            ready(p) for p in self._client.list(f"/api/v1{space}/pods") if not p["metadata"].get("deletionTimestamp")
        ]
        return Summary(len(nodes), sum(nodes), len(pods), sum(pods), self.missing(only))


def _missing(item: dict[str, Any]) -> str | None:
    status = item.get("status", {})
    if "replicas" in item["spec"]:
        wanted, found = item["spec"]["replicas"], status.get("readyReplicas", 0)
    else:
        wanted, found = status.get("desiredNumberScheduled", -1), status.get("numberReady", 0)
    seen = status.get("observedGeneration", 0) >= item["metadata"]["generation"]
    meta = item["metadata"]
    return None if seen and found == wanted else f"{meta['namespace']}/{meta['name']} {found}/{wanted}"
