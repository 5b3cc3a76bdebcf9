"""What only the cluster itself knows: its Services and, where user data doesn't say, its address ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migration.clients.kubernetes import PODS, SERVICES, ApiFailure, Kind
from migration.runtime.deadline import Permanent

if TYPE_CHECKING:
    from migration.clients.kubernetes import Kubernetes

# Kubernetes 1.33 and later. https://kubernetes.io/docs/reference/networking/virtual-ips/#service-ip-address-ranges
SERVICE_CIDRS = Kind("apis/networking.k8s.io/v1", "servicecidrs", namespaced=False)


def services(kubernetes: Kubernetes) -> list[dict[str, Any]]:
    """All Services."""
    return kubernetes.list(SERVICES)


def flag_of_pods(kubernetes: Kubernetes, name: str) -> str | None:
    """A flag of the control plane's own pods (kubeadm runs it as static pods); None if there are none."""
    for pod in kubernetes.list(PODS, "kube-system", labels="tier=control-plane"):
        for container in pod["spec"]["containers"]:
            words: list[str] = [*(container.get("command") or []), *(container.get("args") or [])]
            for word in words:
                if word.startswith(f"--{name}="):
                    return word.split("=", 1)[1]
    return None


def service_cidr(kubernetes: Kubernetes) -> str | None:
    """The first IPv4 range of Services, as the API has it; None from a server that doesn't say."""
    try:
        found = kubernetes.list(SERVICE_CIDRS)
    except ApiFailure:
        return None
    ranges = [cidr for one in found for cidr in one["spec"].get("cidrs", []) if ":" not in cidr]
    return ranges[0] if ranges else None


def only_ipv4(value: str | None, what: str, option: str) -> str:
    """The IPv4 range of a flag that may hold two families; raises `Permanent` naming the option if there is none."""
    ranges = [one for one in (value or "").split(",") if one and ":" not in one]
    if not ranges:
        raise Permanent(
            f"the range of {what} is written neither in user data nor in the cluster; give it with {option}"
        )
    return ranges[0]
