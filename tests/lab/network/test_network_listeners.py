"""What balancers speak beside plain TCP: TLS, UDP, requests by rules, proxy protocol; and clients that stick."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import stat
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from lab.network.backplane import Metrics
from lab.network.certificates import authority_path
from lab.network.health import matches
from lab.network.proxy_protocol import LOCAL, SIGNATURE, Client, NoHeader, header, parse
from lab.network.requests import forwards
from lab.network.state import APPLICATION, BalancerListener, Condition, Forward, ListenerRule
from tests.lab.network.world import ADDRESSES, OPERATOR, QUICK, Net, World, greeting, network, rule, server

A, B = "127.17.1.4", "127.17.2.4"
FRONT = "127.17.1.200"
NAME = "app.apps.lab.internal"
PORT, NODE_PORT, OTHER_PORT, CHECKED = 8443, 30081, 30082, 30083
WILDCARD = {"arn": "arn:acm/1", "names": ["*.apps.lab.internal"]}


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 60))


def world(*ips: str, listener: dict[str, Any], balancer: dict[str, Any] | None = None, **group: Any) -> World:
    """One balancer with one listener over machines; `listener` and `balancer` are merged into what AWS says."""
    built = World()
    targets = [(built.instance(ip), NODE_PORT) for ip in ips]
    arn = built.target_group("web", "legacy", NODE_PORT, targets, **group)
    built.balancer("web", "legacy", PORT, arn, **(balancer or {}))
    built.raw["load_balancers"][0]["listeners"][0].update(listener)
    return built


async def healthy(net: Net, *ips: str, port: int = NODE_PORT) -> None:
    def all_are() -> bool:
        states = {key: one["state"] for of in net.balancers.report(everything=True).values() for key, one in of.items()}
        return all(states.get(f"i-{ip.replace('.', '-')}:{port}") == "healthy" for ip in ips)

    await net.until(all_are, f"{ips} healthy")


# --- TLS


def trusting(net: Net) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority_path(net.folder)))


async def secure_greeting(net: Net, name: str = NAME) -> tuple[str, str | None]:
    reader, writer = await asyncio.open_connection(
        FRONT, PORT, ssl=trusting(net), server_hostname=name, local_addr=(OPERATOR, 0)
    )
    try:
        writer.write(b"said\n")
        first = (await asyncio.wait_for(reader.readline(), 5)).decode().strip()
        assert await asyncio.wait_for(reader.readline(), 5) == b"said\n"
        return first, writer.get_extra_info("ssl_object").selected_alpn_protocol()
    finally:
        writer.close()


def test_a_tls_listener_answers_with_a_certificate_of_the_labs_and_relays_what_was_in_it() -> None:
    async def scenario() -> None:
        built = world(
            A,
            listener={"protocol": "TLS", "certificates": [WILDCARD], "alpn": ["HTTP2Preferred"]},
            attributes={"preserve_client_ip.enabled": "true"},
        )
        async with network(built) as net, server(A, NODE_PORT):
            await healthy(net, A)
            said, _ = await secure_greeting(net)
            assert said == f"{A} {OPERATOR}"  # plain TCP behind, from the client's own address
            with pytest.raises(ssl.SSLCertVerificationError):
                await secure_greeting(net, "elsewhere.lab.internal")
            key = authority_path(net.folder).with_suffix(".key")
            assert stat.S_IMODE(key.stat().st_mode) == 0o600

    run(scenario())


def test_a_tls_client_that_trusts_somebody_else_refuses() -> None:
    async def scenario() -> None:
        built = world(A, listener={"protocol": "TLS", "certificates": [WILDCARD]})
        async with network(built) as net, server(A, NODE_PORT):
            await healthy(net, A)
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection(FRONT, PORT, ssl=ssl.create_default_context(), server_hostname=NAME)

    run(scenario())


def test_of_several_certificates_the_one_for_the_name_asked_for_is_shown() -> None:
    async def scenario() -> None:
        more = {"arn": "arn:acm/2", "names": ["shop.lab.internal"]}
        built = world(A, listener={"protocol": "TLS", "certificates": [WILDCARD, more]})
        async with network(built) as net, server(A, NODE_PORT):
            await healthy(net, A)
            for name in (NAME, "shop.lab.internal"):
                assert (await secure_greeting(net, name))[0].startswith(A)

    run(scenario())


def test_without_a_certificate_nothing_listens_for_tls() -> None:
    async def scenario() -> None:
        built = world(A, listener={"protocol": "TLS", "certificates": [{"arn": "arn:acm/gone", "names": []}]})
        async with network(built):
            with pytest.raises(ConnectionRefusedError):
                await greeting(FRONT, PORT, source=OPERATOR)

    run(scenario())


def test_a_targets_reset_reaches_the_tls_client_as_one() -> None:
    async def scenario() -> None:
        built = world(A, listener={"protocol": "TLS", "certificates": [WILDCARD]})
        async with network(built) as net, server(A, NODE_PORT):
            await healthy(net, A)
            reader, writer = await asyncio.open_connection(
                FRONT, PORT, ssl=trusting(net), server_hostname=NAME, local_addr=(OPERATOR, 0)
            )
            await reader.readline()
            net.fabric.flows.abort_where(lambda hops: True)
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.readline(), 5)
            writer.close()

    run(scenario())


# --- UDP


class _Echo(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self._name = name
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(f"{self._name} {addr[0]} ".encode() + data, addr)


@asynccontextmanager
async def echoing(*ips: str, port: int = NODE_PORT) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    made = [(await loop.create_datagram_endpoint(lambda ip=ip: _Echo(ip), local_addr=(ip, port)))[0] for ip in ips]
    try:
        yield
    finally:
        for transport in made:
            transport.close()


class Sender:
    """A socket of UDP of one's own: one flow."""

    def __init__(self, source: str = OPERATOR) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind((source, 0))

    async def ask(self, text: str, front: str = FRONT, timeout_s: float = 5) -> str:
        loop = asyncio.get_running_loop()
        await loop.sock_sendto(self.sock, text.encode(), (front, PORT))
        async with asyncio.timeout(timeout_s):
            return (await loop.sock_recv(self.sock, 4_096)).decode()


def datagram_rule(port: int, protocol: str) -> dict[str, Any]:
    return {**rule(port, cidrs=("0.0.0.0/0",)), "protocol": protocol}


def udp_world(*protocols: str) -> World:
    """A UDP listener over two machines, checked by TCP on another port; their group admits these protocols."""
    health = {"protocol": "TCP", "port": str(CHECKED), "path": None}
    built = world(A, B, listener={"protocol": "UDP"}, protocol="UDP", health=health)
    built.item("security_groups", "sg-legacy")["ingress"] = [
        datagram_rule(CHECKED, "tcp"),
        *(datagram_rule(NODE_PORT, protocol) for protocol in protocols),
    ]
    return built


def test_datagrams_of_one_flow_go_to_one_target_and_its_answers_back() -> None:
    async def scenario() -> None:
        built = udp_world("udp")
        async with network(built) as net, server(A, CHECKED), server(B, CHECKED), echoing(A, B):
            await healthy(net, A, B)
            seen: Counter[str] = Counter()
            for _ in range(4):
                client = Sender()
                first = await client.ask("one")
                assert first.split()[1:] == [OPERATOR, "one"]  # the target sees the client
                assert await client.ask("two") == first.replace("one", "two")
                seen[first.split()[0]] += 1
            assert seen == {A: 2, B: 2}

    run(scenario())


def test_an_unhealthy_target_gets_no_datagrams_and_health_is_asked_by_tcp_where_that_is_configured() -> None:
    async def scenario() -> None:
        async with network(udp_world("udp")) as net, server(A, CHECKED), echoing(A, B):
            await healthy(net, A)
            for _ in range(4):
                assert (await Sender().ask("one")).startswith(A)

    run(scenario())


def test_an_idle_flow_is_forgotten_and_the_metrics_say_so() -> None:
    async def scenario() -> None:
        settings = QUICK.model_copy(update={"udp_idle_s": 0.3})
        built = udp_world("udp")
        async with network(built, settings) as net, server(A, CHECKED), server(B, CHECKED), echoing(A, B):
            await healthy(net, A, B)
            client = Sender()
            before = (await client.ask("one")).split()[0]
            metrics = Metrics(ADDRESSES.aws_environment(), QUICK)
            data = metrics.collect(net.fabric.state, net.fabric.flows, net.balancers)
            counted = {d["MetricName"]: d["Value"] for d in data}
            assert (counted["NewFlowCount"], counted["ActiveFlowCount"]) == (1, 1)
            await net.until(lambda: not len(net.balancers.datagram_flows), "the flow is forgotten")
            assert (await client.ask("two")).split()[0] != before  # a new flow: the next target's turn

    run(scenario())


def test_a_rule_for_tcp_lets_no_datagrams_in() -> None:
    async def scenario() -> None:
        built = udp_world("tcp")
        async with network(built) as net, server(A, CHECKED), server(B, CHECKED), echoing(A, B):
            await healthy(net, A, B)
            with pytest.raises(TimeoutError):
                await Sender().ask("one", timeout_s=0.5)
            assert "no ingress rule" in net.fabric.last_drops[-1]

    run(scenario())


def test_flows_of_a_machine_that_is_gone_are_forgotten_at_once() -> None:
    async def scenario() -> None:
        built = udp_world("udp")
        async with network(built) as net, server(A, CHECKED), server(B, CHECKED), echoing(A, B):
            await healthy(net, A, B)
            client = Sender()
            gone = (await client.ask("one")).split()[0]
            built.item("instances", f"i-{gone.replace('.', '-')}")["state"] = "terminated"
            targets = built.raw["target_groups"][0]["targets"]
            targets[:] = [t for t in targets if t["id"] != f"i-{gone.replace('.', '-')}"]
            net.apply()
            assert (await client.ask("two")).split()[0] == ({A, B} - {gone}).pop()

    run(scenario())


def test_tcp_and_udp_on_one_port_are_both_served() -> None:
    async def scenario() -> None:
        built = world(A, listener={"protocol": "TCP_UDP"}, protocol="TCP_UDP")
        async with network(built) as net, server(A, NODE_PORT), echoing(A):
            await healthy(net, A)
            assert (await greeting(FRONT, PORT, source=OPERATOR)).startswith(A)
            assert (await Sender().ask("one")).startswith(A)

    run(scenario())


# --- requests


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if line)}
        sent = await reader.readexactly(int(headers.get("content-length", 0)))
        peer = writer.get_extra_info("peername")[0]
        told = {"by": name, "peer": peer, "line": lines[0], "headers": headers, "sent": sent.decode()}
        body = json.dumps(told).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # a check that asks nothing
    finally:
        writer.close()


@asynccontextmanager
async def pages(*places: tuple[str, int]) -> AsyncIterator[None]:
    """Machines' processes that answer one request a connection, and say what they were asked."""

    def talk(name: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
        return lambda reader, writer: _page(reader, writer, name)

    servers = [await asyncio.start_server(talk(f"{ip}:{port}"), ip, port) for ip, port in places]
    try:
        yield
    finally:
        for one in servers:
            one.close()


def web_world(**listener: Any) -> tuple[World, str]:
    """An application balancer over A:NODE_PORT; a second group has A:OTHER_PORT. Also returns that group's ARN."""
    health = {"protocol": "HTTP", "port": "traffic-port", "path": "/", "matcher": "200"}
    built = world(
        A,
        listener={"protocol": "HTTP", **listener},
        balancer={"type": "application", "cross_zone": False, "attributes": {"idle_timeout.timeout_seconds": "5"}},
        protocol="HTTP",
        health=health,
    )
    instance = built.raw["instances"][0]["id"]
    other = built.target_group(
        "other", "legacy", OTHER_PORT, [(instance, OTHER_PORT)], protocol="HTTP", health=dict(health)
    )
    return built, other


def ruled(priority: int, group: str, field: str, *values: str) -> dict[str, Any]:
    return {
        "priority": priority,
        "conditions": [{"field": field, "values": list(values)}],
        "forward": [{"target_group": group, "weight": 1}],
    }


def http(verify: ssl.SSLContext | bool = True) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=OPERATOR, verify=verify), timeout=5)


URL = f"http://{FRONT}:{PORT}"


def test_requests_go_by_host_and_path_to_the_group_that_the_rules_choose() -> None:
    async def scenario() -> None:
        built, other = web_world()
        built.raw["load_balancers"][0]["listeners"][0]["rules"] = [
            ruled(20, other, "path-pattern", "/api/*", "/v?/x"),
            ruled(10, other, "host-header", "shop.lab.internal", "*.shop.lab.internal"),
        ]
        async with network(built) as net, pages((A, NODE_PORT), (A, OTHER_PORT)), http() as client:
            await healthy(net, A)
            await healthy(net, A, port=OTHER_PORT)

            async def by(path: str = "/", host: str = "web.lab.internal") -> str:
                answer = await client.get(URL + path, headers={"Host": host})
                return answer.raise_for_status().json()["by"]

            first, second = f"{A}:{NODE_PORT}", f"{A}:{OTHER_PORT}"
            assert await by() == await by("/apis/") == await by("/API/x") == first
            assert await by("/api/x?y") == await by("/v2/x") == second
            assert await by(host="SHOP.lab.internal:8443") == await by(host="a.shop.lab.internal") == second
            assert await by("/v22/x") == first

    run(scenario())


def test_a_target_is_told_who_asked_and_answers_the_balancer() -> None:
    async def scenario() -> None:
        built, _ = web_world()
        async with network(built) as net, pages((A, NODE_PORT)), http() as client:
            await healthy(net, A)
            answer = await client.post(URL + "/x", content=b"hello", headers={"X-Forwarded-For": "203.0.113.9"})
            told = answer.raise_for_status().json()
            assert (told["line"], told["sent"], told["peer"]) == ("POST /x HTTP/1.1", "hello", FRONT)
            assert told["headers"]["x-forwarded-for"] == f"203.0.113.9, {OPERATOR}"
            assert (told["headers"]["x-forwarded-proto"], told["headers"]["x-forwarded-port"]) == ("http", str(PORT))

    run(scenario())


def test_an_https_listener_of_an_application_balancer_ends_tls() -> None:
    async def scenario() -> None:
        built, _ = web_world(protocol="HTTPS", certificates=[WILDCARD])
        async with network(built) as net, pages((A, NODE_PORT)):
            await healthy(net, A)
            async with http(trusting(net)) as client:
                answer = await client.get(f"https://{FRONT}:{PORT}/", extensions={"sni_hostname": NAME})
            assert answer.raise_for_status().json()["headers"]["x-forwarded-proto"] == "https"

    run(scenario())


def test_without_a_target_requests_get_503_and_of_one_that_refuses_502() -> None:
    async def scenario() -> None:
        built, _ = web_world()
        async with network(built) as net, http() as client:
            assert (await client.get(URL)).status_code == 502  # nobody is healthy: the registered one is tried
            built.raw["target_groups"][0]["targets"] = []
            net.apply()
            assert (await client.get(URL)).status_code == 503

    run(scenario())


def test_one_that_speaks_no_http_is_told_so() -> None:
    async def scenario() -> None:
        built, _ = web_world()
        async with network(built):
            reader, writer = await asyncio.open_connection(FRONT, PORT, local_addr=(OPERATOR, 0))
            writer.write(b"nonsense\r\n\r\n")
            assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 400")
            writer.close()

    run(scenario())


def test_an_application_balancers_own_group_keeps_clients_out() -> None:
    async def scenario() -> None:
        built, _ = web_world()
        built.group("sg-web", "vpc-legacy", ingress=[rule(PORT, cidrs=("127.17.0.0/16",))])
        built.raw["load_balancers"][0]["security_groups"] = ["sg-web"]
        async with network(built) as net, pages((A, NODE_PORT)), http() as client:
            await healthy(net, A)
            with pytest.raises(httpx.TransportError):
                await client.get(URL)
            assert "sg-web" in net.fabric.last_drops[-1]

    run(scenario())


def test_requests_are_counted_where_application_balancers_are() -> None:
    async def scenario() -> None:
        built, _ = web_world()
        async with network(built) as net, pages((A, NODE_PORT)), http() as client:
            await healthy(net, A)
            for _ in range(3):
                (await client.get(URL)).raise_for_status()
            metrics = Metrics(ADDRESSES.aws_environment(), QUICK)
            assert metrics.collect(net.fabric.state, net.fabric.flows, net.balancers) == []
            data = metrics.collect(net.fabric.state, net.fabric.flows, net.balancers, APPLICATION)
            counted = {d["MetricName"]: d["Value"] for d in data}
            assert (counted["RequestCount"], counted["ActiveConnectionCount"]) == (3, 1)

    run(scenario())


def test_rules_are_asked_in_the_order_of_their_priorities_and_a_condition_that_is_not_known_is_not_met() -> None:
    one, two, three = ((Forward(name, 1),) for name in ("one", "two", "three"))
    listener = BalancerListener(
        "arn",
        80,
        "HTTP",
        three,
        rules=(
            ListenerRule(1, (Condition("source-ip", ("0.0.0.0/0",)),), one),
            ListenerRule(2, (Condition("host-header", ("a",)), Condition("path-pattern", ("/x[1]*",))), two),
        ),
    )
    assert forwards(listener, "a", "/x[1]/y") == two
    assert forwards(listener, "a", "/x1/y") == forwards(listener, "b", "/x[1]") == three


@pytest.mark.parametrize(
    ("matcher", "fits"),
    [("200", {200}), ("200-299", {200, 204}), ("200,404", {200, 404}), ("200-399", {200, 204, 302})],
)
def test_a_check_passes_on_the_statuses_that_its_group_names(matcher: str, fits: set[int]) -> None:
    assert {status for status in (200, 204, 302, 404, 500) if matches(status, matcher)} == fits


# --- groups by weight, sticky clients, proxy protocol


def test_flows_are_shared_out_by_the_groups_weights() -> None:
    async def scenario() -> None:
        built = world(A, listener={})
        second = built.target_group("second", "legacy", NODE_PORT, [(built.instance(B), NODE_PORT)])
        listener = built.raw["load_balancers"][0]["listeners"][0]
        first = listener["target_group"]
        listener["forward"] = [{"target_group": first, "weight": 3}, {"target_group": second, "weight": 1}]
        async with network(built) as net, server(A, NODE_PORT), server(B, NODE_PORT):
            await healthy(net, A, B)
            seen = Counter([(await greeting(FRONT, PORT, source=OPERATOR)).split()[0] for _ in range(8)])
            assert seen == {A: 6, B: 2}

    run(scenario())


def test_a_client_sticks_to_its_target_while_that_is_healthy() -> None:
    async def scenario() -> None:
        sticky = {"stickiness.enabled": "true", "stickiness.type": "source_ip"}
        built = world(A, B, listener={}, attributes=sticky)
        async with network(built) as net, server(B, NODE_PORT):
            async with server(A, NODE_PORT) as gone:
                await healthy(net, A, B)
                sources = (OPERATOR, "127.57.0.11")
                first = {s: (await greeting(FRONT, PORT, source=s)).split()[0] for s in sources}
                assert set(first.values()) == {A, B}
                for source, ip in [*first.items()] * 3:
                    assert (await greeting(FRONT, PORT, source=source)).startswith(ip)
                gone.close()
                key = f"i-{A.replace('.', '-')}:{NODE_PORT}"
                await net.until(
                    lambda: any(
                        of.get(key, {}).get("state") == "unhealthy"
                        for of in net.balancers.report(everything=True).values()
                    ),
                    "A unhealthy",
                )
            for source in sources:
                assert (await greeting(FRONT, PORT, source=source)).startswith(B)

    run(scenario())


def test_a_target_is_told_the_client_before_the_first_byte_where_its_group_says_so() -> None:
    async def scenario() -> None:
        heads: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.read(4_096))
            writer.write(b"got it\n")
            writer.close()

        built = world(A, listener={}, attributes={"proxy_protocol_v2.enabled": "true"})
        async with network(built) as net:
            web = await asyncio.start_server(talk, A, NODE_PORT)
            await healthy(net, A)
            assert all(head in (LOCAL, b"") for head in heads)  # checks speak for the balancer itself
            assert LOCAL in heads
            heads.clear()
            reader, writer = await asyncio.open_connection(FRONT, PORT, local_addr=(OPERATOR, 0))
            writer.write(b"said")
            assert await asyncio.wait_for(reader.readline(), 5) == b"got it\n"
            port = writer.get_extra_info("sockname")[1]
            told = next(head for head in heads if head and head != LOCAL)
            found = parse(told)
            assert found is not None
            assert found.client == Client(OPERATOR, port)
            writer.close()
            web.close()

    run(scenario())


def test_a_header_of_proxy_protocol_is_read_in_pieces_and_anything_else_is_refused() -> None:
    whole = header(Client("127.57.0.10", 40_000), Client(FRONT, PORT))
    assert [parse(whole[:length]) for length in range(len(whole))] == [None] * len(whole)
    found = parse(whole + b"GET")
    assert found is not None
    assert (found.length, found.client) == (len(whole), Client("127.57.0.10", 40_000))
    local = parse(LOCAL + b"GET")
    assert local is not None
    assert (local.length, local.client) == (len(LOCAL), None)
    for wrong in (b"GET / HTTP/1.1\r\n", SIGNATURE + b"\x11\x11\0\0"):
        with pytest.raises(NoHeader):
            parse(wrong)
