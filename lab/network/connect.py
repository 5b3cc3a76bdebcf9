"""A machine's way to what has no address on this host: HTTP CONNECT over a Unix socket per machine.

Pods and ClusterIPs have none, so the API server is told to ask here for them (egress selector), and a machine's python3
asks here for everything (`lab/machines/confined.py`): a connection that a rule drops isn't even accepted then.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import logging
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lab.kubernetes.access import ApiError, load_chain
from lab.kubernetes.follow import Api, Name, name_of
from lab.network.cluster import Cluster, Endpoint, Pod, usable
from lab.network.fabric import Dropped, Fabric, Refused
from lab.network.listeners import Handler, Listeners, Place
from lab.network.pods import Home, Pods, admission, web_page
from lab.network.relay import Hop
from lab.network.state import TCP, State, cidr, ip_number
from lab.network.ways import Ways

log = logging.getLogger(__name__)

OWNER = "connect"
_PODS = cidr("100.64.0.0/10")
"""Where every lab's pods have their addresses (`lab/addresses.py`)."""
_HEAD_S = 5.0
_CERTIFICATE_S = 30.0
_UNIX_PATH_LIMIT = 107  # sockaddr_un.sun_path, less the final NUL


class Unreachable(Exception):
    """No way to that host and port; `status` is the proxy's answer."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass
class _Kept:
    context: ssl.SSLContext
    until: float


class ConnectProxy:
    def __init__(
        self, cluster: Cluster, api: Api, fabric: Fabric, listeners: Listeners, pods: Pods, folder: Path,
        drop_after_s: float, ways: Ways,
    ) -> None:  # fmt: skip
        self._cluster = cluster
        self._api = api
        self._fabric = fabric
        self._listeners = listeners
        self._pods = pods
        self._folder = folder
        self._drop_after_s = drop_after_s
        self._ways = ways
        self._turn = itertools.count()
        self._warned = False
        self._certificates: dict[Name, _Kept] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def sync(self, state: State) -> None:
        """A socket per instance that is alive, so that who asks is known by where it asked."""
        self._folder.mkdir(parents=True, exist_ok=True)
        wanted: dict[Place, Handler] = {}
        for instance in state.instances.values():
            path = str(self._folder / f"connect-{instance.id}.sock")
            if len(path.encode()) > _UNIX_PATH_LIMIT:
                if not self._warned:
                    log.warning("no webhooks: %s is too long for a Unix socket; use a shorter LAB_DIR", path)
                self._warned = True
            elif instance.alive:
                wanted[path, 0] = partial(self._accept, instance.ip)
        self._listeners.sync(OWNER, wanted)

    def _accept(self, machine_ip: str, client: socket.socket, peer: Place, place: Place) -> None:
        task = asyncio.create_task(self._serve(machine_ip, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, machine_ip: str, client: socket.socket) -> None:
        try:
            async with asyncio.timeout(_HEAD_S):
                host, port = await _read_connect(client)
            endpoint = await self._pod_at(host, port)
            if endpoint is None:
                way = await self._ways.open(machine_ip, host, port)
                await _established(client)
                await way.join(client)
            else:
                await self._to_pod(machine_ip, client, endpoint)
        except Dropped as error:
            log.info("CONNECT by %s: %s", machine_ip, error)
            await asyncio.sleep(self._drop_after_s)
            await _refuse(client, "504 Gateway Timeout", str(error))
        except Unreachable as error:
            log.info("CONNECT by %s: %s", machine_ip, error)
            await _refuse(client, error.status, str(error))
        except Refused as error:
            log.info("CONNECT by %s: %s", machine_ip, error)
            await _refuse(client, "502 Bad Gateway", str(error))
        except (OSError, TimeoutError, ValueError) as error:
            log.info("CONNECT by %s: %s", machine_ip, error or type(error).__name__)
            client.close()

    async def _to_pod(self, machine_ip: str, client: socket.socket, endpoint: Endpoint) -> None:
        node_ip = self._node_ip(endpoint)
        self._fabric.check(machine_ip, node_ip, endpoint.port)
        pod = self._cluster.pods.get(endpoint.pod) if endpoint.pod else None
        if pod is None or endpoint.pod is None or endpoint.uid in self._cluster.gone or pod.serves == "none":
            raise Unreachable("502 Bad Gateway", f"{endpoint.address}:{endpoint.port} listens to nobody")
        tls = await self._certificate(pod) if pod.serves == "webhook" else None
        await _established(client)
        home = Home(endpoint.uid, endpoint.pod, endpoint.node, (Hop(machine_ip, node_ip, endpoint.port),))
        respond = admission if tls else web_page(endpoint.pod[1], endpoint.node, "")
        self._pods.serve(client, home, respond, tls)

    async def _pod_at(self, host: str, port: int) -> Endpoint | None:
        """A ready endpoint of a Service, or a pod by its own address; None where the host is another address.

        Raises Unreachable.
        """
        if not _is_address(host) or self._cluster.service_at(host) or self._cluster.endpoint_at(host, port):
            return self.find(host, port)
        if ip_number(host) not in _PODS:
            return None
        try:
            found = await self._api.call("GET", "/api/v1/pods", query={"fieldSelector": f"status.podIP={host}"})
        except ApiError as error:
            raise Unreachable("503 Service Unavailable", f"whose address {host} is isn't known: {error}") from error
        for pod in found["items"]:
            if _listens(pod, port):
                meta, node = pod["metadata"], pod["spec"].get("nodeName") or ""
                return Endpoint(host, port, node, name_of(pod), meta["uid"], True, True, False)
        raise Unreachable("502 Bad Gateway", f"no pod listens at {host}:{port}")

    def find(self, host: str, port: int) -> Endpoint:
        """A ready endpoint behind a ClusterIP, a Service's name, or a pod's own address. Raises Unreachable."""
        service = self._cluster.service_at(host)
        if service is None:
            direct = self._cluster.endpoint_at(host, port)
            if direct is None:
                raise Unreachable("502 Bad Gateway", f"{host} is neither a Service nor a pod's address")
            return direct
        names = [p.name for p in service.ports if p.port == port and p.transport == TCP]
        if not names:
            raise Unreachable("502 Bad Gateway", f"Service {service.name[1]} has no port {port}")
        choices = usable(self._cluster.endpoints(service.name, names[0]))
        if not choices:
            raise Unreachable("503 Service Unavailable", f"Service {service.name[1]} has no ready endpoint")
        return choices[next(self._turn) % len(choices)]

    def _node_ip(self, endpoint: Endpoint) -> str:
        node = self._cluster.node(endpoint.node)
        if node is None or node.ip not in self._fabric.state.hosts:
            raise Dropped(f"{endpoint.address}: its node {endpoint.node or '?'} is gone")
        return node.ip

    async def _certificate(self, pod: Pod) -> ssl.SSLContext:
        """The server's side of TLS, from the Secret the pod names. Kept for a while; an old one serves on where the
        API doesn't answer (it may be waiting for this very webhook)."""
        if pod.tls_secret is None:
            raise Unreachable("502 Bad Gateway", f"pod {pod.name[1]} names no lab/tls-secret")
        kept = self._certificates.get(pod.tls_secret)
        if kept is not None and time.monotonic() < kept.until:
            return kept.context
        namespace, name = pod.tls_secret
        try:
            secret = await self._api.call("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_alpn_protocols(["http/1.1"])
            load_chain(
                context,
                base64.b64decode(secret["data"]["tls.crt"]),
                base64.b64decode(secret["data"]["tls.key"]),
            )
        except (ApiError, OSError, KeyError, ValueError) as error:
            if kept is None:
                raise Unreachable("502 Bad Gateway", f"Secret {namespace}/{name}: {error!r}") from error
            context = kept.context
        self._certificates[pod.tls_secret] = _Kept(context, time.monotonic() + _CERTIFICATE_S)
        return context

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()


def _is_address(host: str) -> bool:
    try:
        ip_number(host)
    except ValueError:
        return False
    return True


def _listens(pod: Mapping[str, Any], port: int) -> bool:
    """Whether one of its containers says so."""
    ports = [one for container in pod["spec"]["containers"] for one in container.get("ports") or ()]
    return any(one["containerPort"] == port and one.get("protocol", "TCP") == "TCP" for one in ports)


async def _established(client: socket.socket) -> None:
    await asyncio.get_running_loop().sock_sendall(client, b"HTTP/1.1 200 Connection established\r\n\r\n")


async def _read_connect(client: socket.socket) -> tuple[str, int]:
    """Host and port asked for. Raises ValueError for anything but a CONNECT, OSError."""
    loop = asyncio.get_running_loop()
    head = b""
    while b"\r\n\r\n" not in head:
        data = await loop.sock_recv(client, 4_096)
        if not data or len(head) > 16_384:
            raise ValueError("no CONNECT came")
        head += data
    method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    host, _, port = target.rpartition(":")
    if method != "CONNECT" or not port.isdecimal() or head.partition(b"\r\n\r\n")[2]:
        raise ValueError(f"not a CONNECT: {method} {target}")
    return host, int(port)


async def _refuse(client: socket.socket, status: str, reason: str) -> None:
    loop = asyncio.get_running_loop()
    body = (reason + "\n").encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    try:
        await loop.sock_sendall(client, head + body)
    except OSError:
        pass
    finally:
        client.close()
