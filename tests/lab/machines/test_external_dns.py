"""external-dns runs for a ready pod of its Deployment, where that pod is, and for none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lab.addresses import LabAddresses
from lab.machines.external_dns import ExternalDns
from lab.machines.nodes import node
from lab.machines.place import Place
from lab.settings import LabSettings

INSTANCES = {
    name: {"id": name, "private_ip": f"127.19.1.{last}", "zone": "eu-central-1a", "vpc": "vpc-1", "type": "m5.large"}
    for name, last in (("i-1", 4), ("i-2", 5))
}


class FakeKube:
    kubeconfig = Path("/the/kubeconfig")

    def __init__(self) -> None:
        self.pods: list[dict[str, Any]] = []

    def pod(self, uid: str, instance: str, *, ready: str = "True") -> None:
        name = node(INSTANCES[instance], {})["metadata"]["name"]
        conditions = [{"type": "Ready", "status": ready}]
        self.pods = [{"metadata": {"uid": uid}, "spec": {"nodeName": name}, "status": {"conditions": conditions}}]

    async def call(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        assert method == "GET"
        if path.endswith("/pods"):
            return {"items": self.pods}
        nodes = [node(instance, {}) for instance in INSTANCES.values()]
        return next(one for one in nodes if path.endswith(one["metadata"]["name"]))


def follower(tmp_path: Path) -> tuple[ExternalDns, dict[str, Any]]:
    program = tmp_path / "external-dns"
    program.write_text('#!/bin/sh\necho "$LAB_INSTANCE $1" >> "$LAB_DIR/ran"\nexec sleep 60\n')
    program.chmod(0o755)
    place = Place(directory=tmp_path, addresses=LabAddresses(index=9), settings=LabSettings(), tool=lambda _: program)
    machines: dict[str, Any] = {name: SimpleNamespace(instance=one) for name, one in INSTANCES.items()}
    return ExternalDns(place, machines.get), machines


def test_it_runs_where_its_pod_is_and_not_without_one(tmp_path: Path) -> None:
    kube = FakeKube()
    one, machines = follower(tmp_path)

    def ran() -> list[str]:
        path = tmp_path / "ran"
        return path.read_text().splitlines() if path.exists() else []

    async def follow() -> None:
        async def of(vpc: str) -> Any:
            assert vpc == "vpc-1"
            return kube

        await one.follow(kube, of)  # type: ignore[arg-type]

    async def until_ran(count: int) -> None:
        while len(ran()) < count:
            await asyncio.sleep(0.02)

    async def run() -> None:
        await follow()
        assert not one.running, "no pod, no process"
        kube.pod("a", "i-1", ready="False")
        await follow()
        assert not one.running, "its pod isn't ready"
        kube.pod("a", "i-1")
        await follow()
        await until_ran(1)
        first = one.identity
        await follow()
        assert one.running and one.identity == first
        kube.pod("b", "i-2")
        await follow()
        await until_ran(2)
        assert one.running and first is not None and not first.alive
        assert ran() == ["i-1 --kubeconfig=/the/kubeconfig", "i-2 --kubeconfig=/the/kubeconfig"]
        kube.pods = []
        await follow()
        assert not one.running, "scaled to zero"
        kube.pod("c", "i-2")
        await follow()
        assert one.running
        del machines["i-2"]
        await follow()
        assert not one.running, "its machine is gone, whatever its pod's status still says"

    asyncio.run(run())
