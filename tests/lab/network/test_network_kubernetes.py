"""NodePorts, pods and webhooks against a real API server."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.network.certificates import Certificates
from lab.network.kubernetes import KubernetesNetwork
from lab.network.ways import Ways
from tests.lab.network.api import HOST, NODE_PORT, WEB, Api, api_server, entry
from tests.lab.network.world import OPERATOR, QUICK, Net, World, network, rule

pytestmark = pytest.mark.lab

A, B, NEW = "127.17.1.20", "127.17.2.20", "127.37.1.20"
POD_A, POD_B = ("web", "web-a"), ("web", "web-b")


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    # Not pytest's own folder: a Unix socket's path has to stay short.
    with tempfile.TemporaryDirectory(prefix="lab7-") as folder, api_server(Path(folder)) as started:
        started.namespace("web")
        yield started


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 60))


def machines() -> World:
    world = World()
    for ip in (HOST, A, B, NEW):
        world.instance(ip)
    return world


@asynccontextmanager
async def cluster(api: Api, world: World) -> AsyncIterator[tuple[Net, KubernetesNetwork]]:
    async with network(world) as net:
        kubernetes = KubernetesNetwork(
            net.fabric,
            net.listeners,
            net.datagrams,
            api.lab_dir,
            lambda ip: ip[:6],
            QUICK.refuse_after_s,
            Ways(net.fabric, Certificates(net.folder), 0),
        )
        kubernetes.apply(net.fabric.state)
        following = asyncio.create_task(kubernetes.run())
        try:
            await net.until(lambda: all(m.synced for m in kubernetes.mirrors), "the cluster is read")
            yield net, kubernetes
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await kubernetes.close()


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=OPERATOR), timeout=5)


async def ask(ip: str, path: str = "/") -> dict[str, str]:
    async with client() as http:
        return (await http.get(f"http://{ip}:{NODE_PORT}{path}")).raise_for_status().json()


async def pods_behind(ip: str, count: int = 8) -> set[str]:
    return {(await ask(ip))["pod"] for _ in range(count)}


async def refuses(ip: str) -> bool:
    try:
        _, writer = await asyncio.open_connection(ip, NODE_PORT, local_addr=(OPERATOR, 0))
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def until(condition: Any, what: str) -> None:
    for _ in range(200):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never happened: {what}")


@pytest.fixture
def web(api: Api) -> Iterator[dict[str, dict[str, Any]]]:
    """Two pods on two nodes behind the Service; a third node without one."""
    nodes = {ip: api.node(ip) for ip in (A, B, NEW)}
    uids = {pod: api.pod(pod, nodes[ip]) for pod, ip in ((POD_A, A), (POD_B, B))}
    yield {
        "a": entry(POD_A, uids[POD_A], nodes[A], "100.71.0.1"),
        "b": entry(POD_B, uids[POD_B], nodes[B], "100.71.0.2"),
    }
    for pod in (POD_A, POD_B):
        api.http.request("DELETE", f"/api/v1/namespaces/web/pods/{pod[1]}", params={"gracePeriodSeconds": "0"})


def test_local_serves_where_an_endpoint_is_and_refuses_elsewhere_and_cluster_serves_everywhere(
    api: Api, web: dict[str, dict[str, Any]]
) -> None:
    async def scenario() -> None:
        api.service(WEB, 80, NODE_PORT, "Local")
        api.endpoints(WEB, 8080, web["a"], web["b"])
        async with cluster(api, machines()):
            await until(lambda: refuses(NEW), "no endpoint there")
            assert await pods_behind(A) == {"web-a"}
            assert await pods_behind(B) == {"web-b"}
            assert (await ask(A))["side"] == "127.17"
            api.service(WEB, 80, NODE_PORT, "Cluster")

            async def serves() -> bool:
                return not await refuses(NEW)

            await until(serves, "Cluster serves from a node without an endpoint")
            assert await pods_behind(NEW) == {"web-a", "web-b"}

    run(scenario())


def test_a_terminating_endpoint_is_used_only_where_no_ready_one_is_left(
    api: Api, web: dict[str, dict[str, Any]]
) -> None:
    leaving = {"ready": False, "serving": True, "terminating": True}

    async def scenario() -> None:
        api.service(WEB, 80, NODE_PORT, "Cluster")
        web["a"]["conditions"] = leaving
        api.endpoints(WEB, 8080, web["a"], web["b"])
        async with cluster(api, machines()) as (net, kubernetes):
            assert await pods_behind(A) == {"web-b"}
            web["b"]["conditions"] = leaving
            api.endpoints(WEB, 8080, web["a"], web["b"])
            await net.until(
                lambda: all(not e.ready for e in kubernetes.cluster.endpoints(WEB, "main")), "both are terminating"
            )
            assert await pods_behind(A) == {"web-a", "web-b"}
            api.service(WEB, 80, NODE_PORT, "Local")
            await net.until(lambda: kubernetes.cluster.services[WEB].local, "Local is seen")
            assert await pods_behind(A) == {"web-a"}
            web["a"]["conditions"] = {"ready": False, "serving": False, "terminating": True}
            api.endpoints(WEB, 8080, web["a"], web["b"])
            await until(lambda: refuses(A), "what doesn't serve any more isn't used")

    run(scenario())


def test_a_cross_node_hop_needs_what_aws_would_need(api: Api, web: dict[str, dict[str, Any]]) -> None:
    async def scenario() -> None:
        api.service(WEB, 80, NODE_PORT, "Cluster")
        api.endpoints(WEB, 8080, web["a"])
        world = machines()
        async with cluster(api, world) as (net, _):
            assert await pods_behind(NEW, 2) == {"web-a"}
            # The old nodes' group names its own VPC only: over the peering nothing reaches the pods' port.
            admitted = rule(cidrs=(world.cidrs["legacy"], world.cidrs["corp"]))
            world.item("security_groups", "sg-legacy")["ingress"] = [admitted]
            net.apply()
            with pytest.raises(httpx.TransportError):
                await ask(NEW)
            assert "8080" in net.fabric.last_drops[-1]
            assert await pods_behind(B, 2) == {"web-a"}

    run(scenario())


def test_a_pod_told_to_go_finishes_what_it_holds_says_close_and_is_gone_with_its_object(
    api: Api, web: dict[str, dict[str, Any]]
) -> None:
    async def scenario() -> None:
        api.service(WEB, 80, NODE_PORT, "Cluster")
        api.endpoints(WEB, 8080, web["a"])
        async with cluster(api, machines()) as (net, kubernetes), client() as held, client() as idle:
            url = f"http://{A}:{NODE_PORT}/"
            assert (await held.get(url)).headers.get("connection") != "close"
            await idle.get(url)
            assert len(kubernetes.pods) == 2
            slow = asyncio.create_task(held.get(url + "?ms=600"))
            await asyncio.sleep(0.1)
            api.delete_pod(POD_A, 30)
            answer = await slow
            assert answer.status_code == 200
            assert answer.headers["connection"] == "close"
            await net.until(lambda: len(kubernetes.pods) == 1, "only the idle connection is left")
            api.delete_pod(POD_A, 0)
            await net.until(lambda: len(kubernetes.pods) == 0, "its connections go with it")
            with pytest.raises(httpx.TransportError):  # the endpoint still names it; nobody answers
                await held.get(url)

    run(scenario())


def test_a_terminated_machines_pods_and_port_are_gone_with_it(api: Api, web: dict[str, dict[str, Any]]) -> None:
    async def scenario() -> None:
        api.service(WEB, 80, NODE_PORT, "Cluster")
        api.endpoints(WEB, 8080, web["a"])
        world = machines()
        async with cluster(api, world) as (net, kubernetes), client() as through_b:
            await through_b.get(f"http://{B}:{NODE_PORT}/")
            assert len(kubernetes.pods) == 1
            world.item("instances", "i-127-17-1-20")["state"] = "shutting-down"
            net.apply()
            kubernetes.apply(net.fabric.state)
            await net.until(lambda: len(kubernetes.pods) == 0, "a pod dies with its node")
            assert await refuses(A)
            with pytest.raises(httpx.TransportError):
                await through_b.get(f"http://{B}:{NODE_PORT}/")

    run(scenario())


def test_a_webhook_is_asked_through_the_machines_socket_and_needs_the_way_to_its_node(
    api: Api, web: dict[str, dict[str, Any]]
) -> None:
    name, pod, secret = ("web", "hook"), ("web", "hook-0"), ("web", "hook-tls")

    def labelled(value: str) -> httpx.Response:
        body = {"metadata": {"labels": {"touched": value}}}
        headers = {"Content-Type": "application/merge-patch+json"}
        return api.http.patch("/api/v1/namespaces/watched", json=body, headers=headers)

    async def scenario() -> None:
        api.secret(secret, *api.authority.issue([], ["hook.web.svc"]))
        node = web["a"]["nodeName"]
        uid = api.pod(pod, node, {"lab/serves": "webhook", "lab/tls-secret": "/".join(secret)})
        api.service(name, 443, None)
        api.endpoints(name, 9443, entry(pod, uid, node, "100.71.0.9"))
        api.namespace("watched")
        world = machines()
        async with cluster(api, world) as (net, kubernetes):
            before = kubernetes.pods.answered
            await asyncio.to_thread(install_webhook, api, name)
            for turn in range(100):  # the configuration takes a moment to be in force
                answer = await asyncio.to_thread(labelled, str(turn))
                assert answer.status_code == 200, answer.text
                if kubernetes.pods.answered > before:
                    break
                await asyncio.sleep(0.05)
            assert kubernetes.pods.answered > before

            admitted = rule(9443, cidrs=(world.cidrs["main"],))  # not the API server's VPC any more
            world.item("security_groups", "sg-legacy")["ingress"] = [admitted]
            net.apply()
            kubernetes.pods.abort_where(lambda hops: True)  # a kept connection would still be tracked
            refused = await asyncio.to_thread(labelled, "refused")
            assert refused.status_code == 500
            assert "failed calling webhook" in refused.text

    try:
        run(scenario())
    finally:
        path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/hook"
        api.http.request("DELETE", path)


def install_webhook(api: Api, name: tuple[str, str]) -> None:
    webhook = {
        "name": "hook.lab.internal",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 3,
        "clientConfig": {
            "service": {"namespace": name[0], "name": name[1], "port": 443},
            "caBundle": base64.b64encode(api.authority.pem).decode(),
        },
        "matchConditions": [{"name": "one", "expression": "request.name == 'watched'"}],
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["namespaces"], "operations": ["UPDATE"]}],
    }
    api.put(
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/hook",
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "hook"},
            "webhooks": [webhook],
        },
    )
