"""What the kubelet stand-in reads: its own configuration, and the manifests of static pods. Pure.

A static pod's containers become units (units.py), so that they are started, watched, restarted and ended as services
are. Format: https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/; only what the control planes' pods
use. Anything that would change what runs and isn't understood is refused by name, never passed over.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.machines.reroot import OWNED, reroot
from lab.machines.units import Unit
from lab.toolchain.pins import BY_NAME

REGISTRY = "registry.k8s.io"
IMAGES: Mapping[str, str] = {
    f"{REGISTRY}/{name}": name for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
}
"""Container image, without tag → the program of the lab's toolchain it stands for."""
FOLDER = "/etc/kubernetes/manifests"
_TAG = re.compile(r"v?(\d+\.\d+\.\d+)(?:-\d+)?")
"""`v1.34.1`, and etcd's `3.6.16-0`: the number after the dash counts builds of one version."""
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][\w.-]*)\)")


class ManifestError(ValueError):
    """A manifest that can't be run; the message names the key, what it is and what would do."""


@dataclass(frozen=True, kw_only=True)
class KubeletOptions:
    """What of a kubelet's flags and configuration file matters to its stand-in."""

    manifests: str | None = None
    """The folder of its static pods, as a path of the machine; None where it has none."""
    register: bool = True


@dataclass(frozen=True, kw_only=True)
class Where:
    """The machine and the kubelet that a manifest is read for."""

    root: Path
    """The machine's root folder."""
    scratch: Path
    """What a container's own file system is made of: one folder each, gone with the pod."""
    ip: str
    node: str


@dataclass(frozen=True, kw_only=True)
class StaticPod:
    name: str
    namespace: str
    containers: tuple[Unit, ...]
    labels: Mapping[str, str]
    folders: tuple[Path, ...]
    """Of the host, to be there before it starts (`DirectoryOrCreate`)."""
    needed: tuple[Path, ...]
    """Of the host, without which it doesn't start (`Directory`, `File`)."""


def kubelet_options(flags: Mapping[str, str], configuration: str | None) -> KubeletOptions:
    """Reads the kubelet's flags and its KubeletConfiguration file; a flag wins, as with the real one.

    Raises ManifestError where the file isn't a mapping.
    """
    try:
        document = yaml.safe_load(configuration or "") or {}
    except yaml.YAMLError as error:
        raise ManifestError(f"the kubelet's configuration isn't YAML: {error}") from error
    if not isinstance(document, dict):
        raise ManifestError("the kubelet's configuration must be a mapping")
    register = flags.get("register-node", str(document.get("registerNode", True)))
    return KubeletOptions(
        manifests=flags.get("pod-manifest-path") or document.get("staticPodPath") or None,
        register=register.lower() not in ("false", "0"),
    )


def program_of(image: str) -> str:
    """The tool that a container image stands for. Raises ManifestError for an unknown one, or another version."""
    name, separator, tag = image.partition("@")[0].rpartition(":")
    if not separator or "/" in tag:
        raise ManifestError(f"image {image!r} has no tag: the lab runs {_known()}")
    program = IMAGES.get(name)
    if program is None:
        raise ManifestError(f"image {image!r} is unknown to the lab: it has {_known()}")
    found = _TAG.fullmatch(tag)
    version = BY_NAME[program].version
    if found is None or found.group(1) != version:
        raise ManifestError(f"image {image!r}: the lab's {program} is {version}, another version can't be pulled")
    return program


def _known() -> str:
    return ", ".join(f"{image}:{_tag(program)}" for image, program in IMAGES.items())


def _tag(program: str) -> str:
    version = BY_NAME[program].version
    return f"{version}-0" if program == "etcd" else f"v{version}"


def read_manifest(text: str, where: Where) -> StaticPod:
    """One manifest as units. Raises ManifestError, every error in one message."""
    # Files that were written by a script of the machine's have its paths moved already: here they are a container's.
    text = text.replace(f"{where.root}/", "/")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ManifestError(f"isn't YAML: {error}") from error
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != ("v1", "Pod"):
        raise ManifestError("isn't a v1 Pod")
    meta, spec = document.get("metadata") or {}, document.get("spec") or {}
    name = str(meta.get("name") or "")
    errors: list[str] = []
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name):
        errors.append(f"metadata.name {name!r} isn't a DNS subdomain")
    if not spec.get("hostNetwork"):
        errors.append("spec.hostNetwork isn't true: the lab's machines have no pod network")
    if spec.get("initContainers"):
        errors.append("spec.initContainers: not understood by the lab's kubelets")
    if not spec.get("containers"):
        errors.append("spec.containers is empty")
    volumes: dict[str, tuple[Path, str]] = {}
    for volume in spec.get("volumes") or ():
        try:
            volumes[volume["name"]] = _volume(name, volume, where)
        except ManifestError as error:
            errors.append(str(error))
    units: list[Unit] = []
    for container in spec.get("containers") or ():
        try:
            units.append(_container(name, meta, spec, container, volumes, where))
        except ManifestError as error:
            errors.append(f"container {container.get('name')!r}: {error}")
    if errors:
        raise ManifestError("; ".join(errors))
    # Others (`/usr/share/ca-certificates`) are this host's, where they may be missing.
    own = [(path, kind) for path, kind in volumes.values() if not path.is_relative_to("/usr/share")]
    return StaticPod(
        name=name,
        namespace=str(meta.get("namespace") or "default"),
        containers=tuple(units),
        labels=dict(meta.get("labels") or {}),
        folders=tuple(path for path, kind in own if kind == "DirectoryOrCreate"),
        needed=tuple(path for path, kind in own if kind in ("Directory", "File")),
    )


def _volume(pod: str, volume: Mapping[str, Any], where: Where) -> tuple[Path, str]:
    """Where a volume lies on this host, and its hostPath type."""
    if "hostPath" in volume:
        kind = volume["hostPath"].get("type") or ""
        if kind not in ("", "Directory", "DirectoryOrCreate", "File", "FileOrCreate"):
            raise ManifestError(f"volume {volume['name']!r}: hostPath type {kind!r} isn't understood")
        return Path(reroot(str(volume["hostPath"]["path"]), where.root)), kind
    if "emptyDir" in volume:
        return where.scratch / f"pod-{pod}" / volume["name"], "DirectoryOrCreate"
    raise ManifestError(f"volume {volume.get('name')!r}: a static pod here has hostPath and emptyDir only")


def _container(
    pod: str,
    meta: Mapping[str, Any],
    spec: Mapping[str, Any],
    container: Mapping[str, Any],
    volumes: Mapping[str, tuple[Path, str]],
    where: Where,
) -> Unit:
    program = program_of(str(container.get("image") or ""))
    command = [str(word) for word in container.get("command") or [program]]
    if Path(command[0]).name != program:
        raise ManifestError(f"command {command[0]!r}: the lab has only {program} of this image")
    name = f"pod-{pod}-{container['name']}"
    environment = _environment(container, meta, where)
    words = [_expanded(word, environment) for word in [program, *command[1:], *map(str, container.get("args") or [])]]
    mounts = _mounts(container, volumes)
    own = where.scratch / name
    return Unit(
        name=name,
        start=(shlex.join(_contained(word, mounts, own).replace("$", "$$") for word in words),),
        environment={key: _contained(value, mounts, own) for key, value in environment.items()},
        restart={"Always": "always", "OnFailure": "on-failure", "Never": "no"}[spec.get("restartPolicy", "Always")],
        restart_s=1.0,
        stop_s=float(spec.get("terminationGracePeriodSeconds", 30)),
        directory=_contained(container["workingDir"], mounts, own) if container.get("workingDir") else None,
    )


def _mounts(container: Mapping[str, Any], volumes: Mapping[str, tuple[Path, str]]) -> dict[str, str]:
    """Path in the container → path on this host."""
    found: dict[str, str] = {}
    for mount in container.get("volumeMounts") or ():
        if mount["name"] not in volumes:
            raise ManifestError(f"volumeMount {mount['name']!r}: there is no such volume")
        path, _ = volumes[mount["name"]]
        found[str(mount["mountPath"]).rstrip("/")] = str(path / str(mount.get("subPath") or ""))
    return found


def _contained(text: str, mounts: Mapping[str, str], own: Path) -> str:
    """Paths of the container as paths of this host: mounted ones, and, of what a machine owns, the container's own.

    What isn't mounted is not the machine's: a program that needs such a file doesn't find it, as in a container.
    """
    targets = {**{prefix: f"{own}{prefix}" for prefix in OWNED}, **mounts}
    # The longest first: a mount inside another one comes before it.
    prefixes = sorted(targets, key=lambda prefix: -len(prefix))
    pattern = r"(?<![\w./~}])(?:" + "|".join(map(re.escape, prefixes)) + r")(?=/|$|[^\w.\-/])"
    return re.sub(pattern, lambda hit: targets[hit.group(0)], text)


def _environment(container: Mapping[str, Any], meta: Mapping[str, Any], where: Where) -> dict[str, str]:
    fields = {
        "metadata.name": f"{meta.get('name')}-{where.node}",
        "metadata.namespace": str(meta.get("namespace") or "default"),
        "spec.nodeName": where.node,
        "status.podIP": where.ip,
        "status.hostIP": where.ip,
    }
    if container.get("envFrom"):
        raise ManifestError("envFrom: a static pod can't refer to other objects")
    found: dict[str, str] = {}
    for entry in container.get("env") or ():
        key, source = str(entry["name"]), entry.get("valueFrom")
        if source is None:
            found[key] = _expanded(str(entry.get("value") or ""), found)
            continue
        field = (source.get("fieldRef") or {}).get("fieldPath")
        if field not in fields:
            raise ManifestError(f"env {key}: valueFrom {source!r}: the lab knows fieldRef of {', '.join(fields)}")
        found[key] = fields[field]
    return found


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    """`$(VAR)` of a known variable; an unknown one stays, and `$$` is a dollar sign, as with the kubelet."""

    def value(hit: re.Match[str]) -> str:
        return "$" if hit.group(0) == "$$" else environment.get(hit.group(1), hit.group(0))

    return _REFERENCE.sub(value, text)
