"""Pods behind node ports that speak more than HTTP: proxy protocol and datagrams, directly and through a balancer."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from dnslib import QTYPE, DNSRecord

from lab.network.cluster import Cluster, Node, Pod, Service, Slice, read_pod, read_service
from lab.network.cluster import Endpoint as PodEndpoint
from lab.network.nodeports import NodePorts
from lab.network.pods import Pods
from tests.lab.network.world import OPERATOR, Net, World, network, rule

A, B = "127.17.1.4", "127.17.2.4"
FRONT = "127.17.1.200"
TCP_PORT, UDP_PORT = 30_081, 30_053
NAME = ("ingress", "ingress-intranet")
POD = ("ingress", "intranet-1")


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 60))


def service() -> Service:
    """As the API has it."""
    ports = [
        {"name": "main", "port": 80, "protocol": "TCP", "nodePort": TCP_PORT},
        {"name": "dns", "port": 53, "protocol": "UDP", "nodePort": UDP_PORT},
        {"name": "other", "port": 9, "protocol": "SCTP", "nodePort": 30_999},
    ]
    meta = {"namespace": NAME[0], "name": NAME[1]}
    found = read_service({"metadata": meta, "spec": {"externalTrafficPolicy": "Local", "ports": ports}})
    assert found is not None
    return found


def pod(*, proxied: bool) -> Pod:
    annotations = {"lab/proxy-protocol": "v2"} if proxied else {}
    found = read_pod({"metadata": {"namespace": POD[0], "name": POD[1], "uid": "1", "annotations": annotations}})
    assert found is not None
    return found


@asynccontextmanager
async def behind(*, proxied: bool, protocols: tuple[str, ...] = ("tcp", "udp")) -> AsyncIterator[Net]:
    """Two machines, a pod on one of them, and balancers before its node ports."""
    world = World()
    machines = [world.instance(ip) for ip in (A, B)]
    inner = world.target_group(
        "inner",
        "legacy",
        TCP_PORT,
        [(one, TCP_PORT) for one in machines],
        attributes={"proxy_protocol_v2.enabled": "true"},
    )
    health = {"protocol": "TCP", "port": str(TCP_PORT), "path": None}
    names = world.target_group(
        "names", "legacy", UDP_PORT, [(one, UDP_PORT) for one in machines], protocol="UDP", health=health
    )
    world.balancer("intranet", "legacy", 8081, inner)
    listener = {"arn": "l2", "port": 5300, "protocol": "UDP", "target_group": names}
    world.raw["load_balancers"][0]["listeners"].append(listener)
    admitted = [{**rule(port, cidrs=("0.0.0.0/0",)), "protocol": p} for port in (TCP_PORT, UDP_PORT) for p in protocols]
    world.item("security_groups", "sg-legacy")["ingress"] = admitted
    async with network(world) as net:
        cluster = Cluster()
        for ip in (A, B):
            cluster.nodes["", f"node-{ip}"] = Node(f"node-{ip}", ip, True)
        cluster.services[NAME] = service()
        cluster.pods[POD] = pod(proxied=proxied)
        endpoints = {
            name: (PodEndpoint("100.71.0.1", port, f"node-{A}", POD, "1", True, True, False),)
            for name, port in (("main", 8080), ("dns", 5353))
        }
        cluster.slices["ingress", "slice"] = Slice(NAME, endpoints)
        pods = Pods(lambda uid: False)
        ports = NodePorts(cluster, net.fabric, net.listeners, net.datagrams, pods, lambda ip: ip[:6])
        ports.sync()
        key = f"i-{A.replace('.', '-')}"
        await net.until(
            lambda: (
                sum(
                    one["state"] == "healthy"
                    for of in net.balancers.report(everything=True).values()
                    for target, one in of.items()
                    if target.startswith(key)
                )
                == 2
            ),
            "the pod's machine is healthy for both",
        )
        yield net
        pods.abort_where(lambda hops: True)


def http() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=OPERATOR), timeout=5)


async def asked(address: str, port: int, *, timeout_s: float = 5) -> dict[str, str]:
    """What a DNS server says of itself."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((OPERATOR, 0))
    loop = asyncio.get_running_loop()
    try:
        question = DNSRecord.question("direct.lab.internal", "TXT")
        await loop.sock_sendto(sock, bytes(question.pack()), (address, port))
        async with asyncio.timeout(timeout_s):
            reply = DNSRecord.parse(await loop.sock_recv(sock, 4_096))
    finally:
        sock.close()
    assert reply.header.id == question.header.id
    (record,) = [one for one in reply.rr if one.rtype == QTYPE.TXT]
    return json.loads(b"".join(record.rdata.data))


def test_a_pod_behind_proxy_protocol_answers_through_its_balancer_and_knows_the_client() -> None:
    async def scenario() -> None:
        async with behind(proxied=True), http() as client:
            answer = await client.get(f"http://{FRONT}:8081/")
            assert answer.raise_for_status().json()["pod"] == POD[1]
            assert answer.headers["X-Proxied-For"] == OPERATOR

    run(scenario())


def test_a_pod_that_waits_for_the_header_hangs_up_on_whoever_has_none() -> None:
    async def scenario() -> None:
        async with behind(proxied=True), http() as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"http://{A}:{TCP_PORT}/")

    run(scenario())


def test_a_pod_that_expects_no_header_understands_none() -> None:
    async def scenario() -> None:
        async with behind(proxied=False), http() as client:
            assert (await client.get(f"http://{A}:{TCP_PORT}/")).raise_for_status().json()["pod"] == POD[1]
            with pytest.raises(httpx.TransportError):
                await client.get(f"http://{FRONT}:8081/")

    run(scenario())


def test_a_pod_answers_datagrams_at_its_node_port_and_through_a_balancer() -> None:
    async def scenario() -> None:
        async with behind(proxied=True) as net:
            direct, through = await asked(A, UDP_PORT), await asked(FRONT, 5300)
            assert direct == through == {"pod": POD[1], "node": f"node-{A}", "side": "127.17"}
            # Where no pod is, nothing listens: `externalTrafficPolicy: Local`.
            assert net.datagrams.places()["nodeports"] == [(A, UDP_PORT)]

    run(scenario())


def test_datagrams_need_a_rule_of_their_own() -> None:
    async def scenario() -> None:
        async with behind(proxied=True, protocols=("tcp",)) as net:
            with pytest.raises(TimeoutError):
                await asked(A, UDP_PORT, timeout_s=0.5)
            assert "no ingress rule" in net.fabric.last_drops[-1]

    run(scenario())
