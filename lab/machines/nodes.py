"""Workers as Nodes: what their kubelets register, and what a cloud controller removes again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.addresses import REGION, alias, private_dns_name
from lab.kubernetes.access import ApiError
from lab.kubernetes.follow import Api

log = logging.getLogger(__name__)
FAKE = "kwok.x-k8s.io/node"
VPC = "lab/vpc"
ATTACHED = "volumes.kubernetes.io/controller-managed-attach-detach"
"""Set by a kubelet that leaves attaching to the controller manager; without it nothing is ever attached."""
SHAPES = {"medium": (2, 4), "large": (2, 8), "xlarge": (4, 16), "2xlarge": (8, 32), "4xlarge": (16, 64)}
"""vCPU and GiB by size of a general-purpose type (close enough for scheduling)."""
GONE = frozenset({"shutting-down", "terminated", "stopped", "stopping"})


def provider_id(instance: Mapping[str, Any]) -> str:
    return f"aws:///{instance['zone']}/{instance['id']}"


def instance_of(node: Mapping[str, Any]) -> str:
    """The instance id in a Node's provider id; empty where it has none."""
    return str(node.get("spec", {}).get("providerID", "")).rpartition("/")[2]


def node(instance: Mapping[str, Any], flags: Mapping[str, str]) -> dict[str, Any]:
    """The Node a kubelet with these flags registers on this instance. Pure."""
    name = flags.get("hostname-override") or private_dns_name(instance["private_ip"])
    cpu, memory = SHAPES.get(instance["type"].partition(".")[2], (2, 8))
    resources = {"cpu": str(cpu), "memory": f"{memory}Gi", "pods": "110", "ephemeral-storage": "100Gi"}
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
            "annotations": {FAKE: "fake", VPC: instance["vpc"], ATTACHED: "true"},
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
    join_s: float
    alive: Callable[[str], bool]
    """Whether this instance is still to have a Node."""
    joined: Callable[[str], Awaitable[None]]
    """Called with the VPC once it has a node, for its KWOK."""
    registered: set[str] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def register(self, instance: Mapping[str, Any], flags: Mapping[str, str]) -> None:
        task = asyncio.create_task(self._register(dict(instance), flags))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _register(self, instance: dict[str, Any], flags: Mapping[str, str]) -> None:
        await asyncio.sleep(self.join_s)
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
        for item in (await kube.call("GET", "/api/v1/nodes"))["items"]:
            instance = instance_of(item)
            if instance.startswith("i-") and states.get(instance, "terminated") in GONE:
                log.info("%s: instance %s is gone, removing the Node", item["metadata"]["name"], instance)
                self.registered.discard(instance)
                await remove(kube, item["metadata"]["name"])


async def remove(kube: Api, name: str) -> None:
    """Deletes a Node, then its pods at once (the pod collector would, after its minute of quarantine)."""
    await _gone(kube.call("DELETE", f"/api/v1/nodes/{name}"))
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
