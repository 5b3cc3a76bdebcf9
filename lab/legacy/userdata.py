"""User data of the legacy cluster's machines: cloud-config that would work on a real image. Pure.

A control-plane machine's facts are in `/etc/kubernetes/member.json`, its boot script is `/usr/local/bin/pet-boot`: who
clones a machine replaces these two and keeps the units.
"""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import yaml

FILES = Path(__file__).with_name("files")
UNITS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
BOOT = "/usr/local/bin/pet-boot"
FACTS = "/etc/kubernetes/member.json"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that people can read the user data."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def control_plane(
    *, cluster: str, member: str, pod_cidr: str, api_names: list[str], volume_tags: dict[str, str]
) -> str:
    facts = {"cluster": cluster, "member": member, "api_names": api_names, "volume_tags": volume_tags}
    files = [
        _file(f"/etc/systemd/system/{unit}.service", _read(f"{unit}.service").replace("@POD_CIDR@", pod_cidr))
        for unit in UNITS
    ]
    files += [_file(FACTS, json.dumps(facts, indent=1) + "\n"), _packed(BOOT, _read("pet-boot"), "0755")]
    return _cloud_config(files, [BOOT])


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
    packed = base64.b64encode(gzip.compress(content.encode(), mtime=0)).decode()
    return {"path": path, "permissions": permissions, "encoding": "gz+b64", "content": packed}


def _cloud_config(files: list[dict[str, str]], commands: list[Any]) -> str:
    document = {"write_files": files, "runcmd": commands}
    return "#cloud-config\n" + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=200)
