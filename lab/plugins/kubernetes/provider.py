"""The plugin's methods over a cluster.

Source of what replaces: pulumi-kubernetes, provider/pkg/provider/diff.go (`forceNew`).
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.kubernetes.access import access, read
from lab.kubernetes.client import Client, Where
from lab.plugins.errors import PluginError, UnknownType
from lab.plugins.host import Change, Difference, Failure, Props, Request
from lab.plugins.kubernetes import rules
from lab.plugins.wire import Unknown

_CONFIG = {"kubeconfig", "clusterIdentifier", "enableConfigMapMutable", "version", "pluginDownloadURL"}
_MANAGER = "__fieldManager"
_UNSTABLE = ("managedFields", "resourceVersion", "generation")
_ALWAYS = ("kind", "metadata.name", "metadata.namespace")


@dataclass(frozen=True)
class Kind:
    """One type: where its objects live, and the paths (beside name and namespace) whose change replaces one."""

    api_version: str
    kind: str
    namespaced: bool
    replacing: tuple[str, ...] = ()


KINDS = {
    "kubernetes:core/v1:ConfigMap": Kind("v1", "ConfigMap", True, ("binaryData", "data")),
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole": Kind("rbac.authorization.k8s.io/v1", "ClusterRole", False),
}


def kind_of(token: str) -> Kind:
    """Raises UnknownType, naming it."""
    if token not in KINDS:
        raise UnknownType(f"the lab's kubernetes plugin doesn't know the type {token}")
    return KINDS[token]


class KubernetesPlugin:
    """`Plugin` for Kubernetes."""

    version = "4.34.2+lab"

    def __init__(self, client: Client | None = None) -> None:
        self._config: Props = {}
        self._made = client
        self._lock = threading.Lock()

    def check_config(self, config: Props) -> Sequence[Failure]:
        failures = [
            Failure(key, f"the lab's kubernetes plugin doesn't know the provider setting '{key}'")
            for key in config
            if key not in _CONFIG and not key.startswith("__")
        ]
        if not config.get("clusterIdentifier"):
            failures.append(Failure("clusterIdentifier", "give one: the lab's plugin tells clusters apart by it"))
        return failures

    def diff_config(self, old: Props, new: Props) -> Difference:
        keys = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k) and k != "version")
        return Difference([Change(k, "update", k == "clusterIdentifier") for k in keys])

    def configure(self, config: Props) -> None:
        self._config = config

    def cancel(self) -> None:
        """Nothing here waits longer than its own bound."""

    @property
    def _client(self) -> Client:
        with self._lock:
            if self._made is None:
                given = self._config.get("kubeconfig")
                if isinstance(given, Unknown):
                    raise PluginError("the provider's kubeconfig isn't known yet")
                # Contents or a path, as the provider takes them.
                path = Path(given or os.environ.get("KUBECONFIG") or "~/.kube/config").expanduser()
                self._made = Client(access(given if given and "\n" in given else read(path)))
            return self._made

    def check(self, request: Request) -> tuple[Props, Sequence[Failure]]:
        kind = kind_of(request.type)
        inputs = {k: v for k, v in request.inputs.items() if v is not None}
        metadata = inputs.get("metadata")
        if isinstance(metadata, Unknown):
            return inputs, []
        metadata = dict(metadata or {})
        if not metadata.get("name"):
            return inputs, [Failure("metadata.name", "the lab's kubernetes plugin generates no names: give one")]
        if kind.namespaced:
            metadata.setdefault("namespace", "default")
        return {**inputs, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}, []

    def diff(self, request: Request) -> Difference:
        old, new = request.old_inputs, request.inputs
        mutable = request.type.endswith(":ConfigMap") and self._config.get("enableConfigMapMutable") in (True, "true")
        forced = (*_ALWAYS, *(() if mutable else kind_of(request.type).replacing))
        changes = rules.differences(old, new, forced)
        # As with the provider: an object whose name stays can't stand beside its successor.
        stays = all((old.get("metadata") or {}).get(k) == _metadata(new).get(k) for k in ("name", "namespace"))
        return Difference(changes, any(c.replace for c in changes) and stays)

    def create(self, request: Request) -> tuple[str, Props]:
        if request.preview:
            return "", dict(request.inputs)
        where = Where.of(request.inputs)
        if self._client.get(where) is not None:
            raise PluginError(f"{where.kind} {where.id} already exists; import it")
        return where.id, self._apply(request.inputs, f"pulumi-kubernetes-{secrets.token_hex(4)}")

    def _apply(self, inputs: Props, manager: str) -> Props:
        body = {k: v for k, v in inputs.items() if not k.startswith("__")}
        return _outputs(self._client.apply(Where.of(inputs), body, manager=manager, force=False), manager)

    def read(self, request: Request) -> tuple[str, Props, Props] | None:
        where = self._where_of(request)
        live = self._client.get(where)
        if live is None:
            return None
        outputs = _outputs(live, request.old_outputs.get(_MANAGER) or "pulumi-kubernetes")
        if not request.old_inputs:
            return where.id, outputs, _imported(live)
        return where.id, outputs, rules.drifted(request.old_inputs, request.old_outputs, outputs)

    def _where_of(self, request: Request) -> Where:
        known = request.old_inputs or request.old_outputs
        if known:
            return Where.of(known)
        # An import says only type and id.
        kind = kind_of(request.type)
        namespace, _, name = request.id.rpartition("/")
        return Where(kind.api_version, kind.kind, name, (namespace or "default") if kind.namespaced else None)

    def update(self, request: Request) -> Props:
        if request.preview:
            return {**request.old_outputs, **request.inputs}
        return self._apply(request.inputs, request.old_outputs.get(_MANAGER) or "pulumi-kubernetes")

    def delete(self, request: Request) -> None:
        self._client.delete(self._where_of(request), timeout_s=request.timeout or 600.0)


def _metadata(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = inputs.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _outputs(live: Mapping[str, Any], manager: str) -> Props:
    metadata = {k: v for k, v in live["metadata"].items() if k not in _UNSTABLE}
    return {**live, "metadata": metadata, _MANAGER: manager}


def _imported(live: Mapping[str, Any]) -> Props:
    kept = ("name", "namespace", "labels", "annotations")
    metadata = {k: v for k, v in live["metadata"].items() if k in kept}
    return {**{k: v for k, v in live.items() if k != "status"}, "metadata": metadata}
