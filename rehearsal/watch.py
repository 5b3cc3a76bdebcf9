"""The proof running beside a rehearsal: its configuration from the lab's addresses, its process, its places."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from lab import processes
from lab.addresses import LabAddresses, alias
from lab.environment import REPOSITORY
from lab.layouts import MASTER, Layout
from lab.legacy.awkward.asked import asked
from lab.network.certificates import authority_path
from lab.settings import LabSettings
from proof import marks
from proof.config import change_place, write_atomically
from proof.model import Status, Summary
from proof.run import STATUS, SUMMARY
from proof.summary import read

NAME = "proof"
POLL_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Road:
    """From which VPC to which: the sides' names in the configuration; the lab knows their ranges."""

    old: str = "legacy"
    new: str = "main"


class WatchError(Exception):
    """The proof could not be started or did not end; the message says where its log is."""


class Watch:
    """One run of `python -m proof run` for this lab, in `out` (a folder of its own)."""

    def __init__(
        self, directory: Path, out: Path, addresses: LabAddresses, settings: LabSettings, road: Road | None = None
    ) -> None:
        self._directory, self.out, self._lab, self._settings = directory, out, addresses, settings
        self._road = road or Road()
        self.config = out.with_suffix(".config.json")
        self._editing = threading.Lock()
        """Places and members are changed by two threads: whoever reads the file must be the next to write it."""
        self._follower: _Members | None = None

    def start(self, environment: Mapping[str, str]) -> None:
        """Write the configuration, start the process, wait until it probes; raises `WatchError`."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(json.dumps(self.configuration(), indent=1))
        self._follower = _Members(self.config, self._editing, self._directory, self._settings)
        self._follower.once()
        processes.start(
            NAME,
            [sys.executable, "-m", "proof", "run", "--config", str(self.config), "--out", str(self.out)],
            directory=self._directory,
            environment=environment,
            nice=0,
            cwd=REPOSITORY,
        )
        deadline = time.monotonic() + 30
        while not (self.out / STATUS).exists():
            if processes.find(self._directory, NAME) is None or time.monotonic() > deadline:
                raise WatchError(f"the proof did not start: see {processes.log_path(self._directory, NAME)}")
            time.sleep(0.2)
        self._follower.start()

    def mark(self, text: str) -> None:
        """Name this moment in the proof's record."""
        marks.add(self.out, text)

    def see_new_side(self) -> None:
        """Probe from the new VPC too, from now on."""
        # The mark first: from then on probes are due from there, whatever becomes of the configuration.
        self.mark("place new begin")
        address = self._lab.reserved_ip(self._lab.sides[self._road.new])
        with self._editing:
            change_place(self.config, "new", source_address=address, resolver=self._resolver, active=True)

    def leave(self, place: Literal["old", "new"]) -> None:
        """Probe no more from a VPC that is about to lose its way to the cluster: the peering goes."""
        self.mark(f"place {place} end")
        with self._editing:
            change_place(self.config, place, active=False)
        time.sleep(2 * POLL_S)  # until the proof has read it

    def status(self) -> Status | None:
        """The proof's live numbers; None before it has any."""
        return read(self.out / STATUS, Status)

    def failed(self) -> int:
        """Failed probes so far."""
        status = self.status()
        return status.failed if status else 0

    def stop(self) -> Summary:
        """End the proof in order and return its summary; raises `WatchError` if it doesn't end."""
        if self._follower:
            self._follower.end()
        ended = subprocess.run(
            [sys.executable, "-m", "proof", "stop", "--out", str(self.out), "--wait", "120"],
            capture_output=True,
            text=True,
            check=False,
            cwd=REPOSITORY,
        )
        summary = read(self.out / SUMMARY, Summary)
        if summary is None:
            raise WatchError(f"the proof left no summary ({ended.stderr.strip() or 'it said nothing'})")
        return summary

    def abandon(self) -> None:
        """Follow it no longer; it ends with the lab."""
        if self._follower:
            self._follower.end()

    @property
    def _resolver(self) -> str:
        return f"127.0.0.1:{self._lab.dns_port}"

    def configuration(self) -> dict[str, Any]:
        """What the proof is told; its etcd section follows."""
        lab, settings = self._lab, self._settings
        resolver = self._resolver
        places = [
            {"name": "old", "source_address": lab.reserved_ip(lab.sides[self._road.old]), "resolver": resolver},
            {"name": "connected", "source_address": lab.operator_ip, "resolver": resolver},
        ]
        run = self._directory / "run"
        groups: dict[str, Any] = {name: {"pidfiles": [str(run / f"{name}.pid")]} for name in ("aws", "network", NAME)}
        groups |= {
            # Before etcd, whose name stands in their command lines, too.
            "api servers": {"match": ["/kube-apiserver"]},
            "etcd": {"match": ["/etcd"]},
            "controllers": {"match": ["/kube-controller-manager", "/kube-scheduler"]},
            "kwok": {"match": ["/kwok"]},
            "engine": {"match": ["pulumi"]},
        }
        listeners = [
            {
                "name": one.name,
                "url": one.url,
                "answers": one.answers,
                **({"ca": str(authority_path(self._directory))} if one.secure else {}),
            }
            for one in asked(settings)
        ]
        return {
            "places": places,
            **({"listeners": listeners} if listeners else {}),
            # What the lab's pods say of themselves begins with their name (lab/network/pods.py).
            "ingress": {"url": f"http://{settings.ingress_name}:8080/", "answers": '{"pod": "ingress-'},
            "api": {"url": f"https://{settings.api_name}:6443"},
            "kubeconfig": str(self._directory / "kubeconfig"),
            "cpu_groups": groups,
            # Kubernetes shows the nodes' addresses under another first octet, since it refuses loopback.
            "sides": [
                {"name": name, "cidr": cidr, "also": [alias(cidr)]}
                for name, cidr in lab.sides.items()
                if name in (self._road.old, self._road.new)
            ],
        }


def running_members(ec2: Any, role: str = MASTER) -> list[str]:
    """Addresses of the running machines with this role's tag, the newest last: API servers', where none is said.

    Raises what boto3 raises.
    """
    states: list[Any] = [
        {"Name": "instance-state-name", "Values": ["running"]},
        {"Name": f"tag:{role}", "Values": ["1"]},
    ]
    found = [
        (instance["LaunchTime"], instance["PrivateIpAddress"])
        for reservation in ec2.describe_instances(Filters=states)["Reservations"]
        for instance in reservation["Instances"]
    ]
    return [address for _, address in sorted(found)]


class _Members(threading.Thread):
    """Keeps the proof's etcd section pointing at the members that run: they change while it watches.

    The sampler speaks from a member's own address, as a check on the machine itself would.
    """

    def __init__(self, config: Path, editing: threading.Lock, directory: Path, settings: LabSettings) -> None:
        super().__init__(daemon=True, name="members")
        self._editing = editing
        self._config, self._cluster, self._over = config, settings.cluster, threading.Event()
        self._layout: Layout = settings.control_plane
        self._ec2: Any = boto3.client("ec2")
        self._files = self._certificates(directory / "run" / "etcd-client")
        self._last: list[str] = []

    def run(self) -> None:
        while not self._over.wait(POLL_S):
            try:
                self.once()
            except (BotoCoreError, ClientError, OSError) as error:
                print(f"members: {error}", file=sys.stderr)

    def end(self) -> None:
        self._over.set()
        self.join(10)

    def once(self) -> None:
        """Look at the running members; rewrite the section when they changed."""
        addresses = running_members(self._ec2, self._layout.etcd_role)
        if not addresses or addresses == self._last:
            return
        with self._editing:
            config = json.loads(self._config.read_text())
            config["etcd"] = {
                "endpoints": [f"https://{address}:{self._layout.etcd_client_port}" for address in addresses],
                # The newest: old members leave first.
                "source_address": addresses[-1],
                **self._files,
            }
            write_atomically(self._config, json.dumps(config, indent=1))
        self._last = addresses

    def _certificates(self, folder: Path) -> dict[str, str]:
        ssm = boto3.client("ssm")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        files = {}
        for key, name in (("ca", "ca.crt"), ("cert", "client.crt"), ("key", "client.key")):
            found = ssm.get_parameter(Name=f"/{self._cluster}/operator/etcd/{name}", WithDecryption=True)
            path = folder / name
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as sink:
                sink.write(found["Parameter"].get("Value", ""))
            files[key] = str(path)
        return files
