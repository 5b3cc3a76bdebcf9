"""One real API server over one etcd, and the objects a cluster would have, put there by hand."""

from __future__ import annotations

import base64
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from lab.addresses import alias, private_dns_name
from tests.lab.network.pki import Authority
from tests.lab.network.world import tool

HOST = "127.17.1.4"
INSTANCE = "i-127-17-1-4"
PORT = 16443
WEB = ("web", "web")
NODE_PORT = 30082


class Api:
    """An administrator's client, and shorthands for objects."""

    def __init__(self, lab_dir: Path, authority: Authority) -> None:
        self.lab_dir = lab_dir
        self.authority = authority
        context = ssl.create_default_context(cadata=authority.pem.decode())
        context.load_cert_chain(str(lab_dir / "admin/tls.crt"), str(lab_dir / "admin/tls.key"))
        self.http = httpx.Client(base_url=f"https://{HOST}:{PORT}", verify=context, timeout=15)

    def put(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """Server-side apply, so that a test may say the same object again, changed."""
        query = {"fieldManager": "test", "force": "true"}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        return self.http.patch(path, params=query, headers=headers, content=yaml.safe_dump(body)).raise_for_status()

    def namespace(self, name: str) -> None:
        self.put(f"/api/v1/namespaces/{name}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def node(self, ip: str) -> str:
        name = private_dns_name(ip)
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        self.put(f"/api/v1/nodes/{name}", body)
        status = {
            "addresses": [{"type": "InternalIP", "address": alias(ip)}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        self.put(f"/api/v1/nodes/{name}/status", {**body, "status": status})
        return name

    def pod(self, name: tuple[str, str], node: str, annotations: dict[str, str] | None = None) -> str:
        """Returns its UID. No kubelet ends it: a deletion leaves it terminating until it is forced."""
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name[1], "namespace": name[0], "annotations": annotations or {}},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "none"}]},
        }
        return self.put(f"/api/v1/namespaces/{name[0]}/pods/{name[1]}", body).json()["metadata"]["uid"]

    def delete_pod(self, name: tuple[str, str], grace_s: int) -> None:
        path = f"/api/v1/namespaces/{name[0]}/pods/{name[1]}"
        self.http.request("DELETE", path, params={"gracePeriodSeconds": str(grace_s)}).raise_for_status()

    def service(self, name: tuple[str, str], port: int, node_port: int | None, policy: str = "Cluster") -> None:
        spec: dict[str, Any] = {"type": "ClusterIP", "ports": [{"name": "main", "port": port, "protocol": "TCP"}]}
        if node_port:
            spec["type"] = "NodePort"
            spec["externalTrafficPolicy"] = policy
            spec["ports"][0]["nodePort"] = node_port
        body = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name[1], "namespace": name[0]},
            "spec": spec,
        }
        self.put(f"/api/v1/namespaces/{name[0]}/services/{name[1]}", body)

    def endpoints(self, name: tuple[str, str], port: int, *entries: dict[str, Any]) -> None:
        body = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name[1],
                "namespace": name[0],
                "labels": {"kubernetes.io/service-name": name[1]},
            },
            "addressType": "IPv4",
            "ports": [{"name": "main", "port": port, "protocol": "TCP"}],
            "endpoints": list(entries),
        }
        self.put(f"/apis/discovery.k8s.io/v1/namespaces/{name[0]}/endpointslices/{name[1]}", body)

    def secret(self, name: tuple[str, str], certificate: bytes, key: bytes) -> None:
        data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name[1], "namespace": name[0]},
            "type": "kubernetes.io/tls",
            "data": data,
        }
        self.put(f"/api/v1/namespaces/{name[0]}/secrets/{name[1]}", body)


def entry(pod: tuple[str, str], uid: str, node: str, ip: str, **conditions: bool) -> dict[str, Any]:
    return {
        "addresses": [ip],
        "nodeName": node,
        "targetRef": {"kind": "Pod", "namespace": pod[0], "name": pod[1], "uid": uid},
        "conditions": {"ready": True, "serving": True, "terminating": False, **conditions},
    }


@contextmanager
def api_server(lab_dir: Path) -> Iterator[Api]:
    """Its webhooks go through the network's Unix socket of instance `INSTANCE`, as the supervisor sets it up."""
    authority = Authority()
    authority.write(lab_dir / "server", [HOST, "127.0.0.1"], ["kubernetes"])
    authority.write(lab_dir / "admin", [], ["admin"], organization="system:masters")
    socket_path = lab_dir / "run" / f"connect-{INSTANCE}.sock"
    transport = {"uds": {"udsName": str(socket_path)}}
    selection = {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [
            {
                "name": "cluster",
                "connection": {"proxyProtocol": "HTTPConnect", "transport": transport},
            }
        ],
    }
    (lab_dir / "egress.yaml").write_text(yaml.safe_dump(selection))
    write_kubeconfig(lab_dir, authority)
    log = (lab_dir / "log").open("wb")

    def start(*command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=lab_dir, env={"LAB_MACHINE_IP": HOST})

    client = f"http://{HOST}:12379"
    etcd = start(
        tool("etcd"), "--data-dir", str(lab_dir / "data"), "--listen-client-urls", client, "--log-level", "error",
        "--advertise-client-urls", client, "--listen-peer-urls", f"http://{HOST}:12380", "--unsafe-no-fsync",
    )  # fmt: skip
    server = start(
        tool("kube-apiserver"), "--etcd-servers", client, "--bind-address", HOST, "--secure-port", str(PORT),
        "--advertise-address", alias(HOST), "--service-cluster-ip-range", "172.20.0.0/16",
        "--tls-cert-file", "server/tls.crt", "--tls-private-key-file", "server/tls.key",
        "--client-ca-file", "server/ca.crt", "--authorization-mode", "RBAC",
        "--service-account-issuer", "https://kubernetes", "--service-account-key-file", "server/tls.key",
        "--service-account-signing-key-file", "server/tls.key", "--disable-admission-plugins", "ServiceAccount",
        "--egress-selector-config-file", "egress.yaml",
    )  # fmt: skip
    try:
        api = Api(lab_dir, authority)
        for _ in range(300):
            try:
                if api.http.get("/readyz").status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            assert server.poll() is None, (lab_dir / "log").read_text()[-2_000:]
            time.sleep(0.1)
        yield api
    finally:
        for process in (server, etcd):
            process.kill()
            process.wait()


def write_kubeconfig(lab_dir: Path, authority: Authority) -> None:
    def data(content: bytes) -> str:
        return base64.b64encode(content).decode()

    cluster = {"server": f"https://{HOST}:{PORT}", "certificate-authority-data": data(authority.pem)}
    user = {
        "client-certificate-data": data((lab_dir / "admin/tls.crt").read_bytes()),
        "client-key-data": data((lab_dir / "admin/tls.key").read_bytes()),
    }
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    (lab_dir / "kubeconfig").write_text(yaml.safe_dump(config))
