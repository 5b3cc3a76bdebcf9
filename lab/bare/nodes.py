"""Nodes that KWOK plays. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.machines.nodes import FAKE

PODS = 110
"""A kubelet's default limit."""


def node(name: str, labels: Mapping[str, str], *, number: int) -> dict[str, Any]:
    """A large machine: what limits it is the number of pods. `number` gives its address."""
    resources = {"cpu": "64", "memory": "256Gi", "pods": str(PODS), "ephemeral-storage": "500Gi"}
    address = f"10.200.{number // 250}.{number % 250 + 1}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                **labels,
            },
            "annotations": {FAKE: "fake"},
        },
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "allocatable": resources,
            "capacity": resources,
        },
    }
