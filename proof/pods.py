"""Counts the pods that a drain must move, by the side their node is on (the drain's curve), and those evicted.

The pods are watched, not listed again and again: of thousands of pods only what changes is read.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from migration.clients.asynchronous import AsyncKubernetes
from migration.clients.kubernetes import PODS
from proof.config import ELSEWHERE, Side, side_of
from proof.follow import Follower

_STAYING = frozenset({"DaemonSet", "Node"})
_MIRROR = "kubernetes.io/config.mirror"
# Of the condition DisruptionTarget, which the API server sets with the eviction itself:
# https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
_EVICTED = "EvictionByEvictionAPI"
_FINISHED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, kw_only=True, slots=True)
class PodSeen:
    """The little that counts of a pod. `movable`: it is on a node, and a drain would move it. `evicted`: the API
    accepted an eviction of it, and it is on its way out.
    """

    uid: str
    node: str
    host_ip: str
    movable: bool
    evicted: bool


def read_pod(item: dict[str, Any]) -> PodSeen:
    """A pod as the API gives it."""
    meta: dict[str, Any] = item["metadata"]
    spec: dict[str, Any] = item.get("spec") or {}
    status: dict[str, Any] = item.get("status") or {}
    node = str(spec.get("nodeName") or "")
    owners: list[dict[str, Any]] = meta.get("ownerReferences") or []
    conditions: list[dict[str, Any]] = status.get("conditions") or []
    stays = _MIRROR in (meta.get("annotations") or {}) or any(
        owner.get("controller") and owner.get("kind") in _STAYING for owner in owners
    )
    return PodSeen(
        uid=meta["uid"],
        node=node,
        host_ip=status.get("hostIP") or "",
        movable=bool(node) and not stays and status.get("phase") not in _FINISHED,
        evicted=any(one.get("reason") == _EVICTED for one in conditions),
    )


class PodBook:
    """Where the movable pods are. A node's side is known from the first of its pods that tells the node's address."""

    def __init__(self, sides: Sequence[Side]) -> None:
        self._sides = sides
        self._node_of: dict[str, str] = {}
        self._on: Counter[str] = Counter()
        self._side_of_node: dict[str, str] = {}
        self._evicted: dict[str, str] = {}

    def listed(self, pods: list[PodSeen]) -> None:
        self._node_of.clear()
        self._on.clear()
        for pod in pods:
            self.seen("ADDED", pod)

    def seen(self, event: str, pod: PodSeen) -> None:
        if pod.node and pod.host_ip and pod.node not in self._side_of_node:
            self._side_of_node[pod.node] = side_of(pod.host_ip, self._sides)
        if pod.evicted:
            self._evicted[pod.uid] = pod.node
        before = self._node_of.pop(pod.uid, None)
        if before is not None:
            self._on[before] -= 1
        if event != "DELETED" and pod.movable:
            self._node_of[pod.uid] = pod.node
            self._on[pod.node] += 1

    def counts(self) -> dict[str, int]:
        """Pods by side; those on nodes of no side only where there are any."""
        total = Counter({side.name: 0 for side in self._sides})
        for node, count in self._on.items():
            side = self._side_of_node.get(node)
            if side is not None and (side != ELSEWHERE or count):
                total[side] += count
        return dict(total)

    def evictions(self) -> dict[str, int]:
        """Pods that were seen to be evicted, by side; those on nodes of no side only where there are any."""
        total = Counter({side.name: 0 for side in self._sides})
        total.update(self._side_of_node.get(node, ELSEWHERE) for node in self._evicted.values())
        return dict(total)


class PodWatcher:
    """Follows every pod; runs until cancelled."""

    def __init__(self, kube: AsyncKubernetes, sides: Sequence[Side], event: Callable[..., None]) -> None:
        self.book = PodBook(sides)
        self._follower = Follower(
            kube,
            PODS,
            read=read_pod,
            listed=self.book.listed,
            seen=self.book.seen,
            relisted=lambda detail: event("pods_relisted", time.time(), detail=detail),
        )

    async def run(self) -> None:
        await self._follower.run()

    def counts(self) -> dict[str, int] | None:
        """As `PodBook.counts`; None before the first list is in."""
        return self.book.counts() if self._follower.ready.is_set() else None
