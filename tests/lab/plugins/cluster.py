"""As much of the cluster `pet` as operations ask for by themselves: its API's identity, and the migration's record."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from migration.contracts.record import Record
from migration.names import record_parameter
from tests.listening import listening

UID = "uid-of-pet"


def pair() -> tuple[str, str]:
    """A fresh certificate and its key, as PEM."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "operator")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    kind, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return certificate.public_bytes(pem).decode(), key.private_bytes(pem, kind, bare).decode()


class Api(BaseHTTPRequestHandler):
    """As much of a Kubernetes API as two applied objects and a lease need."""

    objects: ClassVar[dict[str, Any]]

    def _send(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        kinds = {"/api/v1": ("ConfigMap", "configmaps", True)}
        kinds["/apis/rbac.authorization.k8s.io/v1"] = ("ClusterRole", "clusterroles", False)
        if path in kinds:
            kind, name, namespaced = kinds[path]
            self._send(200, {"resources": [{"kind": kind, "name": name, "namespaced": namespaced}]})
        elif path in self.objects:
            self._send(200, self.objects[path])
        else:
            self._send(404, {"reason": "NotFound", "message": "not found"})

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.partition("?")[0]
        self.objects[path] = {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": "1"}}
        self._send(200, self.objects[path])

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")

    def _keep(self, path: str, body: Any) -> None:
        version = str(int(self.objects.get(path, {}).get("metadata", {}).get("resourceVersion", "0")) + 1)
        self.objects[path] = {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": version}}
        self._send(200, self.objects[path])

    def do_POST(self) -> None:
        body = self._body()
        self._keep(f"{self.path.partition('?')[0]}/{body['metadata']['name']}", body)

    def do_PUT(self) -> None:
        self._keep(self.path.partition("?")[0], self._body())

    def do_DELETE(self) -> None:
        self._body()
        self._send(200, self.objects.pop(self.path.partition("?")[0], {}))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what it is sent is secret."""


@contextmanager
def served() -> Iterator[str]:
    """An API of its own, with a cluster's identity, and its URL."""

    class Own(Api):
        objects: ClassVar[dict[str, Any]] = {
            "/api/v1/namespaces/kube-system": {"metadata": {"name": "kube-system", "uid": UID}}
        }

    with listening(Own) as url:
        yield url


def kubeconfig(server: str, certificate: str, key: str) -> str:
    def data(pem: str) -> str:
        return base64.b64encode(pem.encode()).decode()

    user = {"client-certificate-data": data(certificate), "client-key-data": data(key)}
    # Another user's, since the lab takes certificates only.
    other = {"token": "canary-of-the-kubeconfigs-token"}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "current-context": "pet",
            "clusters": [{"name": "pet", "cluster": {"server": server}}],
            "users": [{"name": "pet", "user": user}, {"name": "other", "user": other}],
            "contexts": [{"name": "pet", "context": {"cluster": "pet", "user": "pet"}}],
        }
    )


def recorded(ssm: Any) -> None:
    """Write the record of a migration of this cluster, which every operation but the first asks for."""
    record = Record(owner="pet", from_side="legacy", to_side="main", reached=3, tried=3, stack="s", cluster_uid=UID)
    ssm.put_parameter(Name=record_parameter("pet"), Value=record.model_dump_json(by_alias=True), Type="String")
