"""Real servers on loopback that behave well, or badly in one way, for the probes to meet."""

from __future__ import annotations

import asyncio
import datetime
import json
import socket
import ssl
import struct
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Handler = Callable[["Exchange"], Awaitable[None]]

CLUSTER = "6f1c0d2e-0000-4000-8000-000000000001"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OK_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Exchange:
    """One request as a handler sees it."""

    def __init__(self, writer: asyncio.StreamWriter, connection: int, nth: int, path: str = "/") -> None:
        self.writer = writer
        self.path = path
        self.connection = connection
        self.nth = nth
        """Number of the request on its connection, from 1."""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def end(self) -> None:
        """Close in order (FIN)."""
        self.writer.close()

    def reset(self) -> None:
        """Close with a reset (RST)."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class HttpServer:
    """`handler` decides for every request; the default answers 200."""

    def __init__(self, handler: Handler | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.handler = handler or well
        self.port = 0
        self.peers: list[str] = []
        self.requests = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def open(self) -> int:
        """Connections that stand."""
        return len(self._writers)

    async def start(self, port: int = 0) -> HttpServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port or self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Disappear: no listener, and every connection closed."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.peers.append(writer.get_extra_info("peername")[0])
        number, nth = len(self.peers), 0
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                nth += 1
                self.requests += 1
                await self.handler(Exchange(writer, number, nth, head.split(b" ")[1].decode()))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


def says(body: bytes) -> Handler:
    """Answers 200 with this body."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return handler


def says_cluster(uid: str) -> Handler:
    """Answers as the API server of the cluster with that UID."""
    return says(json.dumps(kube_system(uid)).encode())


def kube_system(uid: str) -> dict[str, Any]:
    return {"kind": "Namespace", "metadata": {"name": "kube-system", "uid": uid}}


async def well(exchange: Exchange) -> None:
    await exchange.send(OK)


class DnsServer:
    """Answers A queries from `records` (name -> addresses, ttl); counts what it is asked, and by whom."""

    def __init__(self, records: dict[str, tuple[list[str], int]]) -> None:
        self.records = records
        self.asked: list[tuple[str, str]] = []
        self.silent = False
        self.address = ""
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> DnsServer:
        outer = self

        class Protocol(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: Any) -> None:
                answer = outer.answer(data, addr[0])
                if answer is not None:
                    self.transport.sendto(answer, addr)

        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
        self.address = "127.0.0.1:{}".format(self._transport.get_extra_info("sockname")[1])
        return self

    def answer(self, data: bytes, asker: str) -> bytes | None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True)
        self.asked.append((name, asker))
        if self.silent:
            return None
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name not in self.records:
            answer.set_rcode(dns.rcode.NXDOMAIN)
            return answer.to_wire()
        addresses, ttl = self.records[name]
        balancer = f"balancer.{name}."
        # As in the field: the name is a CNAME (with its own, longer TTL) to a balancer's name.
        answer.answer.append(dns.rrset.from_text(f"{name}.", ttl + 60, "IN", "CNAME", balancer))
        answer.answer.append(dns.rrset.from_text(balancer, ttl, "IN", "A", *addresses))
        return answer.to_wire()

    def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()


def certificates(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for `name`; returns (file to trust, server's context)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca, pem = folder / "ca.crt", folder / "server.pem"
    public = certificate.public_bytes(serialization.Encoding.PEM)
    ca.write_bytes(public)
    pem.write_bytes(
        public
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return ca, context


def budget(name: str, current: int, desired: int, version: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": name, "resourceVersion": str(version)},
        "status": {"currentHealthy": current, "desiredHealthy": desired},
    }


def pod(
    name: str,
    node: str,
    host_ip: str = "",
    *,
    owner: str = "ReplicaSet",
    phase: str = "Running",
    version: int = 1,
    disrupted: str = "",
) -> dict[str, Any]:
    """`disrupted`: the reason of its condition DisruptionTarget."""
    condition = {"type": "DisruptionTarget", "status": "True", "reason": disrupted}
    owners = [{"kind": owner, "name": "x", "controller": True}] if owner else []
    return {
        "metadata": {"uid": name, "name": name, "resourceVersion": str(version), "ownerReferences": owners},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase}
        | ({"hostIP": host_ip} if host_ip else {})
        | ({"conditions": [condition]} if disrupted else {}),
    }


def deployment(name: str, wanted: int, ready: int, version: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": name, "resourceVersion": str(version)},
        "spec": {"replicas": wanted},
        "status": {"readyReplicas": ready} if ready else {},
    }


class FakeKube:
    """As much of the Kubernetes API as the proof uses: namespaces, ConfigMaps with pages, budgets, pods and owners of
    pods with a watch each."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.pod_events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.budgets: list[dict[str, Any]] = []
        self.events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.owners: dict[str, list[dict[str, Any]]] = {"deployments": [deployment("web", 3, 3)]}
        self.owner_events: dict[str, asyncio.Queue[dict[str, Any] | None]] = defaultdict(asyncio.Queue)
        self.watched_from: list[str] = []
        self.lists = 0
        self.fail_writes: list[str] = []
        """What to do with the next writes: `refuse` (500), or `lose` (do it, and drop the answer)."""
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> FakeKube:
        app = web.Application()
        app.router.add_post("/api/v1/namespaces", self._namespace)
        app.router.add_get("/api/v1/namespaces/kube-system", self._kube_system)
        app.router.add_post("/api/v1/namespaces/proof/configmaps", self._create)
        app.router.add_get("/api/v1/namespaces/proof/configmaps", self._list)
        app.router.add_delete("/api/v1/namespaces/proof/configmaps", self._delete)
        app.router.add_get("/api/v1/namespaces/proof/configmaps/{name}", self._get)
        app.router.add_get("/apis/policy/v1/poddisruptionbudgets", self._budgets)
        app.router.add_get("/api/v1/pods", self._pods)
        app.router.add_get("/apis/apps/v1/{plural}", self._owners)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        for events in self.owner_events.values():
            await events.put(None)
        if self._runner is not None:
            await self._runner.cleanup()

    def kubeconfig(self, folder: Path) -> str:
        path = folder / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "pet",
                    "contexts": [{"name": "pet", "context": {"cluster": "pet", "user": "admin"}}],
                    "clusters": [{"name": "pet", "cluster": {"server": self.url}}],
                    "users": [{"name": "admin", "user": {"token": "t"}}],
                }
            )
        )
        return str(path)

    async def _namespace(self, _: web.Request) -> web.Response:
        return web.json_response({"message": "already there"}, status=409)

    async def _kube_system(self, _: web.Request) -> web.Response:
        return web.json_response(kube_system(CLUSTER))

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        name = body["metadata"]["name"]
        how = self.fail_writes.pop(0) if self.fail_writes else ""
        if how == "refuse":
            return web.json_response({"message": "etcdserver: leader changed"}, status=500)
        if name in self.keys:
            return web.json_response({"message": "AlreadyExists"}, status=409)
        self.keys[name] = body
        if how == "lose":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(body, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        found = self.keys.get(request.match_info["name"])
        return web.json_response(found or {"message": "NotFound"}, status=200 if found else 404)

    async def _list(self, request: web.Request) -> web.Response:
        self.lists += 1
        at, size = int(request.query.get("continue") or 0), int(request.query["limit"])
        wanted = request.query["labelSelector"].split("=")[1]
        items = [item for item in self.keys.values() if wanted in item["metadata"]["labels"].values()]
        more = str(at + size) if at + size < len(items) else ""
        return web.json_response({"metadata": {"continue": more}, "items": items[at : at + size]})

    async def _delete(self, _: web.Request) -> web.Response:
        self.keys.clear()
        return web.json_response({})

    async def _budgets(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") != "true":
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": self.budgets})
        self.watched_from.append(request.query["resourceVersion"])
        return await _stream(request, self.events)

    async def _owners(self, request: web.Request) -> web.StreamResponse:
        plural = request.match_info["plural"]
        if request.query.get("watch") == "true":
            return await _stream(request, self.owner_events[plural])
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": self.owners.get(plural, [])})

    async def _pods(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            return await _stream(request, self.pod_events)
        at, size = int(request.query.get("continue") or 0), int(request.query["limit"])
        more = str(at + size) if at + size < len(self.pods) else ""
        metadata = {"resourceVersion": "1", "continue": more}
        return web.json_response({"metadata": metadata, "items": self.pods[at : at + size]})


async def _stream(request: web.Request, events: asyncio.Queue[dict[str, Any] | None]) -> web.StreamResponse:
    """A watch: what is put into the queue, until None."""
    stream = web.StreamResponse()
    await stream.prepare(request)
    while (event := await events.get()) is not None:
        await stream.write(json.dumps(event).encode() + b"\n")
    return stream
