"""The world in the cluster: built, put back before each run, and looked at whether it is as it was."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lab import interrupt
from lab.bare.nodes import node
from lab.kubernetes.access import ready
from migration.clients.kubernetes import (
    BUDGETS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    STATEFUL_SETS,
    Conflict,
    Kind,
    Kubernetes,
    path_of,
)
from rehearsal.benches.drain.world import (
    NAMESPACE,
    NEW,
    OLD,
    SIDE,
    World,
    budget_object,
    node_name,
    workload_object,
)

T = TypeVar("T")
Say = Callable[[str], None]
Item = Mapping[str, Any]

WORKERS = 6
POLL_S = 1.0
CALM_S = 3.0
"""For so long nothing of the budgets and owners may change before a run begins."""
PATIENCE_S = 600.0
AT_ONCE = {"gracePeriodSeconds": "0"}


class StateError(Exception):
    """The world can't be made as it has to be; the message says what is missing."""


@dataclass(frozen=True)
class Seen:
    """What one look found wrong, by the first few of each kind; empty where all is as it has to be."""

    wrong: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.wrong[:4]) + (f" and {len(self.wrong) - 4} more" if len(self.wrong) > 4 else "")


class State:
    """The cluster, as the benchmark fills it. Methods raise StateError, and what the client raises."""

    def __init__(self, kubeconfig: Path, say: Say) -> None:
        self.kube = Kubernetes(kubeconfig=str(kubeconfig), patience=60.0, timeout=30.0)
        self._say = say

    def build(self, world: World) -> None:
        """Nodes on both sides and the workloads, of which no more than these are left."""
        self._create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self._clear()
        sides = [(side, number) for side in (OLD, NEW) for number in range(world.nodes)]
        wanted = {
            node_name(side, number): node(node_name(side, number), {SIDE: side}, number=index)
            for index, (side, number) in enumerate(sides)
        }
        there = {item["metadata"]["name"] for item in self.kube.list(NODES, metadata_only=True)}
        self._each(sorted(there - wanted.keys()), lambda name: self.kube.delete(NODES, name))
        self._each([wanted[name] for name in sorted(wanted.keys() - there)], lambda one: self._create(NODES, one))
        self._wait("nodes ready", lambda: self._nodes(world))
        self._schedule(only=OLD)
        self._each(
            world.workloads,
            lambda one: self._create(STATEFUL_SETS if one.stateful else DEPLOYMENTS, workload_object(one)),
        )
        self._say(f"{2 * world.nodes} nodes and {len(world.workloads)} workloads are declared")

    def restore(self, world: World, *, new_side: bool = True) -> None:
        """Every pod on an old node and ready, budgets made anew, nodes as at first; verified from a fresh list.

        Without `new_side` the new nodes stay cordoned, so that what is evicted comes back to old ones.
        """
        began = time.monotonic()
        self.kube.request("DELETE", path_of(BUDGETS, NAMESPACE))
        self._schedule(only=OLD)
        wrong = self._misplaced(world)
        if wrong:
            # Gone at once, not by eviction: there is nobody to protect now, and no run is under way.
            self.kube.request("DELETE", path_of(PODS, NAMESPACE), params=AT_ONCE)
        self._wait("pods ready on old nodes", lambda: self._owners(world))
        self._wait("pods on old nodes only", lambda: self._misplaced(world))
        self._each(world.workloads, lambda one: self._create(BUDGETS, budget_object(one)))
        if new_side:
            self._schedule()
        self._wait("budgets open", lambda: self._budgets(world))
        self._calm()
        left = [*self._misplaced(world), *self._budgets(world), *self._nodes(world), *self._untouched(new_side)]
        if left:
            raise StateError(f"the world isn't as it was before: {Seen(tuple(left))}")
        self._say(f"all {world.pods} pods are back on {world.nodes} old nodes after {time.monotonic() - began:.0f} s")

    def _clear(self) -> None:
        for kind in (BUDGETS, DEPLOYMENTS, STATEFUL_SETS):
            self.kube.request("DELETE", path_of(kind, NAMESPACE), body={"propagationPolicy": "Background"})
        self._wait("no pods", self._no_pods)

    def _no_pods(self) -> list[str]:
        left = self.kube.list(PODS, NAMESPACE, metadata_only=True)
        if left:
            self.kube.request("DELETE", path_of(PODS, NAMESPACE), params=AT_ONCE)
        return [f"{len(left)} pods are still there"] if left else []

    def _schedule(self, *, only: str = "") -> None:
        """Nodes as they were made: no taints but those that a cordon brings, no foreign marks; cordoned but `only`."""
        self._each(self.kube.list(NODES), lambda item: self._plain(item, only))

    def _plain(self, item: Item, only: str) -> None:
        meta, spec = item["metadata"], item.get("spec") or {}
        cordon = bool(only) and meta["labels"][SIDE] != only
        taints = [one for one in spec.get("taints") or () if one["key"] == "node.kubernetes.io/unschedulable"]
        marks = dict.fromkeys(key for key in meta.get("annotations") or {} if not _native(key))
        patch: dict[str, Any] = {}
        if bool(spec.get("unschedulable")) is not cordon:
            patch["spec"] = {"unschedulable": True if cordon else None}
        if (spec.get("taints") or []) != (taints if cordon else []):
            patch.setdefault("spec", {})["taints"] = taints if cordon else None
        if marks:
            patch["metadata"] = {"annotations": marks}
        if patch:
            self.kube.patch(NODES, meta["name"], patch)

    def _nodes(self, world: World) -> list[str]:
        items = self.kube.list(NODES)
        count = Counter(item["metadata"]["labels"].get(SIDE) for item in items)
        wrong = [f"{count[side]} {side} nodes of {world.nodes}" for side in (OLD, NEW) if count[side] != world.nodes]
        return wrong + [f"node {item['metadata']['name']} isn't ready" for item in items if not ready(item)]

    def _untouched(self, new_side: bool) -> list[str]:
        wrong: list[str] = []
        for item in self.kube.list(NODES):
            meta, spec = item["metadata"], item.get("spec") or {}
            cordon = not new_side and meta["labels"][SIDE] == NEW
            if bool(spec.get("unschedulable")) is not cordon or (spec.get("taints") and not cordon):
                wrong.append(f"node {meta['name']} is cordoned or tainted" if not cordon else f"{meta['name']} is open")
            wrong += [
                f"node {meta['name']} is marked {key}" for key in meta.get("annotations") or {} if not _native(key)
            ]
        return wrong

    def _owners(self, world: World) -> list[str]:
        found = {
            item["metadata"]["name"]: item.get("status") or {}
            for kind in (DEPLOYMENTS, STATEFUL_SETS)
            for item in self.kube.list(kind, NAMESPACE)
        }
        return [
            f"{one.name} has {found.get(one.name, {}).get('readyReplicas', 0)} of {one.replicas} pods ready"
            for one in world.workloads
            if found.get(one.name, {}).get("readyReplicas", 0) != one.replicas
        ]

    def _misplaced(self, world: World) -> list[str]:
        """Whatever keeps the pods from being exactly those of the world, ready on old nodes."""
        items = self.kube.list(PODS, NAMESPACE)
        wrong = [f"pod {item['metadata']['name']} {said}" for item in items if (said := _not_well(item))]
        count = Counter(item["metadata"]["labels"].get("app") for item in items)
        return wrong + [
            f"{one.name} has {count[one.name]} of {one.replicas} pods"
            for one in world.workloads
            if count[one.name] != one.replicas
        ]

    def _budgets(self, world: World) -> list[str]:
        found = {item["metadata"]["name"]: item for item in self.kube.list(BUDGETS, NAMESPACE)}
        wrong: list[str] = []
        for one in world.workloads:
            item = found.get(one.name, {"metadata": {}})
            status = item.get("status") or {}
            if status.get("observedGeneration") != item["metadata"].get("generation"):
                wrong.append(f"budget {one.name} isn't looked at yet")
            elif status.get("disruptedPods"):
                wrong.append(f"budget {one.name} still counts {len(status['disruptedPods'])} pods as disrupted")
            elif (status.get("currentHealthy"), status.get("disruptionsAllowed")) != (one.replicas, one.allowed):
                wrong.append(f"budget {one.name} allows {status.get('disruptionsAllowed')} of {one.allowed}")
        return wrong

    def _calm(self) -> None:
        """Wait until controllers write nothing more of owners and budgets."""
        before: object = None
        while before != (before := self._versions()):
            interrupt.check()
            time.sleep(CALM_S)

    def _versions(self) -> object:
        kinds = (BUDGETS, DEPLOYMENTS, STATEFUL_SETS)
        return [
            (item["metadata"]["name"], item["metadata"]["resourceVersion"])
            for kind in kinds
            for item in self.kube.list(kind, NAMESPACE, metadata_only=True)
        ]

    def _create(self, kind: Kind, body: dict[str, Any]) -> None:
        try:
            self.kube.create(kind, body)
        except Conflict:
            return

    def _each(self, items: Iterable[T], act: Callable[[T], object]) -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            for _ in pool.map(act, items):
                interrupt.check()

    def _wait(self, what: str, wrong: Callable[[], Sequence[str]]) -> None:
        end = time.monotonic() + PATIENCE_S
        while found := wrong():
            interrupt.check()
            if time.monotonic() > end:
                raise StateError(f"not within {PATIENCE_S:.0f} s: {what} ({Seen(tuple(found))})")
            time.sleep(POLL_S)


def _native(annotation: str) -> bool:
    """Whether Kubernetes or KWOK put it on a node."""
    return annotation.partition("/")[0].endswith(("kubernetes.io", "kwok.x-k8s.io", "k8s.io"))


def _not_well(item: Item) -> str:
    if item["metadata"].get("deletionTimestamp"):
        return "is ending"
    if not str((item.get("spec") or {}).get("nodeName", "")).startswith(f"{OLD}-"):
        return "isn't on an old node"
    return "" if ready(item) else "isn't ready"
