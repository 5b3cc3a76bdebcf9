from __future__ import annotations

import asyncio
import base64
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.addresses import LabAddresses
from lab.machines.machine import Machine
from lab.machines.place import Place
from lab.machines.processes import Identity, everything
from lab.settings import LabSettings

UNIT = "[Service]\nExecStart=/usr/local/bin/serve\nRestart=always\nRestartSec=0.1\n"
SERVE = "#!/bin/sh\necho $LAB_MACHINE_IP >> /var/started\nexec sleep 60\n"


class NoGate:
    async def enter(self, machine: str, program: str) -> None: ...

    async def started(self, machine: str, ip: str, program: str, identity: Identity) -> None: ...

    def leave(self, machine: str, program: str) -> None: ...

    def nice(self, program: str) -> int:
        return 5


class Registered:
    def __init__(self) -> None:
        self.flags: dict[str, str] = {}

    def register(self, instance: Mapping[str, Any], flags: Mapping[str, str]) -> None:
        self.flags = dict(flags)


def machine(tmp_path: Path, document: dict[str, Any]) -> Machine:
    settings = LabSettings(instance_boot_s=0)
    place = Place(directory=tmp_path, addresses=LabAddresses(index=9), settings=settings)
    place.make_shims()
    data = "#cloud-config\n" + yaml.safe_dump(document)
    instance = {
        "id": "i-1", "private_ip": "127.19.1.4", "zone": "eu-central-1a", "vpc": "vpc-1",
        "user_data": base64.b64encode(data.encode()).decode(), "volumes": [{"id": "vol-1", "device": "/dev/xvdf"}],
    }  # fmt: skip
    return Machine(instance, place, NoGate(), Registered())


def files(*entries: tuple[str, str, str]) -> list[dict[str, str]]:
    return [{"path": path, "content": content, "permissions": mode} for path, content, mode in entries]


WITH_SERVICE = {
    "write_files": files(
        ("/etc/systemd/system/serve.service", UNIT, "0644"), ("/usr/local/bin/serve", SERVE, "0755"),
        ("/var/started", "", "0644"),
    ),
    "runcmd": [["systemctl", "enable", "--now", "serve"]],
}  # fmt: skip


async def until(true: Any) -> None:
    while not true():
        await asyncio.sleep(0.02)


def started(one: Machine) -> int:
    path = one.root / "var/started"
    return len(path.read_text().splitlines()) if path.exists() else 0


async def ticked(one: Machine, true: Any) -> None:
    while not true():
        await one.tick()
        await asyncio.sleep(0.02)


def test_user_data_starts_a_service_which_comes_back_when_it_dies_and_ends_with_the_machine(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path, WITH_SERVICE)
        await one.boot()
        await until(lambda: started(one) == 1)
        assert (await one.call("systemctl", ["is-active", "serve"])).stdout == "active\n"
        assert list(everything(tmp_path / "machines")) == ["i-1"]
        identity = one.services["serve.service"].identity
        assert identity is not None
        identity.send(signal.SIGKILL)
        await ticked(one, lambda: started(one) == 2)
        await one.stop(2)
        assert everything(tmp_path / "machines") == {}

    asyncio.run(run())


def test_a_later_supervisor_takes_over_what_runs_and_boots_nothing_twice(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path, WITH_SERVICE)
        await one.boot()
        await until(lambda: started(one) == 1)
        before = one.services["serve.service"].identity
        later = machine(tmp_path, WITH_SERVICE)
        await later.boot()
        assert later.services["serve.service"].identity == before
        assert started(later) == 1
        assert (await later.call("systemctl", ["stop", "serve"])).code == 0
        assert before is not None and not before.alive
        assert (await later.call("systemctl", ["is-active", "--quiet", "serve"])).code == 3

    asyncio.run(run())


def test_a_service_that_died_unwatched_is_started_by_the_later_supervisor(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path, WITH_SERVICE)
        await one.boot()
        await until(lambda: started(one) == 1)
        identity = one.services["serve.service"].identity
        assert identity is not None
        identity.send(signal.SIGKILL)
        await until(lambda: not identity.alive)
        later = machine(tmp_path, WITH_SERVICE)
        await later.boot()
        await ticked(later, lambda: started(later) == 2)
        await later.stop(2)

    asyncio.run(run())


def test_its_agent_does_not_wait_for_a_script_of_the_user_data(tmp_path: Path) -> None:
    async def scenario() -> None:
        one = machine(tmp_path, {"runcmd": ["until [ -e /srv/goes-on ]; do sleep 0.05; done"]})
        booting = asyncio.create_task(one.boot())
        async with asyncio.timeout(10):
            await one.attended.wait()
        assert not booting.done()
        (one.root / "srv").mkdir(exist_ok=True)
        (one.root / "srv/goes-on").touch()
        await booting
        await one.stop(3)

    asyncio.run(scenario())


def test_a_masked_service_does_not_start(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path, {**WITH_SERVICE, "runcmd": [["systemctl", "mask", "serve"]]})
        await one.boot()
        answer = await one.call("systemctl", ["start", "serve"])
        assert answer.code == 5 and "masked" in answer.stderr

    asyncio.run(run())


def test_a_workers_kubelet_becomes_a_registration_with_its_flags_and_no_process(tmp_path: Path) -> None:
    async def run() -> None:
        unit = "[Service]\nEnvironmentFile=/etc/kubelet.env\nExecStart=/usr/local/bin/kubelet --node-labels=${LABELS}\n"
        one = machine(
            tmp_path,
            {
                "write_files": files(
                    ("/etc/systemd/system/kubelet.service", unit, "0644"),
                    ("/etc/kubelet.env", "LABELS=a=b,c=d\n", "0644"),
                ),
                "runcmd": [["systemctl", "enable", "--now", "kubelet"]],
            },
        )  # fmt: skip
        await one.boot()
        assert isinstance(one.kubelets, Registered)
        assert one.kubelets.flags == {"node-labels": "a=b,c=d"}
        assert one.kubelet and everything(tmp_path / "machines") == {}

    asyncio.run(run())


def test_scripts_run_in_the_machine_with_its_paths_and_without_credentials(tmp_path: Path) -> None:
    script = "import os, sys\nprint(open('/etc/name').read(), 'AWS_SECRET_ACCESS_KEY' in os.environ, sys.executable)\n"

    async def run() -> None:
        one = machine(
            tmp_path,
            {
                "write_files": files(
                    ("/etc/name", "pet", "0600"),
                    ("/usr/local/bin/boot", "#!/usr/bin/env python3\n" + script, "0755"),
                ),
                "runcmd": ["/usr/local/bin/boot > /var/out", "exit 3"],
            },
        )  # fmt: skip
        (one.root / "var").mkdir(parents=True)
        await one.boot()
        assert (one.root / "var/out").read_text() == f"pet False {sys.executable}\n"
        assert (one.root / "etc/name").stat().st_mode & 0o777 == 0o600

    asyncio.run(run())


def test_a_command_past_its_limit_is_ended(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path, {})
        await one.boot()
        assert await one.shell("ssm-1", "#!/bin/sh\nsleep 60\n", limit_s=0.1) == 124
        assert await one.shell("ssm-2", "#!/bin/sh\nexit 7\n") == 7

    asyncio.run(run())


def test_a_volume_is_formatted_once_and_keeps_its_data_for_the_next_machine(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path, {})
        await one.boot()
        target = one.root / "var/lib/etcd"
        target.mkdir(parents=True)
        assert (await one.call("blkid", ["-p", "/dev/xvdf"])).code == 2
        assert (await one.call("cmp", ["--quiet", "--bytes=1048576", "/dev/xvdf", "/dev/zero"])).code == 0
        assert (await one.call("mount", ["/dev/xvdf", str(target)])).code == 32
        assert (await one.call("mkfs.ext4", ["-q", "/dev/xvdf"])).code == 0
        assert (await one.call("mkfs.ext4", ["/dev/xvdf"])).code == 1
        assert (await one.call("mount", ["-t", "ext4", "/dev/xvdf", str(target)])).code == 0
        assert (await one.call("mountpoint", ["-q", str(target)])).code == 0
        (target / "data").write_text("kept")
        assert (tmp_path / "volumes/vol-1/data").read_text() == "kept"
        assert (await one.call("umount", [str(target)])).code == 0
        assert list(target.iterdir()) == []
        assert (await one.call("blkid", ["/dev/xvdf"])).code == 0
        assert (await one.call("cmp", ["--quiet", "--bytes=1048576", "/dev/xvdf", "/dev/zero"])).code == 1

    asyncio.run(run())


def test_a_timer_is_enabled_and_one_that_is_not_there_is_not(tmp_path: Path) -> None:
    async def run() -> None:
        one = machine(tmp_path, {})
        await one.boot()
        unit = one.root / "etc/systemd/system/daily.timer"
        unit.parent.mkdir(parents=True)
        unit.write_text("[Timer]\nOnCalendar=daily\n")
        assert (await one.call("systemctl", ["enable", "--now", "daily.timer"])).code == 0
        assert (await one.call("systemctl", ["enable", "--now", "other.timer"])).code == 5

    asyncio.run(run())


def test_a_device_that_is_not_attached_does_not_exist(tmp_path: Path) -> None:
    answer = asyncio.run(machine(tmp_path, {}).call("mkfs.ext4", ["/dev/xvdz"]))
    assert answer.code == 2


@pytest.mark.parametrize("verb", ["isolate", "edit"])
def test_what_the_stand_in_does_not_know_fails(tmp_path: Path, verb: str) -> None:
    answer = asyncio.run(machine(tmp_path, {}).call("systemctl", [verb, "x"]))
    assert answer.code == 1 and verb in answer.stderr


def test_a_service_brings_along_what_it_wants_and_takes_it_along_when_it_stops(tmp_path: Path) -> None:
    wanting = "[Unit]\nWants=network-online.target helper.service absent.service\n" + UNIT
    document = {
        "write_files": files(
            ("/etc/systemd/system/serve.service", wanting, "0644"),
            ("/etc/systemd/system/helper.service", "[Unit]\nPartOf=serve.service\n" + UNIT, "0644"),
            ("/usr/local/bin/serve", SERVE, "0755"),
            ("/var/started", "", "0644"),
        ),
        "runcmd": [["systemctl", "enable", "--now", "serve"]],
    }

    async def run() -> None:
        one = machine(tmp_path, document)
        await one.boot()
        await until(lambda: started(one) == 2)
        assert (await one.call("systemctl", ["is-active", "serve", "helper"])).stdout == "active\nactive\n"
        await one.call("systemctl", ["stop", "serve"])
        assert (await one.call("systemctl", ["is-active", "serve", "helper"])).stdout == "inactive\ninactive\n"
        await one.call("systemctl", ["mask", "helper"])
        await one.call("systemctl", ["start", "serve"])
        assert (await one.call("systemctl", ["is-active", "helper"])).stdout == "inactive\n"
        await one.stop(5)

    asyncio.run(run())
