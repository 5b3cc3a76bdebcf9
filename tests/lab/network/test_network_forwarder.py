"""The forwarder and the relay, with real sockets."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from lab.network.callers import Callers, machine_ip
from lab.network.fabric import Pair
from tests.lab.network.world import OPERATOR, QUICK, World, greeting, network, rule, server

ONE, TWO, FAR = "127.17.1.4", "127.17.2.4", "127.37.1.4"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 60))


def machines() -> World:
    world = World()
    for ip in (ONE, TWO, FAR):
        world.instance(ip)
    return world


def test_a_bound_caller_arrives_at_the_hidden_port_from_its_own_address() -> None:
    async def scenario() -> None:
        async with network(machines()), server(TWO, 12379):
            assert await greeting(TWO, 2379, source=ONE) == f"{TWO} {ONE}"

    run(scenario())


def test_another_layouts_ports_are_forwarded_in_place_of_the_usual_ones() -> None:
    async def scenario() -> None:
        custom = QUICK.model_copy(update={"layout": "custom"})
        async with network(machines(), custom), server(TWO, 22379):
            assert await greeting(TWO, 12379, source=ONE) == f"{TWO} {ONE}"
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(TWO, 2379, local_addr=(ONE, 0))

    run(scenario())


def test_an_unbound_caller_without_a_machine_is_the_operator() -> None:
    async def scenario() -> None:
        async with network(machines()), server(TWO, 16443):
            child = await asyncio.to_thread(ask_from_a_process, TWO, 6443, None)
            assert child == f"{TWO} {OPERATOR}"

    run(scenario())


def test_an_unbound_process_of_a_machine_arrives_as_that_machine() -> None:
    async def scenario() -> None:
        async with network(machines()), server(TWO, 16443):
            assert await asyncio.to_thread(ask_from_a_process, TWO, 6443, FAR) == f"{TWO} {FAR}"
            # Another process right after: what was remembered of the first must not answer for it.
            assert await asyncio.to_thread(ask_from_a_process, TWO, 6443, ONE) == f"{TWO} {ONE}"

    run(scenario())


def ask_from_a_process(ip: str, port: int, machine: str | None) -> str:
    code = f"import socket; s = socket.create_connection(({ip!r}, {port}), 5); print(s.recv(100).decode())"
    env = {"LAB_MACHINE_IP": machine} if machine else {}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()


def test_callers_are_found_without_netlink_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.network.callers._open_diag", lambda: None)

    async def scenario() -> None:
        async with network(machines()), server(TWO, 16443):
            assert await asyncio.to_thread(ask_from_a_process, TWO, 6443, FAR) == f"{TWO} {FAR}"

    run(scenario())


def test_a_machines_address_is_read_from_its_process_only() -> None:
    child = subprocess.Popen(["cat"], env={"LAB_MACHINE_IP": FAR}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        os.write(child.stdin.fileno(), b"?")
        assert os.read(child.stdout.fileno(), 1) == b"?"  # it is `cat` by now, no longer a copy of this process
        assert machine_ip(child.pid) == FAR
        assert machine_ip(os.getpid()) is None
    finally:
        child.kill()
        child.wait()
    callers = Callers(OPERATOR)
    try:
        assert callers.identify(("127.0.0.1", 1), (TWO, 1)) == OPERATOR  # no such socket
    finally:
        callers.close()


def test_a_process_number_given_to_another_process_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"start": "100", "machine": ONE}
    monkeypatch.setattr("lab.network.callers._owns", lambda pid, link: pid == 4242)
    monkeypatch.setattr("lab.network.callers._other_pids", lambda known: [] if 4242 in known else [4242])
    monkeypatch.setattr("lab.network.callers._start_time", lambda pid: owners["start"])
    monkeypatch.setattr("lab.network.callers.machine_ip", lambda pid: owners["machine"])
    callers = Callers(OPERATOR)
    monkeypatch.setattr(callers, "_inode", lambda source, target: 7)
    assert callers.identify(("127.0.0.1", 1), (TWO, 1)) == ONE
    owners |= {"start": "200", "machine": TWO}
    assert callers.identify(("127.0.0.1", 1), (TWO, 1)) == TWO
    callers.close()


def test_a_port_nobody_listens_behind_is_refused_at_once() -> None:
    async def scenario() -> None:
        async with network(machines()) as net:
            with pytest.raises(ConnectionError):
                await greeting(TWO, 2379, source=ONE)
            assert net.fabric.dropped_total == 0
            assert len(net.fabric.flows) == 0

    run(scenario())


def test_what_a_security_group_does_not_admit_gets_no_answer_and_then_a_reset() -> None:
    async def scenario() -> None:
        world = machines()
        world.item("security_groups", "sg-legacy")["ingress"] = [rule(2379, cidrs=(world.cidrs["legacy"],))]
        async with network(world) as net, server(TWO, 12379):
            assert await greeting(TWO, 2379, source=ONE) == f"{TWO} {ONE}"
            began = asyncio.get_running_loop().time()
            with pytest.raises(ConnectionError):
                await greeting(TWO, 2379, source=FAR)
            assert asyncio.get_running_loop().time() - began >= 0.15  # refuse_after_s is 0.2: silence came first
            assert "no ingress rule" in net.fabric.last_drops[-1]

    run(scenario())


def test_half_close_reaches_the_other_side_and_its_answer_comes_back() -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        total = len(await reader.read(-1))  # until the caller has said everything
        writer.write(f"{total}".encode())
        writer.close()

    async def scenario() -> None:
        async with network(machines()) as net:
            counting = await asyncio.start_server(count, TWO, 12379)
            reader, writer = await asyncio.open_connection(TWO, 2379, local_addr=(ONE, 0))
            writer.write(b"x" * 100_000)
            writer.write_eof()
            assert await reader.read(-1) == b"100000"
            writer.close()
            counting.close()
            await net.until(lambda: len(net.fabric.flows) == 0, "the flow ends")

    run(scenario())


def test_a_slow_reader_holds_the_sender_back_and_loses_no_byte() -> None:
    size = 30_000_000

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=65_536)
        for start in range(0, size, 100_000):
            writer.write(bytes([start // 100_000 % 251]) * 100_000)
            await writer.drain()
        writer.close()

    async def scenario() -> None:
        async with network(machines()) as net:
            pouring = await asyncio.start_server(pour, TWO, 12379)
            reader, writer = await asyncio.open_connection(TWO, 2379, local_addr=(ONE, 0), limit=65_536)
            (flow,) = list(net.fabric.flows)
            before = -1
            while flow.bytes[1] != before:
                before = flow.bytes[1]
                await asyncio.sleep(0.5)
            assert 0 < before < size / 2  # what the kernel's buffers take, and no more
            seen = bytearray()
            while data := await reader.read(1_000_000):
                seen += data
            assert len(seen) == size
            assert all(seen[i * 100_000] == i % 251 == seen[(i + 1) * 100_000 - 1] for i in range(size // 100_000))
            writer.close()
            pouring.close()

    run(scenario())


def test_a_cut_resets_open_flows_of_that_pair_only_and_healing_lets_new_ones_through() -> None:
    async def scenario() -> None:
        async with network(machines()) as net, server(TWO, 12380):
            near, near_writer = await asyncio.open_connection(TWO, 2380, local_addr=(ONE, 0))
            far, far_writer = await asyncio.open_connection(TWO, 2380, local_addr=(FAR, 0))
            await near.readline()
            await far.readline()
            assert net.fabric.set_pair(TWO, FAR, Pair(cut=True)) == 1
            with pytest.raises(ConnectionResetError):
                await far.readline()
            with pytest.raises(ConnectionError):
                await greeting(TWO, 2380, source=FAR)
            near_writer.write(b"still here\n")
            assert await near.readline() == b"still here\n"
            net.fabric.set_pair(FAR, TWO, Pair())
            assert await greeting(TWO, 2380, source=FAR) == f"{TWO} {FAR}"
            near_writer.close()
            far_writer.close()

    run(scenario())


def test_a_delay_is_added_to_the_round_trip_of_open_and_new_flows() -> None:
    async def scenario() -> None:
        async with network(machines()) as net, server(TWO, 12380):
            reader, writer = await asyncio.open_connection(TWO, 2380, local_addr=(FAR, 0))
            await reader.readline()
            net.fabric.set_pair(TWO, FAR, Pair(delay_ms=100))
            began = time.monotonic()
            for word in (b"one\n", b"two\n"):
                writer.write(word)
                assert await reader.readline() == word
            assert time.monotonic() - began >= 0.2
            net.fabric.set_pair(TWO, FAR, Pair())
            writer.write(b"three\n")
            assert await reader.readline() == b"three\n"
            writer.close()

    run(scenario())


def test_listeners_follow_instances_and_a_terminated_ones_flows_are_reset() -> None:
    async def scenario() -> None:
        world = machines()
        async with network(world) as net, server(TWO, 12379):
            reader, writer = await asyncio.open_connection(TWO, 2379, local_addr=(ONE, 0))
            await reader.readline()
            interface = {"id": "eni-1", "subnet": "subnet-legacy-b", "vpc": "vpc-legacy", "ip": TWO, "groups": []}
            world.raw["interfaces"].append({**interface, "instance": "i-127-17-2-4"})  # it may outlive the instance
            world.item("instances", "i-127-17-2-4")["state"] = "terminated"
            net.apply()
            assert TWO not in net.fabric.state.hosts
            with pytest.raises(ConnectionResetError):
                await reader.readline()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(TWO, 2379, local_addr=(ONE, 0))
            world.instance("127.17.3.4")
            net.apply()
            async with server("127.17.3.4", 12379):
                assert await greeting("127.17.3.4", 2379, source=ONE) == f"127.17.3.4 {ONE}"
            writer.close()

    run(scenario())


def test_a_peering_that_goes_takes_its_flows_and_a_security_groups_change_none() -> None:
    async def scenario() -> None:
        world = machines()
        async with network(world) as net, server(TWO, 12379):
            near, near_writer = await asyncio.open_connection(TWO, 2379, local_addr=(ONE, 0))
            far, far_writer = await asyncio.open_connection(TWO, 2379, local_addr=(FAR, 0))
            await near.readline()
            await far.readline()
            world.item("security_groups", "sg-legacy")["ingress"] = []
            net.apply()
            far_writer.write(b"tracked\n")
            assert await far.readline() == b"tracked\n"
            world.item("peerings", "pcx-legacy-main")["state"] = "deleted"
            net.apply()
            with pytest.raises(ConnectionResetError):
                await far.readline()
            near_writer.write(b"local\n")
            assert await near.readline() == b"local\n"
            near_writer.close()
            far_writer.close()

    run(scenario())
