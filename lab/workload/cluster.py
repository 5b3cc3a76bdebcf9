"""Applying the workload and seeing whether it is there."""

from __future__ import annotations

import base64
import json
import os
import ssl
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from lab.addresses import lab_dir

MANAGER = "pet-deploy"
PLURALS = {"PodDisruptionBudget": "poddisruptionbudgets", "StorageClass": "storageclasses"}
CLUSTER_WIDE = frozenset(
    {"Namespace", "CSIDriver", "StorageClass", "PersistentVolume", "ValidatingWebhookConfiguration"}
)
RETRIES_S = 60.0


class NotReady(RuntimeError):
    """The workload isn't as declared within the time given; the message says what is missing."""


@dataclass(frozen=True)
class Summary:
    """What of the workload is ready."""

    nodes: int
    nodes_ready: int
    pods: int
    pods_ready: int
    missing: tuple[str, ...]
    """Workloads that have fewer ready (or up-to-date) pods than they want, as kind/namespace/name ready/wanted."""

    @property
    def ok(self) -> bool:
        return not self.missing and self.nodes == self.nodes_ready and self.pods == self.pods_ready > 0

    def __str__(self) -> str:
        text = f"{self.nodes_ready}/{self.nodes} nodes, {self.pods_ready}/{self.pods} pods ready"
        return text + (f"; waiting for {', '.join(self.missing[:5])}" if self.missing else "")


class Cluster:
    """An administrator's access by kubeconfig. Connections are one for each thread."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        entry, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(entry["certificate-authority-data"]).decode())
        # ssl takes a client certificate from files only.
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name in ("client-certificate-data", "client-key-data"):
                path = os.path.join(folder, name)
                with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
                    out.write(base64.b64decode(user[name]))
                paths.append(path)
            context.load_cert_chain(*paths)
        self._context, self._server, self._local = context, entry["server"], threading.local()

    @property
    def http(self) -> httpx.Client:
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = httpx.Client(
                base_url=self._server, verify=self._context, timeout=10, trust_env=False
            )
        return client

    def get(self, path: str) -> dict[str, Any]:
        """A GET, tried again while the API is on its way up. Raises httpx.HTTPError."""
        return self._patiently(lambda: self.http.get(path)).json()

    def exists(self, item: dict[str, Any]) -> bool:
        """Whether there is an object of this kind and name. Raises httpx.HTTPError if the API can't tell."""
        try:
            self.get(path_of(item))
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            return False
        return True

    def apply(self, item: dict[str, Any]) -> None:
        """Server-side apply: https://kubernetes.io/docs/reference/using-api/server-side-apply/"""
        query = {"fieldManager": MANAGER, "force": "true"}
        self._patiently(
            lambda: self.http.patch(
                path_of(item),
                params=query,
                content=json.dumps(item),
                headers={"Content-Type": "application/apply-patch+yaml"},
            )
        )

    def apply_all(self, items: Iterable[dict[str, Any]]) -> None:
        """Namespaces and other cluster-wide objects first, then the rest side by side."""
        ordered = sorted(items, key=lambda item: item["kind"] not in CLUSTER_WIDE)
        wide = [item for item in ordered if item["kind"] in CLUSTER_WIDE]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self.apply, wide))
            list(pool.map(self.apply, ordered[len(wide) :]))

    def _patiently(self, call: Any) -> httpx.Response:
        deadline = time.monotonic() + RETRIES_S
        while True:
            try:
                response = call()
                # 403: the API serves before its own roles are there. 5xx: not ready, or its etcd isn't.
                if response.status_code < 500 and response.status_code not in (403, 429):
                    if response.is_error:
                        raise httpx.HTTPStatusError(response.text[:500], request=response.request, response=response)
                    return response
                problem: httpx.HTTPError = httpx.HTTPStatusError(
                    response.text[:500], request=response.request, response=response
                )
            except httpx.TransportError as error:
                problem = error
            if time.monotonic() > deadline:
                raise problem
            time.sleep(0.3)

    def wait(self, seconds: float, *, only: str | None = None) -> Summary:
        """Waits until all (or those of one namespace) are ready. Raises NotReady."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.summary(only)
            if found.ok:
                return found
            if time.monotonic() > deadline:
                raise NotReady(str(found))
            time.sleep(0.3)

    def summary(self, only: str | None = None) -> Summary:
        space = f"/namespaces/{only}" if only else ""
        nodes = [_condition(n) for n in self.get("/api/v1/nodes")["items"]]
        pods = [
            _condition(p)
            for p in self.get(f"/api/v1{space}/pods")["items"]
            if not p["metadata"].get("deletionTimestamp")
        ]
        missing = [
            line
            for plural in ("deployments", "statefulsets", "daemonsets")
            for line in map(_missing, self.get(f"/apis/apps/v1{space}/{plural}")["items"])
            if line
        ]
        return Summary(len(nodes), sum(nodes), len(pods), sum(pods), tuple(missing))


def _condition(item: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in item["status"].get("conditions") or [])


def _missing(item: dict[str, Any]) -> str | None:
    status = item.get("status", {})
    if "replicas" in item["spec"]:
        wanted, found = item["spec"]["replicas"], status.get("readyReplicas", 0)
    else:
        wanted, found = status.get("desiredNumberScheduled", -1), status.get("numberReady", 0)
    seen = status.get("observedGeneration", 0) >= item["metadata"]["generation"]
    meta = item["metadata"]
    return None if seen and found == wanted else f"{meta['namespace']}/{meta['name']} {found}/{wanted}"


def path_of(item: dict[str, Any]) -> str:
    """The URL path of an object."""
    group, meta = item["apiVersion"], item["metadata"]
    prefix = "/api/v1" if group == "v1" else f"/apis/{group}"
    space = "" if item["kind"] in CLUSTER_WIDE else f"/namespaces/{meta['namespace']}"
    plural = PLURALS.get(item["kind"], item["kind"].lower() + "s")
    return f"{prefix}{space}/{plural}/{meta['name']}"


def ready(directory: Path | None = None) -> Summary:
    """What is ready on the lab's cluster now (by the kubeconfig in `directory`, default `$LAB_DIR`)."""
    return Cluster((directory or lab_dir()) / "kubeconfig").summary()
