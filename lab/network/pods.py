"""What runs in the lab's pods: a small HTTP server each, all of them in this process.

A pod answers while it exists. Told to go (it has a deletion timestamp) it finishes what it holds and says
`Connection: close`; gone, its connections go with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lab.network.cluster import Name
from lab.network.relay import Hop, reset

log = logging.getLogger(__name__)

_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    status: str
    body: bytes
    after_s: float = 0.0


Respond = Callable[[Request], Reply]


class BadRequest(Exception):
    """Not HTTP/1.1 as the lab's clients speak it."""


class Requests:
    """Cuts a stream into requests. Bodies by Content-Length only."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> Request | None:
        """The next whole request, or None if it isn't all there. Raises BadRequest."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise BadRequest("head too long")
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        try:
            method, target, _version = first.split(" ")
            length = int(headers.get("content-length", "0"))
        except ValueError as error:
            raise BadRequest(first[:80]) from error
        if "transfer-encoding" in headers or length > _BODY_LIMIT:
            raise BadRequest("body without a length, or too long")
        body_at = end + 4
        if len(self._buffer) < body_at + length:
            return None
        body = self._buffer[body_at : body_at + length]
        self._buffer = self._buffer[body_at + length :]
        return Request(method, target, headers, body)


@dataclass(frozen=True, slots=True)
class Home:
    """The pod a connection has reached, and the way it came."""

    uid: str
    name: Name
    node: str
    hops: tuple[Hop, ...]


class Connection(asyncio.Protocol):
    """One connection to a pod."""

    def __init__(self, pods: Pods, home: Home, respond: Respond) -> None:
        self._pods = pods
        self.home = home
        self._respond = respond
        self._requests = Requests()
        self._transport: asyncio.Transport | None = None
        self._busy = False

    @property
    def hops(self) -> tuple[Hop, ...]:
        return self.home.hops

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._pods.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._pods.closed(self)

    def data_received(self, data: bytes) -> None:
        self._requests.feed(data)
        self._next()

    def _next(self) -> None:
        while self._transport is not None and not self._busy and not self._transport.is_closing():
            try:
                request = self._requests.next()
            except BadRequest as error:
                self._transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                self._transport.close()
                log.info("pod %s/%s: %s", *self.home.name, error)
                return
            if request is None:
                return
            reply = self._respond(request)
            if reply.after_s:
                self._busy = True
                asyncio.get_running_loop().call_later(reply.after_s, self._late, request, reply)
            else:
                self._write(request, reply)

    def _late(self, request: Request, reply: Reply) -> None:
        self._busy = False
        if self._transport is not None:
            self._write(request, reply)
            self._next()

    def _write(self, request: Request, reply: Reply) -> None:
        assert self._transport is not None
        last = self._pods.is_leaving(self.home.uid) or request.headers.get("connection", "").lower() == "close"
        head = (
            f"HTTP/1.1 {reply.status}\r\nContent-Type: application/json\r\nContent-Length: {len(reply.body)}\r\n"
            f"Connection: {'close' if last else 'keep-alive'}\r\n\r\n"
        )
        self._transport.write(head.encode() + (b"" if request.method == "HEAD" else reply.body))
        self._pods.answered += 1
        if last:
            self._transport.close()

    def leave(self) -> None:
        """The pod is gone: what was idle ends in order, what was being answered is broken off."""
        if self._transport is None:
            return
        if self._busy:
            self.abort()
        else:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family == socket.AF_INET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._transport.abort()


class Pods:
    """All connections to pods, by the pod's UID."""

    def __init__(self, is_leaving: Callable[[str], bool]) -> None:
        self.is_leaving = is_leaving
        self._open: dict[str, set[Connection]] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self.answered = 0

    def opened(self, connection: Connection) -> None:
        self._open.setdefault(connection.home.uid, set()).add(connection)

    def closed(self, connection: Connection) -> None:
        held = self._open.get(connection.home.uid)
        if held is not None:
            held.discard(connection)
            if not held:
                del self._open[connection.home.uid]

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def serve(self, sock: socket.socket, home: Home, respond: Respond, tls: ssl.SSLContext | None = None) -> None:
        """Takes a connected socket over, as the pod."""
        task = asyncio.create_task(self._start(sock, Connection(self, home, respond), tls))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    @staticmethod
    async def _start(sock: socket.socket, connection: Connection, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: connection, sock, ssl=tls)
        except (OSError, ssl.SSLError) as error:
            log.info("pod %s/%s: %s", *connection.home.name, error)
            reset(sock)

    def gone(self, uid: str) -> None:
        """The pod's object is deleted."""
        for connection in list(self._open.get(uid, ())):
            connection.leave()

    def abort_where(self, condition: Callable[[tuple[Hop, ...]], bool]) -> int:
        """Resets the connections whose way fulfils the condition; returns how many."""
        doomed = [c for held in self._open.values() for c in held if condition(c.hops)]
        for connection in doomed:
            connection.abort()
        return len(doomed)


# --- what pods say


def web_page(pod: str, node: str, side: str) -> Respond:
    """Says who answered. `?ms=N` answers after N milliseconds, for what must be finished."""
    body = json.dumps({"pod": pod, "node": node, "side": side}).encode()

    def respond(request: Request) -> Reply:
        wait = parse_qs(urlsplit(request.target).query).get("ms", ["0"])[0]
        return Reply("200 OK", body, min(int(wait), 60_000) / 1_000 if wait.isdecimal() else 0.0)

    return respond


def admission(request: Request) -> Reply:
    """Allows whatever is asked (admission.k8s.io/v1)."""
    if request.method != "POST":
        return Reply("200 OK", b"{}")
    try:
        review: dict[str, Any] = json.loads(request.body)
        answer = {"uid": review["request"]["uid"], "allowed": True}
    except (ValueError, KeyError, TypeError):
        return Reply("400 Bad Request", b"{}")
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
    return Reply("200 OK", json.dumps(body).encode())
