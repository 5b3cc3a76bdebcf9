"""Bytes between two sockets, and the table of everything that is open.

Written on `add_reader` and plain sockets rather than on transports: the relay is what every probe and every etcd
message passes, and it needs true resets, half-close and back-pressure. The loop is given descriptors, never sockets:
it looks a number up three times as fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

CHUNK = 64 * 1024
_DELAYED_LIMIT = 1024 * 1024
_RESET = struct.pack("ii", 1, 0)
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; Python names it from 3.12 on


@dataclass(frozen=True, slots=True)
class Hop:
    """One leg of a connection as AWS would see it. A balancer's leg to its target carries both their names."""

    source: str
    target: str
    port: int
    balancer: str | None = None
    target_group: str | None = None
    target_key: str | None = None
    transport: str = "tcp"


Condition = Callable[[tuple[Hop, ...]], bool]


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a connection really goes: the address to dial, the one to dial from, and the legs it stands for."""

    source: str
    host: str
    port: int
    hops: tuple[Hop, ...]
    delay_s: float = 0.0
    """One way."""
    preface: bytes = b""
    """What the target is told before the client's first byte (proxy protocol)."""


def reset_transport(transport: asyncio.WriteTransport) -> None:
    """`reset` for a connection that a transport has."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family == socket.AF_INET:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def reset(sock: socket.socket) -> None:
    """Closes with RST, as a peer does that knows nothing of the connection."""
    with contextlib.suppress(OSError):  # the other side was quicker
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


def dial(source: str, host: str, port: int) -> tuple[socket.socket, bool]:
    """A non-blocking connection from an address of one's own, and whether it stands already.

    On loopback the handshake is over before the call returns, and asking again says so: no turn of the loop is spent.
    Raises ConnectionRefusedError, or OSError.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # Ports are chosen at connect, by four-tuple: otherwise one address runs out of them after 28,000 short flows.
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((source, 0))
        code = sock.connect_ex((host, port))
        if code == errno.EINPROGRESS:
            code = sock.connect_ex((host, port))
        if code in (0, errno.EISCONN):
            return sock, True
        if code in (errno.EINPROGRESS, errno.EALREADY):
            return sock, False
        raise OSError(code, errno.errorcode.get(code, str(code)))
    except BaseException:
        sock.close()
        raise


class _Pipe:
    """One direction of a flow."""

    __slots__ = ("ended", "last_due", "pending", "queued", "reading", "sent", "shut", "sink", "source", "writing")

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.pending: bytes | memoryview = b""
        self.reading = False
        self.writing = False
        self.ended = False  # the source said it is done
        self.shut = False  # and the sink was told
        self.sent = 0
        self.queued = 0  # bytes under way on a slowed pair
        self.last_due = 0.0


class Flow:
    """A connection being relayed. Opened by `Flows.open`."""

    __slots__ = (
        "_closed", "_dialling", "_down", "_loop", "_on_close", "_up",
        "aborted", "client", "delay_s", "id", "last", "opened", "plan", "upstream",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, ident: int, client: socket.socket, plan: Plan,
        on_close: Callable[[Flow], None],
    ) -> None:  # fmt: skip
        self._loop = loop
        self.id = ident
        self.plan = plan
        self.delay_s = plan.delay_s
        self.client = client
        self.upstream: socket.socket | None = None
        self.opened = self.last = time.monotonic()
        self._closed = False
        self.aborted = False
        """Whether it ended by a reset."""
        self._dialling = False
        self._up: _Pipe | None = None
        self._down: _Pipe | None = None
        self._on_close = on_close

    @property
    def bytes(self) -> tuple[int, int]:
        """Client to target, target to client."""
        return (self._up.sent if self._up else 0, self._down.sent if self._down else 0)

    @property
    def hops(self) -> tuple[Hop, ...]:
        return self.plan.hops

    def start(self) -> None:
        if self.delay_s:
            self._loop.call_later(2 * self.delay_s, self._dial)  # a handshake is one round trip
        else:
            self._dial()

    def _dial(self) -> None:
        if self._closed:
            return
        try:
            self.upstream, connected = dial(self.plan.source, self.plan.host, self.plan.port)
        except OSError:
            self.abort()
            return
        if connected:
            self._connected()
        else:
            self._dialling = True
            self._loop.add_writer(self.upstream.fileno(), self._dialled)

    def _dialled(self) -> None:
        assert self.upstream is not None
        self._dialling = False
        self._loop.remove_writer(self.upstream.fileno())
        if self.upstream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.abort()
        else:
            self._connected()

    def _connected(self) -> None:
        assert self.upstream is not None
        self._up = _Pipe(self.client, self.upstream)
        self._down = _Pipe(self.upstream, self.client)
        if self.plan.preface:
            self._deliver(self._up, self.plan.preface)
        if self._closed:
            return
        if not self._up.pending:
            self._read(self._up)
        self._read(self._down)

    def _read(self, pipe: _Pipe) -> None:
        if not pipe.reading and not pipe.ended:
            pipe.reading = True
            self._loop.add_reader(pipe.source.fileno(), self._readable, pipe)

    def _stop_reading(self, pipe: _Pipe) -> None:
        if pipe.reading:
            pipe.reading = False
            self._loop.remove_reader(pipe.source.fileno())

    def _stop_writing(self, pipe: _Pipe) -> None:
        if pipe.writing:
            pipe.writing = False
            self._loop.remove_writer(pipe.sink.fileno())

    def _readable(self, pipe: _Pipe) -> None:
        try:
            data = pipe.source.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.abort()
            return
        self.last = time.monotonic()
        if not data:
            pipe.ended = True
            self._stop_reading(pipe)
        if self.delay_s or pipe.queued:
            self._later(pipe, data)
        elif data:
            self._deliver(pipe, data)
        else:
            self._flushed(pipe)

    def _later(self, pipe: _Pipe, data: bytes) -> None:
        now = self._loop.time()
        # Never before what was read earlier, also when the delay has just been taken away.
        pipe.last_due = max(now + self.delay_s, pipe.last_due + 1e-6)
        pipe.queued += len(data) or 1
        if pipe.queued > _DELAYED_LIMIT:
            self._stop_reading(pipe)
        self._loop.call_at(pipe.last_due, self._arrived, pipe, data)

    def _arrived(self, pipe: _Pipe, data: bytes) -> None:
        if self._closed:
            return
        pipe.queued -= len(data) or 1
        if data:
            self._deliver(pipe, data)
        else:
            self._flushed(pipe)
        if not self._closed and not pipe.pending and pipe.queued <= _DELAYED_LIMIT:
            self._read(pipe)

    def _deliver(self, pipe: _Pipe, data: bytes) -> None:
        pipe.sent += len(data)
        if pipe.pending:
            pipe.pending = bytes(pipe.pending) + data
            return
        try:
            count = pipe.sink.send(data)
        except (BlockingIOError, InterruptedError):
            count = 0
        except OSError:
            self.abort()
            return
        if count < len(data):
            pipe.pending = memoryview(data)[count:]
            self._stop_reading(pipe)
            pipe.writing = True
            self._loop.add_writer(pipe.sink.fileno(), self._writable, pipe)

    def _writable(self, pipe: _Pipe) -> None:
        try:
            count = pipe.sink.send(pipe.pending)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.abort()
            return
        pipe.pending = pipe.pending[count:]
        if pipe.pending:
            return
        self._stop_writing(pipe)
        if pipe.ended:
            self._flushed(pipe)
        elif pipe.queued <= _DELAYED_LIMIT:
            self._read(pipe)

    def _flushed(self, pipe: _Pipe) -> None:
        """The source is done: say so to the sink once everything before it has gone out."""
        if pipe.pending or pipe.queued or pipe.shut:
            return
        pipe.shut = True
        try:
            pipe.sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()
            return
        if self._up is not None and self._down is not None and self._up.shut and self._down.shut:
            self._finish(graceful=True)

    def abort(self) -> None:
        """Resets both ends, at once."""
        self._finish(graceful=False)

    def _finish(self, *, graceful: bool) -> None:
        if self._closed:
            return
        self._closed = True
        self.aborted = not graceful
        if self._dialling and self.upstream is not None:
            self._loop.remove_writer(self.upstream.fileno())
        for pipe in (self._up, self._down):
            if pipe is not None:
                self._stop_reading(pipe)
                self._stop_writing(pipe)
        for sock in (self.client, self.upstream):
            if sock is None:
                continue
            if graceful:
                sock.close()
            else:
                reset(sock)
        self._on_close(self)


class Flows:
    """All open flows, and the counts a balancer's metrics are made of."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ids = itertools.count(1)
        self._open: dict[int, Flow] = {}
        self.opened_total = 0
        self.new_by_balancer: dict[str, int] = {}
        """Since the balancer was first used; metrics take differences."""
        self.active_by_balancer: dict[str, int] = {}

    def __iter__(self) -> Iterator[Flow]:
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    def open(self, client: socket.socket, plan: Plan) -> Flow:
        """Takes the accepted socket over. A target that refuses gets the client a reset."""
        flow = Flow(self._loop, next(self._ids), client, plan, self._gone)
        self._open[flow.id] = flow
        self.opened_total += 1
        self.count(plan.hops)
        flow.start()
        return flow

    def count(self, hops: tuple[Hop, ...]) -> None:
        """A new flow, as a balancer's metrics have it."""
        for hop in hops:
            if hop.balancer:
                self.new_by_balancer[hop.balancer] = self.new_by_balancer.get(hop.balancer, 0) + 1
                self.active_by_balancer[hop.balancer] = self.active_by_balancer.get(hop.balancer, 0) + 1

    def uncount(self, hops: tuple[Hop, ...]) -> None:
        """That flow has ended."""
        for hop in hops:
            if hop.balancer:
                self.active_by_balancer[hop.balancer] -= 1

    def _gone(self, flow: Flow) -> None:
        self._open.pop(flow.id, None)
        self.uncount(flow.plan.hops)

    def abort_where(self, condition: Condition) -> int:
        """Resets the flows whose legs fulfil the condition; returns how many."""
        doomed = [flow for flow in self._open.values() if condition(flow.hops)]
        for flow in doomed:
            flow.abort()
        return len(doomed)
