"""One control-plane machine of each layout, booted from what its builder left in AWS.

etcd and kubeadm are real, and the forwarder is a plain one. In place of Kubernetes' servers stand scripts that note
how they were called: a whole cluster is a lab's business.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lab import toolchain
from lab.addresses import LabAddresses, hidden_port
from lab.aws.snapshot import snapshot
from lab.aws.world import WORLD
from lab.layouts import LAYOUTS
from lab.legacy.__main__ import build
from lab.legacy.cloud import Cloud
from lab.machines.agent import _script
from lab.machines.machine import Machine
from lab.machines.place import Place, find_tool
from lab.machines.processes import everything
from lab.machines.web import application
from lab.settings import LabSettings
from tests.lab.machines.test_machine import NoGate, Registered
from tests.lab.somewhere import lab_aws

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
NOTING = '#!/bin/sh\nprintf "%s\\n" "$0" "$@" > $LAB_DIR/$(basename $0).called\nexec sleep 300\n'
REAL = ("etcd", "kubeadm")


@pytest.fixture
def addresses() -> Iterator[LabAddresses]:
    with lab_aws(index=9, settings=LabSettings(instance_boot_s=0)) as found:
        yield found


class One:
    """A lab's folder, and machines out of its cluster."""

    def __init__(self, addresses: LabAddresses, layout: str, folder: Path) -> None:
        self.layout, self.folder = LAYOUTS[layout], folder
        self.settings = LabSettings(layout=layout, instance_boot_s=0)
        self.cloud = Cloud(addresses)
        build(addresses, self.settings, folder)
        (folder / "tools").mkdir()
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
            (folder / "tools" / name).write_text(NOTING)
            (folder / "tools" / name).chmod(0o755)
        self.place = Place(directory=folder, addresses=addresses, settings=self.settings, tool=self.tool)
        self.place.make_shims()
        self.machines: dict[str, Machine] = {}
        self.commands = 0

    def tool(self, name: str) -> Path:
        return find_tool(name) if name in REAL else self.folder / "tools" / name

    def machine(self, name: str, change: Callable[[str], str] = lambda text: text) -> Machine:
        """The machine of that name, alone in its cluster."""
        instance = next(i for i in snapshot(WORLD)["instances"] if i["tags"].get("Name") == f"{name}.pet")
        data = change(base64.b64decode(instance["user_data"]).decode())
        instance["user_data"] = base64.b64encode(data.encode()).decode()
        known = "/pet/etcd/initial-cluster"
        members = self.cloud.ssm.get_parameter(Name=known)["Parameter"]["Value"].split(",")
        own = next((one for one in members if f"//{instance['private_ip']}:" in one), members[0])
        self.cloud.ssm.put_parameter(Name=known, Value=own, Type="String", Overwrite=True)
        found = self.machines[instance["id"]] = Machine(instance, self.place, NoGate(), Registered())
        return found

    @asynccontextmanager
    async def living(self, machine: Machine) -> AsyncIterator[None]:
        """Its metadata, its commands, its ports, and a supervisor's ticks."""
        runner = web.AppRunner(application(self.machines, dict), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.place.addresses.imds_port).start()
        ip = machine.instance["private_ip"]
        relays = [await asyncio.start_server(relay(ip, port), ip, port) for port in self.layout.forwarded_ports]
        ticking = asyncio.create_task(self.tick(machine))
        try:
            yield
        finally:
            ticking.cancel()
            await machine.stop(3)
            for server in relays:
                server.close()
            await runner.cleanup()
            assert everything(self.place.machines) == {}

    async def tick(self, machine: Machine) -> None:
        while True:
            instance = next(i for i in snapshot(WORLD)["instances"] if i["id"] == machine.id)
            instance["user_data"] = machine.instance["user_data"]
            await machine.attached(instance)
            await machine.tick()
            await asyncio.sleep(0.1)

    def called(self, program: str) -> list[str]:
        path = self.folder / f"{program}.called"
        return path.read_text().splitlines()[1:] if path.exists() else []

    async def ssm(self, machine: Machine, *commands: str) -> dict[str, Any]:
        self.commands += 1
        return await _script(machine, {"id": f"c-{self.commands}", "parameters": {"commands": list(commands)}})


def relay(ip: str, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward, back = await asyncio.open_connection(ip, hidden_port(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, back), pump(onward, writer))

    return accept


async def until(true: Callable[[], Any], limit_s: float = 90) -> None:
    async with asyncio.timeout(limit_s):
        while not true():
            await asyncio.sleep(0.1)


def members(machine: Machine, port: int, pki: str, client: str) -> list[str]:
    """The members' names, asked as the machine's own API server would; empty while etcd doesn't answer."""
    folder = machine.root / pki
    try:
        context = ssl.create_default_context(cafile=str(folder / ("etcd-ca.pem" if port == 12379 else "ca.crt")))
        context.load_cert_chain(folder / f"{client}.crt", folder / f"{client}.key")
        url = f"https://{machine.instance['private_ip']}:{port}/v3/cluster/member/list"
        with urllib.request.urlopen(url, b"{}", timeout=3, context=context) as answer:
            return [member.get("name", "") for member in json.load(answer)["members"]]
    except (OSError, ValueError):
        return []


async def formed(machine: Machine, *where: Any) -> list[str]:
    async with asyncio.timeout(120):
        while not (found := await asyncio.to_thread(members, machine, *where)):
            await asyncio.sleep(0.3)
    return found


def test_an_etcd_machine_of_its_own_starts_from_a_template_and_its_image(
    addresses: LabAddresses, tmp_path: Path
) -> None:
    async def run() -> None:
        one = One(addresses, "separate-etcd", tmp_path)
        machine = one.machine("etcd-a")
        async with one.living(machine):
            await machine.boot()
            assert await formed(machine, 2379, "etc/etcd/pki", "server") == ["etcd-a"]
            assert (await one.ssm(machine, "systemctl is-active etcd"))["stdout"] == "active\n"
            assert (await one.ssm(machine, "cat /etc/etcd/etcd.env"))["stdout"].startswith("CLUSTER=pet\nETCD_NAME=")
            assert (await one.ssm(machine, "systemctl disable --now etcd"))["code"] == 0
            assert await asyncio.to_thread(members, machine, 2379, "etc/etcd/pki", "server") == []

    asyncio.run(run())


def test_an_api_machine_of_its_own_asks_the_etcd_servers_of_its_template(
    addresses: LabAddresses, tmp_path: Path
) -> None:
    async def run() -> None:
        one = One(addresses, "separate-etcd", tmp_path)
        machine = one.machine("master-b")
        async with one.living(machine):
            await machine.boot()
            await until(lambda: one.called("kube-apiserver") and one.called("kube-controller-manager"))
            servers = next(w for w in one.called("kube-apiserver") if w.startswith("--etcd-servers="))
            assert servers.count(":2379") == 3 and "127.0.0.1" not in servers
            assert "--secure-port=16443" in one.called("kube-apiserver")
            assert f"--cluster-cidr={addresses.pod_cidr}" in one.called("kube-controller-manager")

    asyncio.run(run())


@pytest.mark.skipif(toolchain.find("kubeadm") is None, reason="kubeadm isn't built: python3 -m lab tool kubeadm")
def test_a_kubeadm_machine_runs_the_static_pods_that_kubeadm_itself_wrote(
    addresses: LabAddresses, tmp_path: Path
) -> None:
    def without_api(text: str) -> str:
        changed = text.replace('AFTERWARDS = ("upload-config kubeadm", "mark-control-plane")', "AFTERWARDS = ()")
        assert changed != text
        return changed

    async def run() -> None:
        one = One(addresses, "kubeadm", tmp_path)
        machine = one.machine("master-a", without_api)
        node = machine.instance["private_dns"]
        async with one.living(machine):
            await machine.boot()
            pki = "etc/kubernetes/pki"
            (machine.root / pki / "etcd/apiserver.crt").write_bytes(
                (machine.root / pki / "apiserver-etcd-client.crt").read_bytes()
            )
            (machine.root / pki / "etcd/apiserver.key").write_bytes(
                (machine.root / pki / "apiserver-etcd-client.key").read_bytes()
            )
            assert await formed(machine, 2379, f"{pki}/etcd", "apiserver") == [node]
            await until(
                lambda: all(one.called(n) for n in ("kube-apiserver", "kube-scheduler", "kube-controller-manager"))
            )
            called = one.called("kube-apiserver")
            ip = machine.instance["private_ip"]
            assert f"--etcd-servers=https://{ip}:12379" in called and "--secure-port=16443" in called
            assert f"--advertise-address=10.{ip.partition('.')[2]}" in called
            assert f"--encryption-provider-config={machine.root}/etc/kubernetes/encryption.yaml" in called
            assert isinstance(machine.kubelets, Registered)
            flags = machine.kubelets.flags
            assert flags["hostname-override"] == node
            assert flags["register-with-taints"] == "node-role.kubernetes.io/control-plane=:NoSchedule"
            # The data is on the member's volume.
            assert (machine.root / "var/lib/etcd").is_symlink()

            read = (await one.ssm(machine, "cat /etc/kubernetes/manifests/etcd.yaml"))["stdout"]
            assert "path: /var/lib/etcd" in read and str(tmp_path) not in read
            assert "etcd" in (await one.ssm(machine, "crictl ps --name etcd"))["stdout"]
            moved = await one.ssm(machine, "mv /etc/kubernetes/manifests/etcd.yaml /root/")
            assert moved["code"] == 0, moved
            await until(lambda: "pod-etcd-etcd" not in machine.running())
            assert await asyncio.to_thread(members, machine, 2379, f"{pki}/etcd", "apiserver") == []

    asyncio.run(run())


def test_an_operators_own_script_starts_its_own_units_on_its_own_ports(addresses: LabAddresses, tmp_path: Path) -> None:
    async def run() -> None:
        one = One(addresses, "custom", tmp_path)
        machine = one.machine("master-a")
        async with one.living(machine):
            await machine.boot()
            assert await formed(machine, 12379, "srv/kube/tls", "etcd-client") == ["master-a"]
            await until(lambda: one.called("kube-apiserver") and one.called("kube-scheduler"))
            ip = machine.instance["private_ip"]
            assert f"--etcd-servers=https://{ip}:22379" in one.called("kube-apiserver")
            assert "--secure-port=18443" in one.called("kube-apiserver")
            assert (machine.root / "srv/etcd").is_symlink()
            active = await one.ssm(machine, "systemctl is-active etcd-member apiserver controllers scheduler etcd")
            assert active["stdout"].split() == [*["active"] * 4, "inactive"]

    asyncio.run(run())
