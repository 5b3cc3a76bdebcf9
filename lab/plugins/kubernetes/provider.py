"""The plugin's methods over a cluster."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from lab.plugins.errors import PluginError, UnknownType
from lab.plugins.host import Change, Difference, Failure, Props, Request
from lab.plugins.kubernetes import kubeconfig, rules
from lab.plugins.kubernetes.cluster import Cluster, Unreachable, Where
from lab.plugins.wire import Unknown, has_unknown

_CONFIG = {
    "kubeconfig", "context", "cluster", "clusterIdentifier", "namespace", "enableServerSideApply",
    "enableConfigMapMutable", "enableSecretMutable", "enablePatchForce", "upsertExistingObjects", "deleteUnreachable",
    "suppressDeprecationWarnings", "suppressHelmHookWarnings", "kubeClientSettings", "version", "pluginDownloadURL",
}  # fmt: skip
_MANAGER = "__fieldManager"
_FORCE = "pulumi.com/patchForce"
_OWN_ANNOTATIONS = (_FORCE, "pulumi.com/patchFieldManager", "pulumi.com/skipAwait")
# Cluster-scoped kinds that a preview must recognise while there is no cluster to ask.
_CLUSTER_SCOPED = {
    "Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", "StorageClass", "CSIDriver",
    "PriorityClass", "CustomResourceDefinition", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
    "APIService", "IngressClass", "RuntimeClass", "VolumeAttachment",
}  # fmt: skip
_UNSTABLE = ("managedFields", "resourceVersion", "generation")


def _true(value: Any) -> bool:
    return value in (True, "true", "True", "1")


class KubernetesPlugin:
    """`Plugin` for Kubernetes."""

    version = "4.34.2+lab"

    def __init__(self, cluster: Cluster | None = None) -> None:
        self._config: Props = {}
        self._made = cluster
        self._lock = threading.Lock()

    def check_config(self, config: Props) -> Sequence[Failure]:
        failures = [
            Failure(key, f"the lab's kubernetes plugin doesn't know the provider setting '{key}'")
            for key in config
            if key not in _CONFIG and not key.startswith("__")
        ]
        if config.get("enableServerSideApply") in (False, "false"):
            failures.append(Failure("enableServerSideApply", "the lab's kubernetes plugin only applies server-side"))
        return failures

    def diff_config(self, old: Props, new: Props) -> Difference:
        keys = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k) and k != "version")
        another = self._another_cluster(old, new)
        return Difference([Change(k, "update", k in another) for k in keys])

    def _another_cluster(self, old: Props, new: Props) -> set[str]:
        # The SDK's page: with clusterIdentifier only its change replaces; without, the active cluster's is compared.
        if old.get("clusterIdentifier") or new.get("clusterIdentifier"):
            return {"clusterIdentifier"}
        keys = ("kubeconfig", "context")
        if has_unknown([old.get(k) for k in keys]) or has_unknown([new.get(k) for k in keys]):
            return set()
        was, wanted = (
            kubeconfig.cluster_of(kubeconfig.text_of(c.get("kubeconfig")), c.get("context")) for c in (old, new)
        )
        return set() if was == wanted else set(keys)

    def configure(self, config: Props) -> None:
        self._config = config

    def cancel(self) -> None:
        """Nothing here waits longer than its own bound."""

    @property
    def _cluster(self) -> Cluster:
        with self._lock:
            if self._made is None:
                given = self._config.get("kubeconfig")
                if isinstance(given, Unknown):
                    raise PluginError("the provider's kubeconfig isn't known yet")
                text = kubeconfig.text_of(given)
                found = kubeconfig.access(
                    text, context=self._config.get("context"), cluster=self._config.get("cluster")
                )
                self._made = Cluster(found)
            return self._made

    def check(self, request: Request) -> tuple[Props, Sequence[Failure]]:
        _require_known(request.type)
        inputs = {k: v for k, v in request.inputs.items() if v is not None}
        failures = [
            Failure(name, f"missing required property '{name}'")
            for name in ("apiVersion", "kind")
            if name not in inputs
        ]
        metadata = inputs.get("metadata")
        if isinstance(metadata, Unknown) or failures:
            return inputs, failures
        metadata = dict(metadata or {})
        if not metadata.get("name"):
            failures.append(Failure("metadata.name", "the lab's kubernetes plugin generates no names: give one"))
        if not metadata.get("namespace") and self._namespaced(inputs):
            metadata["namespace"] = self._config.get("namespace") or "default"
        return {**inputs, "metadata": metadata}, failures

    def _namespaced(self, inputs: Props) -> bool:
        group = str(inputs["apiVersion"]).rpartition("/")[0]
        if "." not in group or group.endswith(".k8s.io"):  # Kubernetes' own: no need to ask, as a preview may be alone
            return inputs["kind"] not in _CLUSTER_SCOPED
        return self._cluster.namespaced(inputs["apiVersion"], inputs["kind"])

    def diff(self, request: Request) -> Difference:
        old, new = request.old_inputs, request.inputs
        forced = rules.replacing(str(new.get("apiVersion")), str(new.get("kind")), mutable=self._mutable())
        patch = _is_patch(request.type)
        changes = rules.differences(old, new, rules.replacing("", "") if patch else forced)
        # As with the provider: an object whose name stays can't stand beside its successor.
        stays = all((old.get("metadata") or {}).get(k) == _metadata(new).get(k) for k in ("name", "namespace"))
        return Difference(changes, any(c.replace for c in changes) and stays and not patch)

    def _mutable(self) -> frozenset[str]:
        settings = {"ConfigMap": "enableConfigMapMutable", "Secret": "enableSecretMutable"}
        return frozenset(kind for kind, name in settings.items() if _true(self._config.get(name)))

    def create(self, request: Request) -> tuple[str, Props]:
        if request.preview:
            return "", dict(request.inputs)
        where, cluster = _where(request.inputs), self._cluster
        there = cluster.get(where)
        patch = _is_patch(request.type)
        if patch and there is None:
            raise PluginError(f"{where.kind} {where.id} isn't there to be patched")
        if not patch and there is not None and not _true(self._config.get("upsertExistingObjects")):
            raise PluginError(f"{where.kind} {where.id} already exists; import it")
        manager = (
            _annotation(request.inputs, "pulumi.com/patchFieldManager") or f"pulumi-kubernetes-{secrets.token_hex(4)}"
        )
        return where.id, self._apply(where, request.inputs, manager)

    def _apply(self, where: Where, inputs: Props, manager: str) -> Props:
        force = _true(_annotation(inputs, _FORCE)) or _true(self._config.get("enablePatchForce"))
        live = self._cluster.apply(where, _body(inputs), manager=manager, force=force)
        return _outputs(live, manager)

    def read(self, request: Request) -> tuple[str, Props, Props] | None:
        where = self._where_of(request)
        try:
            live = self._cluster.get(where)
        except Unreachable:
            if _true(self._config.get("deleteUnreachable")):
                return None
            raise
        if live is None:
            return None
        outputs = _outputs(live, request.old_outputs.get(_MANAGER) or "pulumi-kubernetes")
        if not request.old_inputs:
            return where.id, outputs, _imported(live)
        return where.id, outputs, rules.drifted(request.old_inputs, request.old_outputs, outputs)

    def _where_of(self, request: Request) -> Where:
        known = request.old_inputs or request.old_outputs
        if known.get("apiVersion") and known.get("kind"):
            return _where(known)
        # An import says only type and id.
        group_version, _, kind = request.type.removeprefix("kubernetes:").partition(":")
        api_version = group_version.removeprefix("core/")
        if _is_patch(request.type):
            kind = kind.removesuffix("Patch")
        namespace, _, name = request.id.rpartition("/")
        namespaced = self._cluster.namespaced(api_version, kind)
        return Where(api_version, kind, name, (namespace or "default") if namespaced else None)

    def update(self, request: Request) -> Props:
        if request.preview:
            return {**request.old_outputs, **request.inputs}
        where = _where(request.inputs)
        manager = request.old_outputs.get(_MANAGER) or "pulumi-kubernetes"
        return self._apply(where, request.inputs, manager)

    def delete(self, request: Request) -> None:
        where = self._where_of(request)
        try:
            if _is_patch(request.type):
                self._cluster.release(where, request.old_outputs.get(_MANAGER) or "pulumi-kubernetes")
            else:
                self._cluster.delete(where, timeout_s=request.timeout or 600.0)
        except Unreachable:
            if not _true(self._config.get("deleteUnreachable")):
                raise


def _is_patch(token: str) -> bool:
    return token.endswith("Patch")


def _require_known(token: str) -> None:
    module, _, kind = token.removeprefix("kubernetes:").partition(":")
    if "/" not in module or module.startswith(("helm.sh", "yaml", "kustomize")) or kind.endswith("List"):
        raise UnknownType(f"the lab's kubernetes plugin doesn't know the type {token}")


def _metadata(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = inputs.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _annotation(inputs: Props, name: str) -> str | None:
    return (_metadata(inputs).get("annotations") or {}).get(name)


def _where(inputs: Props) -> Where:
    metadata = _metadata(inputs)
    return Where(inputs["apiVersion"], inputs["kind"], metadata["name"], metadata.get("namespace"))


def _body(inputs: Props) -> Props:
    """What is applied: the inputs without what is the provider's own."""
    body = {k: v for k, v in inputs.items() if not k.startswith("__")}
    metadata = dict(_metadata(inputs))
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {k: v for k, v in annotations.items() if k not in _OWN_ANNOTATIONS}
    return {**body, "metadata": metadata}


def _outputs(live: Mapping[str, Any], manager: str) -> Props:
    metadata = {k: v for k, v in live["metadata"].items() if k not in _UNSTABLE}
    return json.loads(json.dumps({**live, "metadata": metadata, _MANAGER: manager}))


def _imported(live: Mapping[str, Any]) -> Props:
    kept = ("name", "namespace", "labels", "annotations")
    metadata = {k: v for k, v in live["metadata"].items() if k in kept}
    return {**{k: v for k, v in live.items() if k != "status"}, "metadata": metadata}
