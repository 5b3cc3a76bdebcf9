"""external-dns, for real, where the lab has it so: the process that stands behind the pod of its Deployment.

The pod is KWOK's, as all are; while one is ready, the process runs as on that pod's node: it reaches the API from there
and has the rights of that machine's role. No pod (its Deployment is scaled to zero): no process.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.controllers import EXTERNAL_DNS, OWNER
from lab.kubernetes.access import ready
from lab.kubernetes.follow import Api
from lab.machines.machine import Machine
from lab.machines.nodes import instance_of
from lab.machines.place import Place
from lab.machines.processes import Identity, Ledger, spawn
from lab.machines.rewrites import metadata_at_its_address
from lab.machines.services import NICE, ended
from lab.workload.awkward import EXTERNAL_DNS_NAMESPACE

log = logging.getLogger(__name__)
INTERVAL = "10s"
"""Stands for its minute."""


def arguments(zone_name: str, kubeconfig: str) -> list[str]:
    """Its command line. Pure.

    CNAMEs, since an alias can't be moved by weights; it deletes nothing, as its chart has it by default.
    """
    return [
        f"--kubeconfig={kubeconfig}",
        "--source=service",
        "--provider=aws",
        "--aws-zone-type=private",
        "--aws-prefer-cname",
        f"--domain-filter={zone_name}",
        "--registry=txt",
        f"--txt-owner-id={OWNER}",
        "--policy=upsert-only",
        f"--interval={INTERVAL}",
        "--metrics-address=127.0.0.1:0",
        "--log-level=info",
    ]


@dataclass
class ExternalDns:
    place: Place
    machine_of: Callable[[str], Machine | None]
    """The machine with this instance id, if it runs."""
    pod: str = ""
    """The UID of the pod that it runs for."""
    instance: str = ""
    """The machine that this is on."""
    child: subprocess.Popen[bytes] | None = None
    identity: Identity | None = None
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.place.folder(EXTERNAL_DNS))

    @property
    def running(self) -> bool:
        if self.child is not None:
            self.child.poll()
        return self.identity is not None and self.identity.alive

    async def follow(self, kube: Api, kube_of: Callable[[str], Any]) -> None:
        """Starts it, ends it, or has it move to where its pod is. `kube_of` gives a VPC's API. Raises ApiError."""
        pods = await kube.call(
            "GET", f"/api/v1/namespaces/{EXTERNAL_DNS_NAMESPACE}/pods", query={"labelSelector": f"app={EXTERNAL_DNS}"}
        )
        serving = [pod for pod in pods["items"] if ready(pod) and not pod["metadata"].get("deletionTimestamp")]
        uids = [pod["metadata"]["uid"] for pod in serving]
        if self.running and self.pod in uids and self.machine_of(self.instance) is not None:
            return
        await self.stop()
        for pod in serving:
            node = await kube.call("GET", f"/api/v1/nodes/{pod['spec']['nodeName']}")
            machine = self.machine_of(instance_of(node))
            if machine is not None:
                api: Api = await kube_of(machine.instance["vpc"])
                self._start(pod["metadata"]["uid"], machine.instance, str(api.kubeconfig))
                return

    def _start(self, pod: str, instance: Mapping[str, Any], kubeconfig: str) -> None:
        folder = self.ledger.folder
        folder.mkdir(parents=True, exist_ok=True)
        argv = [str(self.place.tool(EXTERNAL_DNS)), *arguments(self.place.settings.zone_name, kubeconfig)]
        environment = self.place.environment(instance)
        environment |= {"HOME": str(folder), **metadata_at_its_address(environment, instance["private_ip"])}
        self.child = spawn(
            argv, environment=environment, log=folder / f"{EXTERNAL_DNS}.log", nice=NICE, directory=folder
        )
        self.identity = self.ledger.write(EXTERNAL_DNS, self.child.pid, argv)
        self.pod, self.instance = pod, str(instance["id"])
        log.info("%s started on %s", EXTERNAL_DNS, instance["id"])

    async def stop(self) -> None:
        identity = self.identity or self.ledger.read(EXTERNAL_DNS)
        if identity is not None:
            await ended(identity, self.child, 5)
            log.info("%s ended", EXTERNAL_DNS)
        self.ledger.forget(EXTERNAL_DNS)
        self.identity, self.child, self.pod, self.instance = None, None, "", ""
