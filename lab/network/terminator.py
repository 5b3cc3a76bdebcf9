"""TLS listeners of network balancers: TLS ends here, and what was in it goes on as plain TCP like any other flow."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from lab.network.fabric import Dropped, Fabric
from lab.network.listeners import Place
from lab.network.relay import Flow, reset_transport

log = logging.getLogger(__name__)

HANDSHAKE_S = 10.0


class Half(asyncio.Protocol):
    """One side of a connection that is carried on: what comes in goes out on the other."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Half | None = None
        self._ended = ended
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def join(self, other: Half) -> None:
        """What came before there was another side goes first."""
        self.other = other
        for data in self._early:
            self.data_received(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._ended()


class Terminator:
    """Accepts for every TLS listener."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, context: ssl.SSLContext, client: socket.socket, peer: Place, place: Place) -> None:
        """A listener's handler. Whoever may not reach the balancer gets no handshake."""
        caller = self._fabric.callers.identify(peer, place)
        try:
            self._fabric.check(caller, *place)
        except Dropped as error:
            self._fabric.drop(client, str(error))
            return
        task = asyncio.create_task(self._serve(context, client, caller, peer[1], place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, context: ssl.SSLContext, client: socket.socket, caller: str, caller_port: int, place: Place
    ) -> None:
        loop = asyncio.get_running_loop()
        flow: list[Flow | None] = []

        def outside_ended() -> None:
            if inside.transport is not None:
                inside.transport.close()

        def inside_ended() -> None:
            if outside.transport is None:
                return
            if flow and (flow[0] is None or flow[0].aborted):
                reset_transport(outside.transport)
            else:
                outside.transport.close()

        outside, inside = Half(outside_ended), Half(inside_ended)
        try:
            await loop.connect_accepted_socket(
                lambda: outside, client, ssl=context, ssl_handshake_timeout=HANDSHAKE_S, ssl_shutdown_timeout=2.0
            )
        except OSError as error:  # ssl.SSLError is one
            log.info("TLS of %s at %s:%s: %s", caller, *place, error or type(error).__name__)
            return
        near, far = socket.socketpair()
        for end in (near, far):
            end.setblocking(False)
        await loop.connect_accepted_socket(lambda: inside, near)
        flow.append(self._fabric.carry(far, caller, *place, from_port=caller_port))
        outside.join(inside)
        inside.join(outside)
        if outside.transport is None:  # it left meanwhile
            outside_ended()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
