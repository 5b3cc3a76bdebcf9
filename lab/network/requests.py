"""Application balancers: HTTP/1.1 requests, each sent to the group that the listener's rules choose.

The protocol is h11's. A request's body is held until it is whole; an answer goes on as it comes. What isn't carried:
upgrades (WebSocket), HTTP/2 and gRPC, cookies that make sessions sticky.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

import h11

from lab.network.fabric import Choice, Dropped, Fabric, Refused
from lab.network.listeners import Place
from lab.network.relay import Condition as Legs
from lab.network.relay import Hop, Plan, dial, reset_transport
from lab.network.state import BalancerListener, Condition, Forward, LoadBalancer

log = logging.getLogger(__name__)

IDLE_S = 60.0
"""An application balancer's idle timeout where none is said."""
CONNECT_S = 10.0
CHUNK = 64 * 1024
MOST_BODY = 1024 * 1024
_ONE_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
"""Headers that are between two neighbours only (RFC 9110, 7.6.1)."""
Headers = list[tuple[bytes, bytes]]


# --- which group


def forwards(listener: BalancerListener, host: str, path: str) -> tuple[Forward, ...]:
    """Where a request goes: by the first rule, in the order of priorities, all of whose conditions it meets; else by
    the listener's default action."""
    for rule in listener.rules:
        if all(_meets(condition, host, path) for condition in rule.conditions):
            return rule.forwards
    return listener.forwards


def _meets(condition: Condition, host: str, path: str) -> bool:
    """`*` stands for any characters, `?` for one; hosts are compared without case, and without a port.

    A condition of another kind is met by nobody: the lab can't tell.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html
    """
    if condition.field == "host-header":
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        return any(_like(name.lower(), pattern.lower()) for pattern in condition.values)
    if condition.field == "path-pattern":
        return any(_like(path.partition("?")[0], pattern) for pattern in condition.values)
    return False


def _like(text: str, pattern: str) -> bool:
    # fnmatch knows brackets as well, which ELB takes as they are.
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


# --- carrying


@dataclass(frozen=True, kw_only=True)
class Front:
    """A listener at one of its balancer's addresses."""

    balancer: LoadBalancer
    listener: BalancerListener
    place: Place


Choose = Callable[[Front, tuple[Forward, ...], str], Choice]
"""The target of a request, given the client's address. Raises Refused where there is none."""


class _Answered(Exception):
    """The balancer answers by itself, with this status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Requests:
    """Accepts for every HTTP listener. A carrier: connections on either side are reset where their path is gone."""

    def __init__(self, fabric: Fabric, choose: Choose) -> None:
        self._fabric = fabric
        self._choose = choose
        self._tasks: set[asyncio.Task[None]] = set()
        self._legs: dict[asyncio.WriteTransport, tuple[Hop, ...]] = {}
        self.by_balancer: dict[str, int] = {}
        """Requests since the balancer was first used; metrics take differences."""
        fabric.carriers.append(self)

    def accept(
        self, front: Front, tls: ssl.SSLContext | None, client: socket.socket, peer: Place, place: Place
    ) -> None:
        """A listener's handler."""
        caller = self._fabric.callers.identify(peer, place)
        try:
            self._fabric.check(caller, *place)
        except Dropped as error:
            self._fabric.drop(client, str(error))
            return
        task = asyncio.create_task(self._serve(front, tls, client, caller))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def abort_where(self, condition: Legs) -> int:
        """Resets the connections whose legs fulfil the condition; returns how many."""
        doomed = [transport for transport, hops in self._legs.items() if condition(hops)]
        for transport in doomed:
            reset_transport(transport)
        return len(doomed)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _serve(self, front: Front, tls: ssl.SSLContext | None, client: socket.socket, caller: str) -> None:
        hops = (Hop(caller, *front.place, balancer=front.balancer.arn),)
        try:
            reader, writer = await _streams(client, tls)
        except OSError as error:
            log.info("TLS of %s at %s:%s: %s", caller, *front.place, error or type(error).__name__)
            return
        self._legs[writer.transport] = hops
        self._fabric.flows.count(hops)
        try:
            await self._talk(front, tls is not None, reader, writer, caller)
        except (OSError, h11.LocalProtocolError, TimeoutError) as error:
            log.info("%s at %s:%s: %s", caller, *front.place, error or type(error).__name__)
            reset_transport(writer.transport)
        finally:
            self._legs.pop(writer.transport, None)
            self._fabric.flows.uncount(hops)
            writer.close()

    async def _talk(
        self, front: Front, secure: bool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: str
    ) -> None:
        """Requests of one connection, one after the other."""
        idle_s = float(front.balancer.attributes.get("idle_timeout.timeout_seconds", IDLE_S))
        http = h11.Connection(h11.SERVER)
        while True:
            try:
                async with asyncio.timeout(idle_s):
                    request = await _whole_request(http, reader)
            except TimeoutError:
                return
            except h11.RemoteProtocolError as error:
                await _say(http, writer, error.error_status_hint, str(error))
                return
            if request is None:
                return
            self.by_balancer[front.balancer.arn] = self.by_balancer.get(front.balancer.arn, 0) + 1
            try:
                await self._forward(front, secure, http, writer, caller, idle_s, *request)
            except _Answered as error:
                log.info("%s:%s answers %s %s: %s", *front.place, caller, error.status, error)
                await _say(http, writer, error.status, str(error))
            if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                return
            http.start_next_cycle()

    async def _forward(
        self,
        front: Front,
        secure: bool,
        http: h11.Connection,
        writer: asyncio.StreamWriter,
        caller: str,
        idle_s: float,
        request: h11.Request,
        body: bytes,
    ) -> None:
        """One request to one target, on a connection of its own. Raises _Answered before an answer has begun."""
        host = next((value.decode("latin-1") for name, value in request.headers if name == b"host"), "")
        path = request.target.decode("latin-1")
        try:
            chosen = self._choose(front, forwards(front.listener, host, path), caller)
            plan = self._fabric.onward(chosen, Hop(caller, *front.place))
        except Refused as error:
            raise _Answered(503, str(error)) from None
        except Dropped as error:
            self._fabric.lose(str(error))
            await asyncio.sleep(CONNECT_S)
            raise _Answered(504, str(error)) from None
        begun = False
        up: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(idle_s):
                down, up = await _connect(plan)
            self._legs[up.transport] = plan.hops[1:]
            target = h11.Connection(h11.CLIENT)
            up.write(target.send(_onward(request, body, caller, front.place[1], secure)) or b"")
            if body:
                up.write(target.send(h11.Data(body)) or b"")
            up.write(target.send(h11.EndOfMessage()) or b"")
            async with asyncio.timeout(idle_s):
                async for event in _events(target, down):
                    if isinstance(event, h11.Response):
                        event = h11.Response(
                            status_code=event.status_code, reason=event.reason, headers=_kept(event.headers)
                        )
                        begun = True
                    data = http.send(event)
                    if data:
                        writer.write(data)
                        await writer.drain()
        except TimeoutError:
            if begun:
                raise
            raise _Answered(504, f"{plan.host}:{plan.port} doesn't answer") from None
        except (OSError, h11.RemoteProtocolError) as error:
            if begun or writer.transport.is_closing():
                raise ConnectionResetError(str(error)) from error
            raise _Answered(502, f"{plan.host}:{plan.port}: {error or type(error).__name__}") from None
        finally:
            if up is not None:
                self._legs.pop(up.transport, None)
                up.close()


async def _streams(
    sock: socket.socket, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Streams over a socket that is connected. Raises OSError (a handshake that fails is one)."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=tls)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _connect(plan: Plan) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To the target, from the balancer's own address. Raises OSError."""
    if plan.delay_s:
        await asyncio.sleep(2 * plan.delay_s)
    sock, connected = dial(plan.source, plan.host, plan.port)
    if not connected:
        try:
            await asyncio.get_running_loop().sock_connect(sock, (plan.host, plan.port))
        except BaseException:
            sock.close()
            raise
    return await _streams(sock)


async def _whole_request(http: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request, bytes] | None:
    """The next request with its body; None where the client is done. Raises h11.RemoteProtocolError."""
    request: h11.Request | None = None
    body = bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(CHUNK))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MOST_BODY:
                raise h11.RemoteProtocolError("the lab's application balancers hold no such body", 413)
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            return request, bytes(body)
        else:
            return None


async def _events(
    target: h11.Connection, reader: asyncio.StreamReader
) -> AsyncIterator[h11.Response | h11.Data | h11.EndOfMessage]:
    """An answer's events, to its end. Raises OSError, h11.RemoteProtocolError."""
    while True:
        event = target.next_event()
        if event is h11.NEED_DATA:
            target.receive_data(await reader.read(CHUNK))
        elif isinstance(event, h11.Response | h11.Data | h11.EndOfMessage):
            yield event
            if isinstance(event, h11.EndOfMessage):
                return
        elif not isinstance(event, h11.InformationalResponse):
            raise ConnectionResetError("the target closed before its answer was whole")


def _kept(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Headers that go on to the next neighbour."""
    every = list(headers)
    named = {
        part.strip().lower() for name, value in every if name == b"connection" for part in value.split(b",") if part
    }
    return [(name, value) for name, value in every if name not in _ONE_HOP | named]


def _onward(request: h11.Request, body: bytes, caller: str, port: int, secure: bool) -> h11.Request:
    """The request as the target gets it.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html
    """
    ours = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-port", b"content-length"}
    before = [value for name, value in request.headers if name == b"x-forwarded-for"]
    headers = [(name, value) for name, value in _kept(request.headers) if name not in ours]
    headers += [
        (b"X-Forwarded-For", b", ".join([*before, caller.encode()])),
        (b"X-Forwarded-Proto", b"https" if secure else b"http"),
        (b"X-Forwarded-Port", str(port).encode()),
        (b"Connection", b"close"),
    ]
    if body or any(name in (b"content-length", b"transfer-encoding") for name, _ in request.headers):
        headers.append((b"Content-Length", str(len(body)).encode()))
    return h11.Request(method=request.method, target=request.target, headers=headers)


async def _say(http: h11.Connection, writer: asyncio.StreamWriter, status: int, why: str) -> None:
    """The balancer's own answer, after which it closes. Raises OSError."""
    if http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    body = f"{status}: {why}\n".encode()
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Connection", "close")]
    for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
        writer.write(http.send(event) or b"")
    await writer.drain()
