"""User data of the legacy cluster's machines: what would work on a real image. Pure.

In layout `cloud-config` a control-plane machine's facts are in `/etc/kubernetes/member.json`, its boot script is
`/usr/local/bin/pet-boot`: who clones a machine replaces these two and keeps the units.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import yaml

from lab.controllers import CLOUD_UNIT
from lab.toolchain.pins import ETCD, KUBERNETES

FILES = Path(__file__).with_name("files")
TEMPLATES = Path(__file__).with_name("templates")
LIBRARY = Path(__file__).with_name("images") / "library"
MANAGER = "kube-controller-manager"
UNITS = ("etcd", "kube-apiserver", MANAGER, "kube-scheduler")
SYSTEMD = "/etc/systemd/system"
BOOT = "/usr/local/bin/pet-boot"
FACTS = "/etc/kubernetes/member.json"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that people can read the user data."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def control_plane(
    *,
    cluster: str,
    member: str,
    pod_cidr: str,
    api_names: list[str],
    volume_tags: dict[str, str],
    cloud_controller: bool = False,
) -> str:
    """A member of layout `cloud-config`; with `cloud_controller` AWS's runs on it, wanted by the controller manager."""
    facts = {"cluster": cluster, "member": member, "api_names": api_names, "volume_tags": volume_tags}
    files = [
        _file(f"{SYSTEMD}/{unit}.service", _read(f"{unit}.service").replace("@POD_CIDR@", pod_cidr)) for unit in UNITS
    ]
    files += [_file(FACTS, json.dumps(facts, indent=1) + "\n"), _packed(BOOT, _read("pet-boot"), "0755")]
    return _cloud_config(_with_cloud_controller(files) if cloud_controller else files, [BOOT])


def _with_cloud_controller(files: list[dict[str, str]]) -> list[dict[str, str]]:
    """Who starts the controller manager starts this one, too: a boot needn't know of it."""
    manager = f"{SYSTEMD}/{MANAGER}.service"
    wanting = [
        {**one, "content": one["content"].replace("[Unit]\n", f"[Unit]\nWants={CLOUD_UNIT}\n", 1)}
        if one["path"] == manager
        else one
        for one in files
    ]
    return [
        *wanting,
        _file(f"{SYSTEMD}/{CLOUD_UNIT}", _read(CLOUD_UNIT)),
        _file("/usr/local/bin/cloud-config", _read("cloud-config"), "0755"),
    ]


def etcd(*, cluster: str, member: str, initial_cluster: str = "") -> str:
    """An etcd machine of layout `separate-etcd`; before its cluster has addresses, the machine waits to be told."""
    return _rendered(
        "etcd.sh",
        CLUSTER=cluster,
        ETCD_NAME=member,
        ETCD_INITIAL_CLUSTER=initial_cluster,
        ETCD_INITIAL_CLUSTER_STATE="existing" if initial_cluster else "new",
    )


def master(*, cluster: str, pod_cidr: str, api_names: list[str], etcd_servers: list[str]) -> str:
    """An API machine of layout `separate-etcd`."""
    return _rendered(
        "master.sh",
        CLUSTER=cluster,
        API_NAMES=",".join(api_names),
        POD_CIDR=pod_cidr,
        ETCD_SERVERS=",".join(etcd_servers),
    )


def kubeadm(*, cluster: str, member: str, pod_cidr: str, api_name: str) -> str:
    """A member of layout `kubeadm`: its configuration, and who calls kubeadm's phases."""
    own = ("IP", "NODE", "INITIAL_CLUSTER")  # the machine's to fill in
    configuration = _rendered(
        "kubeadm.yaml",
        CLUSTER=cluster,
        API_NAME=api_name,
        KUBERNETES=KUBERNETES,
        ETCD=ETCD,
        POD_CIDR=pod_cidr,
        **{name: f"@{name}@" for name in own},
    )
    facts = {"cluster": cluster, "member": member, "volume_tags": {"k8s.io/etcd/main": member}}
    files = [
        _file("/etc/kubernetes/kubeadm.yaml.in", configuration),
        _file(FACTS, json.dumps(facts, indent=1) + "\n"),
        _file("/usr/local/bin/kubeadm-boot", (TEMPLATES / "kubeadm-boot").read_text(), "0755"),
    ]
    return _cloud_config(files, ["/usr/local/bin/kubeadm-boot"])


def custom(*, cluster: str, member: str, pod_cidr: str, api_names: list[str]) -> str:
    """A member of layout `custom`: one script that brings everything."""
    return _rendered(
        "custom.sh",
        CLUSTER=cluster,
        MEMBER=member,
        POD_CIDR=pod_cidr,
        API_NAMES='", "'.join(api_names),
        LIBRARY=_lines(_compressed(LIBRARY.read_text())),
    )


def _rendered(template: str, **values: str) -> str:
    """A template with its `@NAME@`s replaced. Raises ValueError for one without a value, or a value too many."""
    text = (TEMPLATES / template).read_text()
    named = set(re.findall(r"@([A-Z_]+)@", text))
    if named != set(values):
        raise ValueError(f"{template}: placeholders {sorted(named)}, values for {sorted(values)}")
    return re.sub(r"@([A-Z_]+)@", lambda found: values[found.group(1)], text)


def _lines(text: str) -> str:
    return "\n".join(text[start : start + 76] for start in range(0, len(text), 76))


def worker(*, labels: dict[str, str]) -> str:
    text = ",".join(f"{key}={value}" for key, value in labels.items())
    files = [
        _file("/etc/kubernetes/kubelet.env", f"NODE_LABELS={text}\nNODE_TAINTS=\n"),
        _file("/etc/systemd/system/kubelet.service", _read("kubelet.service")),
    ]
    return _cloud_config(files, [["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", "kubelet"]])


def _read(name: str) -> str:
    return (FILES / name).read_text()


def _file(path: str, content: str, permissions: str = "0644") -> dict[str, str]:
    return {"path": path, "permissions": permissions, "content": content}


def _packed(path: str, content: str, permissions: str) -> dict[str, str]:
    # User data may have 16 KB; a clone's boot script must find room, too. No time inside: the same bytes every time.
    return {"path": path, "permissions": permissions, "encoding": "gz+b64", "content": _compressed(content)}


def _compressed(content: str) -> str:
    return base64.b64encode(gzip.compress(content.encode(), mtime=0)).decode()


def _cloud_config(files: list[dict[str, str]], commands: list[Any]) -> str:
    document = {"write_files": files, "runcmd": commands}
    return "#cloud-config\n" + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=200)
