"""What each process of a bare cluster is started with. Pure.

The flags are the lab's own (`lab/legacy/files`), without what its machines and VPCs need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.addresses import LOOPBACK
from lab.bare.pki import Pki
from lab.machines.nodes import FAKE

MEMBERS = 3
LEASE_S = 120
POD_RANGE = "100.64.0.1/10"
SERVICE_RANGE = "172.20.0.0/16"

Tool = Callable[[str], Path]


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where everything listens, on 127.0.0.1: one of each a member; `entry` spreads over the API servers."""

    client: tuple[int, ...]
    peer: tuple[int, ...]
    api: tuple[int, ...]
    entry: int

    @property
    def etcd_urls(self) -> tuple[str, ...]:
        return tuple(url(port) for port in self.client)


def url(port: int) -> str:
    return f"https://{LOOPBACK}:{port}"


def etcd(tool: Tool, pki: Pki, data: Path, ports: Ports, number: int) -> list[str]:
    """One member of etcd; its data in `data`."""
    cluster = ",".join(f"etcd-{index}={url(port)}" for index, port in enumerate(ports.peer))
    return [
        str(tool("etcd")),
        f"--name=etcd-{number}",
        f"--data-dir={data}",
        f"--initial-cluster={cluster}",
        "--initial-cluster-state=new",
        f"--initial-advertise-peer-urls={url(ports.peer[number])}",
        f"--listen-peer-urls={url(ports.peer[number])}",
        f"--advertise-client-urls={url(ports.client[number])}",
        f"--listen-client-urls={url(ports.client[number])}",
        f"--cert-file={pki.file('etcd.crt')}",
        f"--key-file={pki.file('etcd.key')}",
        f"--trusted-ca-file={pki.file('etcd-ca.crt')}",
        "--client-cert-auth=true",
        f"--peer-cert-file={pki.file('etcd.crt')}",
        f"--peer-key-file={pki.file('etcd.key')}",
        f"--peer-trusted-ca-file={pki.file('etcd-ca.crt')}",
        "--peer-client-cert-auth=true",
        "--snapshot-count=10000",
        "--log-level=warn",
    ]


def apiserver(tool: Tool, pki: Pki, ports: Ports, number: int) -> list[str]:
    """One API server, with its own member of etcd first, as on a control plane machine."""
    urls = ports.etcd_urls
    return [
        str(tool("kube-apiserver")),
        f"--bind-address={LOOPBACK}",
        f"--secure-port={ports.api[number]}",
        # Loopback is refused here; nobody goes there, and no endpoints of it are written.
        f"--advertise-address=10.255.0.{number + 1}",
        "--endpoint-reconciler-type=none",
        f"--etcd-servers={','.join((*urls[number:], *urls[:number]))}",
        f"--etcd-cafile={pki.file('etcd-ca.crt')}",
        f"--etcd-certfile={pki.file('apiserver-etcd-client.crt')}",
        f"--etcd-keyfile={pki.file('apiserver-etcd-client.key')}",
        f"--client-ca-file={pki.file('ca.crt')}",
        f"--tls-cert-file={pki.file('apiserver.crt')}",
        f"--tls-private-key-file={pki.file('apiserver.key')}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki.file('sa.pub')}",
        f"--service-account-signing-key-file={pki.file('sa.key')}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--goaway-chance=0.001",
        "--profiling=false",
    ]


def controller_manager(tool: Tool, pki: Pki, kubeconfig: Path) -> list[str]:
    return [
        str(tool("kube-controller-manager")),
        f"--kubeconfig={kubeconfig}",
        f"--root-ca-file={pki.file('ca.crt')}",
        f"--service-account-private-key-file={pki.file('sa.key')}",
        "--use-service-account-credentials=true",
        "--allocate-node-cidrs=false",
        "--leader-elect=false",
        "--node-monitor-grace-period=5m",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
        "--secure-port=0",
    ]


def scheduler(tool: Tool, kubeconfig: Path) -> list[str]:
    return [
        str(tool("kube-scheduler")),
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
        "--secure-port=0",
    ]


def kwok(tool: Tool, kubeconfig: Path, stages: Path) -> list[str]:
    return [
        str(tool("kwok")),
        f"--kubeconfig={kubeconfig}",
        f"--config={stages}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={FAKE}=fake",
        f"--cidr={POD_RANGE}",
        f"--node-lease-duration-seconds={LEASE_S}",
        "--v=WARN",
    ]
