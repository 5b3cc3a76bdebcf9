"""A kubeadm cluster as people have them: its documents, and user data that joins them in one of many ways."""

from __future__ import annotations

from typing import Any

import yaml

from migration.layouts.contract import MemberIdentity

NEW = MemberIdentity(
    cluster="pet",
    member="master-a-main",
    region="eu-central-1",
    ticket_parameter="/pet/t",
    api_port=6443,
    client_port=2379,
    peer_port=2380,
    api_names=("api.pet.lab", "kubernetes"),
)
CONFIGURATION = "/etc/kubernetes/kubeadm.yaml"
CALL = f"kubeadm init --config {CONFIGURATION}"


def cluster(**changes: Any) -> dict[str, Any]:
    """ClusterConfiguration; a change of None leaves a key out."""
    said: dict[str, Any] = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "kubernetesVersion": "v1.34.1",
        "controlPlaneEndpoint": "api.pet.lab:6443",
        "networking": {"podSubnet": "100.64.0.0/16", "serviceSubnet": "172.20.0.0/16"},
        "etcd": {"local": {"dataDir": "/var/lib/etcd"}},
        **changes,
    }
    return {key: value for key, value in said.items() if value is not None}


def init(**changes: Any) -> dict[str, Any]:
    """InitConfiguration."""
    said = {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "InitConfiguration"}
    return {**said, "nodeRegistration": {"name": "@NODE@", "criSocket": "unix:///run/c.sock"}, **changes}


def kubelet(**changes: Any) -> dict[str, Any]:
    """KubeletConfiguration."""
    return {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **changes}


def user_data(*documents: dict[str, Any], path: str = CONFIGURATION, **changes: Any) -> str:
    """A cloud-config that writes these documents and calls kubeadm with them."""
    text = yaml.safe_dump_all(documents, sort_keys=False)
    files: list[Any] = [{"path": path, "content": text}] if documents else []
    said: dict[str, Any] = {"write_files": files, "runcmd": [f"kubeadm init --config {path}"], **changes}
    return "#cloud-config\n" + yaml.safe_dump(said, sort_keys=False)
