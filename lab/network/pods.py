"""What runs in the lab's pods: a small HTTP server each, all of them in this process, and one that answers DNS.

A pod answers while it exists. Told to go (it has a deletion timestamp) it finishes what it holds and says
`Connection: close`; gone, its connections go with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
from dnslib import QTYPE, RR, TXT, DNSError, DNSRecord

from lab.kubernetes.follow import Name
from lab.network.proxy_protocol import NoHeader, parse
from lab.network.relay import Hop, reset, reset_transport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    after_s: float = 0.0


Respond = Callable[[h11.Request, bytes], Reply]
"""Of a request and its body."""


@dataclass(frozen=True, slots=True)
class Home:
    """The pod a connection has reached, and the way it came."""

    uid: str
    name: Name
    node: str
    hops: tuple[Hop, ...]
    proxy_protocol: bool = False
    """Whether the pod takes no connection without the header of proxy protocol v2."""


class Connection(asyncio.Protocol):
    """One connection to a pod."""

    def __init__(self, pods: Pods, home: Home, respond: Respond) -> None:
        self._pods = pods
        self.home = home
        self._respond = respond
        self._http = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body = b""
        self._transport: asyncio.Transport | None = None
        self._busy = False
        self._header: bytes | None = b"" if home.proxy_protocol else None
        """What has come of a header that isn't whole; None where none is due, or it has been read."""
        self._client: str | None = None

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
        if self._header is not None:
            data = self._after_header(self._header + data)
        if data:
            self._http.receive_data(data)
            self._next()

    def _after_header(self, data: bytes) -> bytes:
        """What follows the header of proxy protocol, which says who the client is. A pod that waits for one hangs up on
        whoever has none."""
        try:
            found = parse(data)
        except NoHeader as error:
            log.info("pod %s/%s: no header of proxy protocol: %s", *self.home.name, error)
            self.abort()
            return b""
        if found is None:
            self._header = data
            return b""
        self._header = None
        self._client = found.client.ip if found.client else None
        return data[found.length :]

    def _next(self) -> None:
        while self._transport is not None and not self._busy and not self._transport.is_closing():
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._transport.close()
                log.info("pod %s/%s: %s", *self.home.name, error)
                return
            if isinstance(event, h11.Request):
                self._request, self._body = event, b""
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                reply = self._respond(self._request, self._body)
                if reply.after_s:
                    self._busy = True
                    asyncio.get_running_loop().call_later(reply.after_s, self._late, reply)
                else:
                    self._write(reply)
            else:
                return

    def _late(self, reply: Reply) -> None:
        self._busy = False
        if self._transport is not None:
            self._write(reply)
            self._next()

    def _write(self, reply: Reply) -> None:
        assert self._transport is not None
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(reply.body)))]
        if self._client is not None:
            headers.append(("X-Proxied-For", self._client))
        if self._pods.is_leaving(self.home.uid):
            headers.append(("Connection", "close"))
        body = b"" if self._request is None or self._request.method == b"HEAD" else reply.body
        head = h11.Response(status_code=reply.status, reason=HTTPStatus(reply.status).phrase.encode(), headers=headers)
        events = (head, h11.Data(body), h11.EndOfMessage())
        self._transport.write(b"".join(self._http.send(event) or b"" for event in events))
        self._pods.answered += 1
        if self._http.our_state is h11.MUST_CLOSE:
            self._transport.close()
        else:
            self._http.start_next_cycle()

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
        reset_transport(self._transport)


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


def page_of(pod: str, node: str, side: str) -> bytes:
    """Who answers."""
    return json.dumps({"pod": pod, "node": node, "side": side}).encode()


def dns_answer(query: bytes, page: bytes) -> bytes | None:
    """An answer to any question for TXT: who answers. None for what is no query."""
    try:
        request = DNSRecord.parse(query)
    except DNSError:
        return None
    reply = request.reply()
    if request.q.qtype == QTYPE.TXT:
        reply.add_answer(RR(str(request.q.qname), QTYPE.TXT, ttl=0, rdata=TXT(page)))
    return bytes(reply.pack())


def web_page(pod: str, node: str, side: str) -> Respond:
    """Says who answered. `?ms=N` answers after N milliseconds, for what must be finished."""
    body = page_of(pod, node, side)

    def respond(request: h11.Request, _: bytes) -> Reply:
        wait = parse_qs(urlsplit(request.target.decode()).query).get("ms", ["0"])[0]
        return Reply(200, body, min(int(wait), 60_000) / 1_000 if wait.isdecimal() else 0.0)

    return respond


def admission(request: h11.Request, body: bytes) -> Reply:
    """Allows whatever is asked (admission.k8s.io/v1)."""
    if request.method != b"POST":
        return Reply(200, b"{}")
    try:
        review: dict[str, Any] = json.loads(body)
        answer = {"uid": review["request"]["uid"], "allowed": True}
    except (ValueError, KeyError, TypeError):
        return Reply(400, b"{}")
    told = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
    return Reply(200, json.dumps(told).encode())
