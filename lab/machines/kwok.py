"""One KWOK process for each side: it plays that VPC's kubelets (leases, heartbeats, pods).

Stages: https://kwok.sigs.k8s.io/docs/user/stages-configuration/
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from lab.addresses import LabAddresses
from lab.kubernetes.access import ApiError, access, read
from lab.kubernetes.client import Client
from lab.kubernetes.follow import Api
from lab.machines.confinement import confine
from lab.machines.nodes import FAKE, VPC
from lab.machines.place import Place
from lab.machines.processes import Identity, Ledger, spawn
from lab.machines.services import ended, lasting

log = logging.getLogger(__name__)
STAGES = Path(__file__).with_name("stages.yaml")
LEASE_S = 120
"""Renewed at a quarter of that. 40 s, the kubelet's, is 20 writes a second with 200 nodes; every one is an fsync."""


def pod_range(addresses: LabAddresses, cidr: str) -> str:
    """The part of the pod CIDR from which this VPC's KWOK hands out addresses: the two know nothing of each other."""
    quarters = list(IPv4Network(addresses.pod_cidr).subnets(new_prefix=18))
    quarter = quarters[list(addresses.sides.values()).index(cidr)]
    return f"{quarter.network_address + 1}/{quarter.prefixlen}"


def stages(pod_start_s: float) -> str:
    """KWOK's configuration: how pods start and end here."""
    options = (
        "apiVersion: config.kwok.x-k8s.io/v1alpha1\nkind: KwokConfiguration\noptions:\n"
        "  podPlayStageParallelism: 16\n  nodePlayStageParallelism: 8\n  nodeLeaseParallelism: 4\n"
        "  podsOnNodeSyncParallelism: 4\n"
    )
    return options + "---\n" + STAGES.read_text().replace("${POD_START_MS}", str(int(pod_start_s * 1000)))


@dataclass
class Kwok:
    """The KWOK of one VPC."""

    place: Place
    vpc: str
    cidr: str
    machine_ip: str
    """Where its connections come from: an address of its VPC."""
    child: subprocess.Popen[bytes] | None = None
    identity: Identity | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.place.folder(f"kwok-{self.vpc}"))

    @property
    def running(self) -> bool:
        if self.child is not None:
            self.child.poll()
        return self.identity is not None and self.identity.alive

    async def ensure(self, kube: Api, kubeconfig: Path) -> None:
        """Starts it with this kubeconfig if it doesn't run (anew, if it has ended). Raises ApiError."""
        async with self._lock:
            if self.identity is None:
                self.identity = self.ledger.read("kwok")
            if self.running:
                return
            # Without patience, as all that the supervisor asks: it comes again.
            await asyncio.to_thread(confine, Client(access(read(kube.kubeconfig)), patience_s=0.0))
            await self._free_leases(kube)
            self._start(kubeconfig)

    async def _free_leases(self, kube: Api) -> None:
        """A new KWOK has a new identity and would wait for the leases of the one before it to expire."""
        for node in (await kube.call("GET", "/api/v1/nodes"))["items"]:
            if node["metadata"].get("annotations", {}).get(VPC) == self.vpc:
                name = node["metadata"]["name"]
                try:
                    await kube.call("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")
                except ApiError as error:
                    if error.code != 404:
                        raise

    def _start(self, kubeconfig: Path) -> None:
        folder = self.ledger.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kwok.yaml").write_text(stages(self.place.settings.pod_start_s))
        argv = [
            str(self.place.tool("kwok")),
            f"--kubeconfig={kubeconfig}",
            f"--config={folder / 'kwok.yaml'}",
            "--manage-all-nodes=false",
            f"--manage-nodes-with-annotation-selector={FAKE}=fake,{VPC}={self.vpc}",
            f"--cidr={pod_range(self.place.addresses, self.cidr)}",
            f"--node-lease-duration-seconds={LEASE_S}",
            "--v=WARN",
        ]
        environment: Mapping[str, str] = {
            "HOME": str(folder),
            "PATH": "/usr/bin:/bin",
            "LAB_DIR": str(self.place.directory),
            # No LAB_INSTANCE: it stands for many, and outlives any one of them.
            "LAB_MACHINE_IP": self.machine_ip,
        }
        self.child = spawn(
            argv, environment=environment, log=folder / "kwok.log", nice=lasting("kwok"), directory=folder
        )
        self.identity = self.ledger.write("kwok", self.child.pid, argv)
        log.info("%s: KWOK started", self.vpc)

    async def stop(self) -> None:
        identity = self.identity or self.ledger.read("kwok")
        if identity is not None:
            await ended(identity, self.child, 5)
        self.ledger.forget("kwok")
        self.identity = self.child = None
