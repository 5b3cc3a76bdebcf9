"""Workers as Nodes: what their kubelets register, and what a cloud controller removes again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lab.addresses import REGION, alias, private_dns_name
from lab.kubernetes.access import ApiError
from lab.kubernetes.follow import Api
from lab.profiles import MAX_PODS, size_of

log = logging.getLogger(__name__)
MERGE = "application/merge-patch+json"
FAKE = "kwok.x-k8s.io/node"
VPC = "lab/vpc"
ATTACHED = "volumes.kubernetes.io/controller-managed-attach-detach"
"""Set by a kubelet that leaves attaching to the controller manager; without it nothing is ever attached."""
NODE_IP = "alpha.kubernetes.io/provided-node-ip"
"""Set by a kubelet that was told its address: the cloud controller keeps that one of all that the cloud knows."""
# So many machines may join at once, and a second after that.
AT_ONCE, A_SECOND = 20, 4
GONE = frozenset({"shutting-down", "terminated", "stopped", "stopping"})


def provider_id(instance: Mapping[str, Any]) -> str:
    return f"aws:///{instance['zone']}/{instance['id']}"


def instance_of(node: Mapping[str, Any]) -> str:
    """The instance id in a Node's provider id; empty where it has none."""
    return str(node.get("spec", {}).get("providerID", "")).rpartition("/")[2]


def node(instance: Mapping[str, Any], flags: Mapping[str, str]) -> dict[str, Any]:
    """The Node a kubelet with these flags registers on this instance. Pure."""
    name = flags.get("hostname-override") or private_dns_name(instance["private_ip"])
    cpu, memory = size_of(instance["type"])
    resources = {"cpu": str(cpu), "memory": f"{memory}Gi", "pods": str(MAX_PODS), "ephemeral-storage": "100Gi"}
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": instance["zone"],
        "topology.kubernetes.io/region": REGION,
        "node.kubernetes.io/instance-type": instance["type"],
        **dict(_pair(word) for word in flags.get("node-labels", "").split(",") if word),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {
                FAKE: "fake",
                VPC: instance["vpc"],
                ATTACHED: "true",
                NODE_IP: alias(instance["private_ip"]),
            },
        },
        "spec": {
            "providerID": provider_id(instance),
            "taints": [_taint(w) for w in flags.get("register-with-taints", "").split(",") if w],
        },
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": alias(instance["private_ip"])},
                {"type": "Hostname", "address": name},
            ],
            "allocatable": resources,
            "capacity": resources,
        },
    }


def _pair(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key, value


def _taint(word: str) -> dict[str, str]:
    key, _, effect = word.rpartition(":")
    name, _, value = key.partition("=")
    return {"key": name, "value": value, "effect": effect} if value else {"key": name, "effect": effect}


@dataclass
class Nodes:
    """Registers, and removes. `kube` gives the API as the VPC's kubelets reach it (it waits for a cluster)."""

    kube: Callable[[str], Awaitable[Api]]
    join_s: Callable[[str], float]
    """Seconds until the machine at an address is a Node."""
    alive: Callable[[str], bool]
    """Whether this instance is still to have a Node."""
    joined: Callable[[str], Awaitable[None]]
    """Called with the VPC once it has a node, for its KWOK."""
    cloud_controller: bool = False
    """Whether AWS's own cloud controller runs, and removes the Nodes."""
    registered: set[str] = field(default_factory=set)
    _next: float = float("-inf")
    _leaving: set[str] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def register(self, instance: Mapping[str, Any], flags: Mapping[str, str]) -> None:
        task = asyncio.create_task(self._register(dict(instance), flags))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _register(self, instance: dict[str, Any], flags: Mapping[str, str]) -> None:
        await asyncio.sleep(self.join_s(instance["private_ip"]))
        await asyncio.sleep(self._turn(time.monotonic()))
        wanted = node(instance, flags)
        while self.alive(instance["id"]):
            try:
                kube = await self.kube(instance["vpc"])
                await self._create(kube, wanted)
                await self.joined(instance["vpc"])
                self.registered.add(instance["id"])
                return
            except ApiError as error:
                log.debug("%s: no Node yet: %s", instance["id"], error)
                await asyncio.sleep(1)

    def _turn(self, now: float) -> float:
        """In how many seconds one more may join: a crowd's boots are spread by AWS, and its pods over its machines."""
        self._next = max(self._next, now - AT_ONCE / A_SECOND) + 1 / A_SECOND
        return max(0.0, self._next - now)

    async def _create(self, kube: Api, wanted: dict[str, Any]) -> None:
        try:
            await kube.call("POST", "/api/v1/nodes", wanted)
        except ApiError as error:
            if error.code != 409:
                raise
            # A kubelet keeps a Node that is its own; one of the address's former owner goes first.
            present = await kube.call("GET", f"/api/v1/nodes/{wanted['metadata']['name']}")
            if instance_of(present) != instance_of(wanted):
                await remove(kube, wanted["metadata"]["name"])
                raise

    async def sweep(self, kube: Api, states: Mapping[str, str]) -> None:
        """The cloud controller's duty: a Node whose instance is terminated, or unknown to AWS, goes.

        https://kubernetes.io/docs/concepts/architecture/cloud-controller/#node-controller
        """
        items = (await kube.call("GET", "/api/v1/nodes"))["items"]
        for item in items:
            instance = instance_of(item)
            name = item["metadata"]["name"]
            if not instance.startswith("i-") or states.get(instance, "terminated") not in GONE:
                continue
            if self.cloud_controller:
                self.registered.discard(instance)
                self._leaving.add(name)
                await leave(kube, item)
            else:
                log.info("%s: instance %s is gone, removing the Node", name, instance)
                self.registered.discard(instance)
                await remove(kube, name)
        await self._collect(kube, {item["metadata"]["name"]: instance_of(item) for item in items}, states)

    async def _collect(self, kube: Api, present: Mapping[str, str], states: Mapping[str, str]) -> None:
        """The pods of Nodes that the cloud controller has removed go at once, as `remove` has it."""
        for name in sorted(self._leaving):
            if name not in present:
                await end_pods(kube, name)
            elif states.get(present[name], "terminated") in GONE:
                continue
            self._leaving.discard(name)


async def remove(kube: Api, name: str) -> None:
    """Deletes a Node, then its pods at once (the pod collector would, after its minute of quarantine)."""
    await _gone(kube.call("DELETE", f"/api/v1/nodes/{name}"))
    await end_pods(kube, name)


async def leave(kube: Api, node: Mapping[str, Any]) -> None:
    """What a kubelet says when its machine shuts down; KWOK, which would say otherwise, lets go of the Node first.

    Only of a Node that isn't ready does a cloud controller ask whether there is an instance.
    https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/
    """
    annotations = node["metadata"].get("annotations", {})
    path = f"/api/v1/nodes/{node['metadata']['name']}"
    if FAKE in annotations:
        log.info("%s: its instance is gone", node["metadata"]["name"])
        await _gone(kube.call("PATCH", path, {"metadata": {"annotations": {FAKE: None}}}, content=MERGE))
    conditions = node.get("status", {}).get("conditions") or []
    if FAKE in annotations or any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        down = {
            "type": "Ready",
            "status": "False",
            "reason": "KubeletNotReady",
            "message": "node is shutting down",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        kept = [one for one in conditions if one["type"] != "Ready"]
        await _gone(kube.call("PATCH", f"{path}/status", {"status": {"conditions": [*kept, down]}}, content=MERGE))


async def end_pods(kube: Api, name: str) -> None:
    """Deletes a Node's pods without grace."""
    pods = await kube.call("GET", "/api/v1/pods", query={"fieldSelector": f"spec.nodeName={name}"})
    for pod in pods["items"]:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        now = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
        await _gone(kube.call("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **now}))


async def _gone(call: Awaitable[Any]) -> None:
    try:
        await call
    except ApiError as error:
        if error.code not in (404, 409):
            raise
