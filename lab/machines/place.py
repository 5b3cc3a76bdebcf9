"""Where a lab's machines live on disk, and the environment their processes get."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.addresses import LabAddresses
from lab.machines.rewrites import Host
from lab.settings import LabSettings
from lab.timings import Span, drawn

SHIMS = ("systemctl", "mkfs.ext4", "mkfs", "mount", "umount", "blkid", "mountpoint", "cmp", "crictl", "kubeadm")
"""What a machine's scripts call and the supervisor answers (shim.py)."""


def find_tool(name: str) -> Path:
    """A control-plane program, found as the lab's toolchain finds it. Raises its MissingTool."""
    # Not at import: `lab down` and the tests need no toolchain.
    from lab.toolchain import tool_path

    return tool_path(name)


@dataclass(frozen=True, kw_only=True)
class Place:
    """One lab's folders and settings."""

    directory: Path
    addresses: LabAddresses
    settings: LabSettings
    tool: Callable[[str], Path] = find_tool

    @property
    def machines(self) -> Path:
        return self.directory / "machines"

    @property
    def shims(self) -> Path:
        return self.directory / "shims"

    def folder(self, instance: str) -> Path:
        return self.machines / instance

    def root(self, instance: str) -> Path:
        return self.folder(instance) / "root"

    def volume(self, volume: str) -> Path:
        return self.directory / "volumes" / volume

    def boot_s(self, ip: str) -> float:
        """How long a machine with this address takes from its launch to its user data."""
        return self._drawn("boot", ip, self._timed(ip).instance_boot_s)

    def join_s(self, ip: str) -> float:
        """How long its kubelet then takes until the machine is a Node."""
        return self._drawn("join", ip, self._timed(ip).node_join_s)

    def _timed(self, ip: str) -> LabSettings:
        return self.settings if self.addresses.moved_to(ip) else self.settings.quickly()

    def _drawn(self, what: str, ip: str, time: float | Span) -> float:
        return drawn(time, self.settings.seed, what, ip)

    def host(self, instance: Mapping[str, Any]) -> Host:
        name = instance["id"]
        return Host(
            ip=instance["private_ip"],
            instance=name,
            folder=self.folder(name),
            connect_socket=self.directory / "run" / f"connect-{name}.sock",
        )

    def environment(self, instance: Mapping[str, Any]) -> dict[str, str]:
        """What every process of a machine starts with. Credentials come from the metadata service alone."""
        name = instance["id"]
        return {
            "PATH": os.pathsep.join(
                [str(self.shims), str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
            ),
            "HOME": str(self.root(name) / "root"),
            "LANG": "C.UTF-8",
            "LAB_DIR": str(self.directory),
            "LAB_INDEX": str(self.addresses.index),
            "LAB_DNS_PORT": str(self.addresses.dns_port),
            "LAB_MACHINE_IP": instance["private_ip"],
            "LAB_INSTANCE": name,
            "AWS_ENDPOINT_URL": self.addresses.aws_url,
            "AWS_REGION": instance["zone"][:-1],
            "AWS_DEFAULT_REGION": instance["zone"][:-1],
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{self.addresses.imds_url}/imds/{name}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def make_shims(self) -> None:
        """Writes the folder that stands first on a machine's PATH."""
        self.shims.mkdir(parents=True, exist_ok=True)
        shim = Path(__file__).with_name("shim.py").read_text()
        # -I -S: neither environment nor site-packages; a shim starts in a few milliseconds.
        body = f"#!{sys.executable} -IS\n" + shim
        for name in SHIMS:
            _executable(self.shims / name, body)
        confined = ""
        if self.settings.attended_workers:
            folder = self.shims / "python"
            folder.mkdir(exist_ok=True)
            _executable(folder / "sitecustomize.py", Path(__file__).with_name("confined.py").read_text())
            confined = f"PYTHONPATH='{folder}' "
        # A wrapper, not a link: Python finds its virtual environment beside the name it is called by.
        _executable(self.shims / "python3", f'#!/bin/sh\n{confined}exec {sys.executable} "$@"\n')


def _executable(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    temporary.chmod(0o755)
    temporary.replace(path)
