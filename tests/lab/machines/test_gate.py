from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import pytest

from lab.machines import services
from lab.machines.gate import Gate, _port
from lab.machines.services import NICE_BOOTING, NICE_SUPERVISOR, lasting


@pytest.mark.parametrize("privileged", [True, False])
def test_api_servers_come_before_controllers_and_those_before_the_rest(
    privileged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "may_raise", lambda: privileged)
    api, kwok, other = (lasting(program) for program in ("kube-apiserver", "kwok", "kubelet"))
    assert api < kwok <= other < NICE_BOOTING
    assert privileged or api >= NICE_SUPERVISOR, "no more than who starts it"


def test_everything_starts_together_while_no_api_server_serves() -> None:
    async def run() -> None:
        gate = Gate()
        await asyncio.gather(*(gate.enter(f"i-{n}", "kube-apiserver") for n in range(3)))
        assert gate.nice("kube-apiserver") == lasting("kube-apiserver")

    asyncio.run(run())


def test_one_control_plane_boots_at_a_time_beside_a_serving_one() -> None:
    async def run() -> None:
        gate = Gate()
        gate.serving.add("i-0")
        await gate.enter("i-1", "kube-apiserver")
        second = asyncio.create_task(gate.enter("i-2", "kube-apiserver"))
        await asyncio.sleep(0.05)
        assert not second.done()
        assert gate.nice("kube-apiserver") == NICE_BOOTING
        second.cancel()

    asyncio.run(run())


def test_etcd_never_waits_for_its_turn() -> None:
    async def run() -> None:
        gate = Gate()
        gate.serving.add("i-0")
        await gate.enter("i-1", "kube-apiserver")
        await gate.enter("i-2", "etcd")
        assert gate.nice("etcd") == lasting("etcd")

    asyncio.run(run())


def test_a_member_that_is_alone_does_not_wait_for_itself() -> None:
    async def run() -> None:
        gate = Gate()
        gate.serving.add("i-1")
        await gate.enter("i-1", "kube-controller-manager")
        await gate.enter("i-1", "kube-apiserver")

    asyncio.run(run())


def test_a_program_that_could_not_start_gives_its_turn_away() -> None:
    async def run() -> None:
        gate = Gate()
        gate.serving.add("i-0")
        await gate.enter("i-1", "kube-apiserver")
        gate.leave("i-1", "kube-apiserver")
        gate.leave("i-1", "kube-apiserver")
        await gate.enter("i-2", "kube-apiserver")
        third = asyncio.create_task(gate.enter("i-3", "kube-apiserver"))
        await asyncio.sleep(0.05)
        assert not third.done()
        third.cancel()

    asyncio.run(run())


def test_an_api_server_is_asked_at_the_port_of_its_command_line() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)", "--secure-port=18443"]
    with subprocess.Popen(command) as child:
        try:
            deadline = time.monotonic() + 10
            while _port(child.pid) != 18443:
                assert time.monotonic() < deadline
        finally:
            child.kill()
    assert _port(os.getpid()) == 16443
