"""Network load balancers over real sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest

from lab.network.backplane import Metrics
from lab.network.balancers import pause_s
from lab.network.health import Health
from tests.lab.network.world import ADDRESSES, OPERATOR, QUICK, Net, World, greeting, network, rule, server

A, B, C, NEW = "127.17.1.4", "127.17.2.4", "127.17.3.4", "127.37.1.4"
FRONT, FRONT_B = "127.17.1.200", "127.17.2.200"
PORT = 8080
NODE_PORT = 30081
TERMINATION = "target_health_state.unhealthy.connection_termination.enabled"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 60))


def world(*ips: str, kind: str = "instance", cross_zone: bool = True, **group: Any) -> World:
    built = World()
    ids = {ip: built.instance(ip) for ip in ips}
    targets = [(ids[ip] if kind == "instance" else ip, NODE_PORT) for ip in ips]
    arn = built.target_group("web", "legacy", NODE_PORT, targets, kind=kind, **group)
    built.balancer("web", "legacy", PORT, arn, cross_zone=cross_zone)
    return built


def state_of(net: Net, key: str) -> str:
    return next(t[key]["state"] for t in net.balancers.report(everything=True).values() if key in t)


async def healthy(net: Net, *keys: str) -> None:
    await net.until(lambda: all(state_of(net, k) == "healthy" for k in keys), f"{keys} healthy")


def key(ip: str) -> str:
    return f"i-{ip.replace('.', '-')}:{NODE_PORT}"


async def tally(count: int, front: str = FRONT) -> Counter[str]:
    return Counter([(await greeting(front, PORT, source=OPERATOR)).split()[0] for _ in range(count)])


def test_new_flows_go_round_healthy_targets_from_the_balancers_address() -> None:
    async def scenario() -> None:
        async with network(world(A, B)) as net, server(A, NODE_PORT), server(B, NODE_PORT):
            await healthy(net, key(A), key(B))
            assert await tally(10) == {A: 5, B: 5}
            assert (await greeting(FRONT, PORT, source=OPERATOR)).split()[1] == FRONT

    run(scenario())


def test_a_target_is_initial_until_it_passed_often_enough_and_gets_nothing_before() -> None:
    async def scenario() -> None:
        built = world(A, B)
        async with network(built) as net, server(A, NODE_PORT):
            assert state_of(net, key(A)) == "initial"
            await healthy(net, key(A))
            await net.until(lambda: state_of(net, key(B)) == "unhealthy", "B unhealthy")
            assert await tally(6) == {A: 6}
            async with server(B, NODE_PORT):
                await healthy(net, key(B))
                assert await tally(6) == {A: 3, B: 3}

    run(scenario())


def test_thresholds_count_consecutive_results() -> None:
    health = Health()
    for ok in (True, False, True, False):
        health = health.after(ok, healthy=2, unhealthy=2)
    assert health.state == "initial"
    assert health.after(False, healthy=2, unhealthy=2).state == "unhealthy"


def test_targets_share_a_bounded_number_of_checks_and_one_that_begins_to_serve_is_no_idle_one() -> None:
    assert pause_s(0.5, 24) == pause_s(0.5, 30) == 0.5
    assert [pause_s(0.5, 600), pause_s(0.5, 6_000)] == [10, 100]
    health = Health()
    assert not health.idle
    for ok, idle in ((False, False), (False, True), (False, True), (True, False), (False, True), (True, False)):
        health = health.after(ok, healthy=2, unhealthy=2)
        assert health.idle is idle
    assert not health.after(True, healthy=2, unhealthy=2).idle


def test_without_a_healthy_target_every_registered_one_is_tried() -> None:
    async def scenario() -> None:
        # Checked on a port where nobody listens: registered, serving, never healthy.
        never = {"protocol": "TCP", "port": "9", "path": None}
        built = world(A, B, health=never)
        async with network(built) as net, server(A, NODE_PORT), server(B, NODE_PORT):
            await net.until(lambda: state_of(net, key(A)) == state_of(net, key(B)) == "unhealthy", "both unhealthy")
            assert await tally(4) == {A: 2, B: 2}
            drain(built, A)
            net.apply()
            assert await tally(4) == {B: 4}  # deregistered is not registered

    run(scenario())


def test_no_target_at_all_is_a_reset() -> None:
    async def scenario() -> None:
        async with network(world()):
            with pytest.raises(ConnectionError):
                await greeting(FRONT, PORT, source=OPERATOR)

    run(scenario())


def test_an_unhealthy_targets_open_flows_are_reset() -> None:
    async def scenario() -> None:
        built = world(A, health={"protocol": "TCP", "port": str(NODE_PORT + 1), "path": None})
        async with network(built) as net, server(A, NODE_PORT), server(A, NODE_PORT + 1) as checked:
            await healthy(net, key(A))
            reader, writer = await asyncio.open_connection(FRONT, PORT, local_addr=(OPERATOR, 0))
            await reader.readline()
            checked.close()
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.readline(), 5)
            writer.close()

    run(scenario())


def test_http_checks_read_the_status() -> None:
    status = "200 OK"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /healthz ")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    async def scenario() -> None:
        nonlocal status
        check = {"protocol": "HTTP", "port": "traffic-port", "path": "/healthz"}
        async with network(world(A, health=check)) as net:
            web = await asyncio.start_server(talk, A, NODE_PORT)
            await healthy(net, key(A))
            status = "503 Service Unavailable"
            await net.until(lambda: state_of(net, key(A)) == "unhealthy", "503 is unhealthy")
            web.close()

    run(scenario())


def drain(built: World, ip: str, *, gone: bool = False) -> None:
    group = built.raw["target_groups"][0]
    for target in list(group["targets"]):
        if f"{target['id']}:{target['port']}" == key(ip):
            target["state"] = "draining"
            if gone:
                group["targets"].remove(target)


def test_deregistration_brings_no_new_flows_and_leaves_open_ones_alone_also_after_the_delay() -> None:
    async def scenario() -> None:
        built = world(A, B)
        async with network(built) as net, server(A, NODE_PORT), server(B, NODE_PORT):
            await healthy(net, key(A), key(B))
            kept: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
            for _ in range(2):
                reader, writer = await asyncio.open_connection(FRONT, PORT, local_addr=(OPERATOR, 0))
                kept[(await reader.readline()).decode().split()[0]] = reader, writer
            drain(built, A)
            net.apply()
            assert state_of(net, key(A)) == "draining"
            assert await tally(6) == {B: 6}
            reader, writer = kept[A]
            writer.write(b"unfinished\n")
            assert await reader.readline() == b"unfinished\n"

            drain(built, A, gone=True)
            net.apply()
            for ip in (A, B):
                reader, writer = kept[ip]
                writer.write(b"still here\n")
                assert await asyncio.wait_for(reader.readline(), 5) == b"still here\n"

    run(scenario())


def test_connection_termination_resets_at_the_end_of_the_delay() -> None:
    async def scenario() -> None:
        built = world(A, attributes={"deregistration_delay.connection_termination.enabled": "true"})
        async with network(built) as net, server(A, NODE_PORT):
            await healthy(net, key(A))
            reader, writer = await asyncio.open_connection(FRONT, PORT, local_addr=(OPERATOR, 0))
            await reader.readline()
            drain(built, A)
            net.apply()
            writer.write(b"still\n")
            assert await reader.readline() == b"still\n"
            drain(built, A, gone=True)
            net.apply()
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.readline(), 5)
            writer.close()

    run(scenario())


@pytest.mark.parametrize("terminates", ["true", "false"])
def test_a_target_that_turns_unhealthy_resets_its_flows_only_at_that_moment_and_where_termination_is_on(
    terminates: str,
) -> None:
    async def scenario() -> None:
        built = world(A, attributes={TERMINATION: terminates})
        async with network(built) as net, server(A, NODE_PORT) as listening:
            await healthy(net, key(A))
            reader, writer = await asyncio.open_connection(FRONT, PORT, local_addr=(OPERATOR, 0))
            await reader.readline()
            listening.close()
            await net.until(lambda: state_of(net, key(A)) == "unhealthy", "A unhealthy")
            if terminates == "true":
                with pytest.raises(ConnectionResetError):
                    await asyncio.wait_for(reader.readline(), 5)
            else:
                built.raw["target_groups"][0]["attributes"] = {TERMINATION: "true"}
                net.apply()
                writer.write(b"still here\n")
                assert await asyncio.wait_for(reader.readline(), 5) == b"still here\n"
            writer.close()

    run(scenario())


def test_a_target_registered_again_starts_as_a_new_one() -> None:
    async def scenario() -> None:
        built = world(A)
        async with network(built) as net, server(A, NODE_PORT):
            await healthy(net, key(A))
            built.raw["target_groups"][0]["targets"][0]["since"] = 7
            net.apply()
            assert state_of(net, key(A)) == "initial"
            await healthy(net, key(A))

    run(scenario())


def test_without_cross_zone_a_zone_keeps_to_its_own_targets_and_leaves_the_name_without_any() -> None:
    async def scenario() -> None:
        built = world(A, B, cross_zone=False)
        async with network(built) as net, server(A, NODE_PORT):
            (balancer,) = net.fabric.state.load_balancers.values()
            async with server(B, NODE_PORT) as second:
                await healthy(net, key(A), key(B))
                assert await tally(4, FRONT) == {A: 4}
                assert await tally(4, FRONT_B) == {B: 4}
                assert set(net.balancers.addresses_in_dns(balancer)) == {FRONT, FRONT_B}
                second.close()
                await net.until(lambda: state_of(net, key(B)) == "unhealthy", "B unhealthy")
            assert net.balancers.addresses_in_dns(balancer) == (FRONT,)
            assert await tally(4, FRONT_B) == {A: 4}  # who comes all the same is served by the others

    run(scenario())


def test_an_address_of_a_peered_vpc_is_a_target_like_any_other_while_the_peering_stands() -> None:
    async def scenario() -> None:
        built = world(A, NEW, kind="ip")
        async with network(built) as net, server(A, NODE_PORT), server(NEW, NODE_PORT):
            await healthy(net, f"{A}:{NODE_PORT}", f"{NEW}:{NODE_PORT}")
            assert await tally(6) == {A: 3, NEW: 3}
            built.item("peerings", "pcx-legacy-main")["state"] = "deleted"
            net.apply()
            await net.until(lambda: state_of(net, f"{NEW}:{NODE_PORT}") == "unhealthy", "unreachable over no peering")
            assert await tally(3) == {A: 3}

    run(scenario())


def test_a_security_group_that_does_not_admit_the_balancer_makes_the_target_unhealthy() -> None:
    async def scenario() -> None:
        built = world(A)
        built.item("security_groups", "sg-legacy")["ingress"] = [rule(NODE_PORT, cidrs=(f"{OPERATOR}/32",))]
        async with network(built) as net, server(A, NODE_PORT):
            await net.until(lambda: state_of(net, key(A)) == "unhealthy", "A unhealthy")

    run(scenario())


def test_metrics_count_flows_of_the_period_and_say_zero_too() -> None:
    async def scenario() -> None:
        async with network(world(A)) as net, server(A, NODE_PORT):
            await healthy(net, key(A))
            metrics = Metrics(ADDRESSES.aws_environment(), QUICK)

            def collect() -> dict[str, float]:
                data = metrics.collect(net.fabric.state, net.fabric.flows, net.balancers)
                assert {d["Dimensions"][-1]["Value"] for d in data} == {"net/web/0123456789abcdef"}
                return {d["MetricName"]: d["Value"] for d in data}

            assert collect() == {"NewFlowCount": 0, "ActiveFlowCount": 0, "HealthyHostCount": 1}  # checks are no flows
            await tally(3)
            reader, writer = await asyncio.open_connection(FRONT, PORT, local_addr=(OPERATOR, 0))
            await reader.readline()
            await net.until(lambda: len(net.fabric.flows) == 1, "the three have ended")
            assert collect() == {"NewFlowCount": 4, "ActiveFlowCount": 1, "HealthyHostCount": 1}
            writer.close()
            await net.until(lambda: len(net.fabric.flows) == 0, "the fourth too")
            assert collect() == {"NewFlowCount": 0, "ActiveFlowCount": 0, "HealthyHostCount": 1}

    run(scenario())


def test_a_deleted_balancers_flows_end_with_it() -> None:
    async def scenario() -> None:
        built = world(A)
        async with network(built) as net, server(A, NODE_PORT):
            await healthy(net, key(A))
            reader, writer = await asyncio.open_connection(FRONT, PORT, local_addr=(OPERATOR, 0))
            await reader.readline()
            built.raw["load_balancers"].clear()
            net.apply()
            with pytest.raises(ConnectionResetError):
                await reader.readline()
            with pytest.raises(ConnectionRefusedError):
                await greeting(FRONT, PORT, source=OPERATOR)
            writer.close()

    run(scenario())
