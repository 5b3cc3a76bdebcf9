"""HTTP/2 probes against a server built on another implementation (h2), which leaves in each of the ways servers do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest
from hpack import Encoder
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame

from proof.config import Target
from proof.prober import address_of
from tests.proof.servers import DnsServer, certificates
from tests.proof.test_probes import NAME, PERIOD, Memory, cell_for, until


class Server(asyncio.Protocol):
    """One connection. `leave` decides about the first request that is a connection's third; others are answered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                assert event.stream_id is not None
                if event.stream_id == 5 and self._world.left_at is None:
                    self._world.left_at = self._world.memory.settled
                    self._world.leave(self, event.stream_id)
                elif self._world.left_at is not None and self._world.next_leaves:
                    self._world.next_leaves = False
                    self._world.leave(self, event.stream_id)
                else:
                    self.answer(event.stream_id)
        self.flush()

    def answer(self, stream: int) -> None:
        self.h2.send_headers(stream, [(":status", "200"), ("x-padding", "n" * 20_000)])  # needs a CONTINUATION
        self.h2.send_data(stream, b"o" * 3_000)
        self.h2.send_data(stream, b"k", end_stream=True)
        self._world.answered += 1

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    def raw(self, *frames: GoAwayFrame | HeadersFrame | DataFrame) -> None:
        self.flush()
        self.transport.write(b"".join(frame.serialize() for frame in frames))


@dataclass
class World:
    leave: Callable[[Server, int], None]
    left_at: int | None = None
    """How many requests had been settled when the server left."""
    next_leaves: bool = False
    """The first request after that one meets the same."""
    answered: int = 0
    memory: Memory = field(default_factory=Memory)


def answers(server: Server, stream: int) -> None:
    server.answer(stream)


def goes_away_between_requests(server: Server, stream: int) -> None:
    server.answer(stream)
    server.raw(GoAwayFrame(0, last_stream_id=stream))  # h2 itself would hear nothing more after its GOAWAY


def goes_away_before_the_request(server: Server, stream: int) -> None:
    server.raw(GoAwayFrame(0, last_stream_id=stream - 2))


def refuses_the_stream(server: Server, stream: int) -> None:
    server.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)


def goes_away_but_answers_what_it_began(server: Server, stream: int) -> None:
    head = HeadersFrame(stream, data=Encoder().encode([(":status", "200")]), flags=["END_HEADERS"])
    server.raw(GoAwayFrame(0, last_stream_id=stream), head, DataFrame(stream, data=b"ok", flags=["END_STREAM"]))


def goes_away_and_drops_what_it_began(server: Server, stream: int) -> None:
    server.raw(GoAwayFrame(0, last_stream_id=stream))
    server.transport.close()


def ends_without_a_word(server: Server, stream: int) -> None:
    server.transport.close()


def fails_within(server: Server, stream: int) -> None:
    server.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)


def says_unavailable(server: Server, stream: int) -> None:
    server.h2.send_headers(stream, [(":status", "503")], end_stream=True)


def shuts_down(server: Server, stream: int) -> None:
    """As an API server does between its last handled request and its GOAWAY."""
    server.h2.send_headers(stream, [(":status", "503"), ("retry-after", "1")])
    server.h2.send_data(stream, b"apiserver is shutting down", end_stream=True)


def talks_nonsense(server: Server, stream: int) -> None:
    server.transport.write(b"\xff" * 64)


def pings(server: Server, stream: int) -> None:
    server.h2.ping(b"are you?")
    server.answer(stream)


def probed(folder: Path, leave: Callable[[Server, int], None], *, next_leaves: bool = False) -> World:
    """Some requests of one kept connection against a server that leaves in this way."""

    async def main() -> World:
        world = World(leave, next_leaves=next_leaves)
        ca, tls = certificates(folder, NAME)
        tls.set_alpn_protocols(["h2"])
        server = await asyncio.get_running_loop().create_server(lambda: Server(world), "127.0.0.1", 0, ssl=tls)
        dns = await DnsServer({NAME: (["127.0.0.1"], 60)}).start()
        plain, kept = (ssl.create_default_context(cafile=str(ca)) for _ in range(2))
        kept.set_alpn_protocols(["h2", "http/1.1"])
        port = server.sockets[0].getsockname()[1]
        address = address_of(Target(url=f"https://{NAME}:{port}/livez"), plain, kept)
        # Long enough for an answer of several frames: while one is awaited, others open connections beside it.
        cell = cell_for(address, dns, world.memory, "api_kept", period=5 * PERIOD)
        cell.start(asyncio.get_running_loop().time())
        await until(lambda: world.left_at is not None and len(world.memory.ok) >= world.left_at + 8)
        cell.stop()
        await cell.drain()
        server.close()
        dns.stop()
        return world

    return asyncio.run(main())


@pytest.mark.parametrize("leave", [answers, pings])
def test_a_connection_is_kept_over_answers_of_several_frames(tmp_path: Path, leave: Callable[..., None]) -> None:
    world = probed(tmp_path, leave)
    assert world.memory.failures == []
    assert world.memory.reopenings == 0
    assert world.answered >= len(world.memory.ok) >= 8


@pytest.mark.parametrize(
    "leave",
    [
        goes_away_between_requests,
        goes_away_before_the_request,
        goes_away_but_answers_what_it_began,
        shuts_down,
    ],
)
def test_a_server_that_says_it_goes_away_is_left_and_counted_apart(tmp_path: Path, leave: Callable[..., None]) -> None:
    world = probed(tmp_path, leave)
    assert world.memory.failures == []
    assert world.memory.reopenings == 1


def test_a_refused_stream_was_never_begun(tmp_path: Path) -> None:
    world = probed(tmp_path, refuses_the_stream)
    assert (world.memory.failures, world.memory.reopenings) == ([], 1)


def test_who_is_sent_elsewhere_by_every_server_has_no_answer(tmp_path: Path) -> None:
    failures = probed(tmp_path, shuts_down, next_leaves=True).memory.failures
    assert len(failures) == 1
    assert (failures[0].phase, "on a new connection as well" in failures[0].detail) == ("answer", True)


@pytest.mark.parametrize(
    ("leave", "phase", "detail"),
    [
        (goes_away_and_drops_what_it_began, "answer", "after the request 3 was sent, before any byte"),
        (ends_without_a_word, "answer", "after the request 3 was sent, before any byte"),
        (fails_within, "answer", "HTTP/2 error 2"),
        (says_unavailable, "status", "503, wanted 200"),
        (talks_nonsense, "answer", "malformed"),
    ],
)
def test_what_a_server_began_and_did_not_answer_is_a_failure(
    tmp_path: Path, leave: Callable[..., None], phase: str, detail: str
) -> None:
    failures = probed(tmp_path, leave).memory.failures
    assert len(failures) == 1
    assert failures[0].phase == phase
    assert detail in failures[0].detail
