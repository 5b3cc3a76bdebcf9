"""Probes against real servers on loopback, each of which misbehaves in one way."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proof.config import Kind, Place, ProbeRate, ProofConfig, Target
from proof.connect import open_connection
from proof.connection import Connection, Progress
from proof.prober import Address, Cell, Failure, Lateness, Prober, address_of
from proof.resolver import StubResolver, server_query
from tests.proof.servers import OK, OK_CLOSE, DnsServer, Exchange, Handler, HttpServer, certificates

NAME = "shop.apps.pet.lab.internal"
PERIOD = 0.02
PATIENT = 10.0
"""Time limit (s) where the limit is not what is tested: a busy machine must not fail these tests."""


@dataclass
class Memory:
    """A recorder that keeps everything."""

    due_at: list[float] = field(default_factory=list)
    ok: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    failed_seq: list[int] = field(default_factory=list)
    unsent: list[int] = field(default_factory=list)
    reopenings: int = 0
    cells: Counter[str] = field(default_factory=Counter)

    def due(self, cell: str, due: float, late_ms: float) -> None:
        self.due_at.append(due)
        self.cells[cell] += 1

    def answered(self, cell: str, due: float, ms: float, peer: str) -> None:
        self.ok.append(peer)

    def failed(self, cell: str, seq: int, due: float, failure: Failure) -> None:
        self.failures.append(failure)
        self.failed_seq.append(seq)

    def not_sent(self, cell: str, seq: int, due: float, late_ms: float) -> None:
        self.unsent.append(seq)

    def reopened(self, cell: str, due: float) -> None:
        self.reopenings += 1

    @property
    def settled(self) -> int:
        return len(self.ok) + len(self.failures) + len(self.unsent)


async def until(done: Callable[[], bool]) -> None:
    """Wait until it is so; the test's own time limit ends a wait in vain."""
    while not done():
        await asyncio.sleep(0.005)


def stub(dns: DnsServer, source: str | None = None) -> StubResolver:
    return StubResolver(server_query(dns.address, source))


@asynccontextmanager
async def world(handler: Handler | None = None) -> AsyncIterator[tuple[HttpServer, DnsServer]]:
    server = await HttpServer(handler).start()
    dns = await DnsServer({NAME: (["127.0.0.1"], 60)}).start()
    try:
        yield server, dns
    finally:
        await server.stop()
        dns.stop()


def cell_for(
    address: Address,
    dns: DnsServer,
    recorder: Memory,
    kind: Kind,
    timeout: float = PATIENT,
    period: float = PERIOD,
) -> Cell:
    place = Place(name="old", source_address="127.10.0.10", resolver=dns.address)
    return Cell(
        place=place,
        kind=kind,
        address=address,
        resolver=stub(dns, place.source_address),
        recorder=recorder,
        lateness=Lateness(),
        period_s=period,
        timeout_s=timeout,
        max_late_s=period,
    )


def make_cell(server: HttpServer, dns: DnsServer, recorder: Memory, kind: Kind, timeout: float = PATIENT) -> Cell:
    return cell_for(address_of(Target(url=f"http://{NAME}:{server.port}/"), None), dns, recorder, kind, timeout)


async def probe(kind: Kind, handler: Handler | None, count: int, timeout: float = PATIENT) -> Memory:
    """`count` requests of one kind against a server that behaves like `handler`."""
    memory = Memory()
    async with world(handler) as (server, dns):
        cell = make_cell(server, dns, memory, kind, timeout)
        cell.start(asyncio.get_running_loop().time())
        await until(lambda: len(memory.due_at) - len(memory.unsent) >= count)
        cell.stop()
        await cell.drain()
    assert memory.settled == len(memory.due_at)
    return memory


def on(nth: int, odd: Callable[[Exchange], Awaitable[None]]) -> Handler:
    """Behave, but for the nth request on each connection."""

    async def handler(exchange: Exchange) -> None:
        await (odd(exchange) if exchange.nth == nth else exchange.send(OK))

    return handler


async def resets_within_the_answer(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await asyncio.sleep(0.005)
    exchange.reset()


async def ends_without_an_answer(exchange: Exchange) -> None:
    exchange.end()


async def answers_then_closes(exchange: Exchange) -> None:
    await exchange.send(OK)
    exchange.end()


async def answers_then_resets(exchange: Exchange) -> None:
    await exchange.send(OK)
    await asyncio.sleep(0.001)
    exchange.reset()


async def announces_the_end(exchange: Exchange) -> None:
    await exchange.send(OK_CLOSE)
    exchange.end()


async def never_answers(exchange: Exchange) -> None:
    await asyncio.sleep(30)


async def stalls_within_the_body(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await asyncio.sleep(30)


async def says_unavailable(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")


@pytest.mark.parametrize("kind", ["ingress_fresh", "ingress_kept"])
def test_a_server_that_behaves_fails_no_probe(kind: Kind) -> None:
    memory = asyncio.run(probe(kind, None, 20))
    assert (memory.failures, memory.reopenings) == ([], 0)


def test_requests_are_due_at_start_plus_n_periods() -> None:
    due = asyncio.run(probe("ingress_fresh", None, 10)).due_at
    assert due == pytest.approx([due[0] + n * PERIOD for n in range(len(due))])


@pytest.mark.parametrize(
    ("kind", "handler", "phase", "detail"),
    [
        ("ingress_fresh", on(1, resets_within_the_answer), "body", "reset by the server before the last byte"),
        ("ingress_kept", on(2, resets_within_the_answer), "body", "reset by the server before the last byte"),
        ("ingress_kept", on(2, ends_without_an_answer), "answer", "closed by the server after the request 2 was sent"),
        ("ingress_fresh", on(1, never_answers), "answer", "no last byte within 0.3 s"),
        ("ingress_kept", on(2, stalls_within_the_body), "body", "no last byte within 0.3 s"),
        ("ingress_kept", on(2, says_unavailable), "status", "503, wanted 200: busy"),
    ],
)
def test_what_goes_wrong_within_a_request_is_a_failure(kind: Kind, handler: Handler, phase: str, detail: str) -> None:
    timeout = 0.3 if "no last byte" in detail else PATIENT
    memory = asyncio.run(probe(kind, handler, 6, timeout))
    assert any(failure.phase == phase and detail in failure.detail for failure in memory.failures)


@pytest.mark.parametrize("ending", [answers_then_closes, answers_then_resets, announces_the_end])
def test_a_kept_connection_that_ends_between_requests_is_reopened_and_counted_apart(
    ending: Callable[[Exchange], Awaitable[None]],
) -> None:
    memory = asyncio.run(probe("ingress_kept", on(3, ending), 12))
    assert memory.failures == []
    assert memory.reopenings >= 2


@pytest.mark.parametrize("kind", ["ingress_fresh", "ingress_kept"])
def test_a_kept_connection_is_kept_and_a_fresh_one_is_not(kind: Kind) -> None:
    async def main() -> tuple[int, int]:
        memory = Memory()
        async with world() as (server, dns):
            cell = make_cell(server, dns, memory, kind)
            cell.start(asyncio.get_running_loop().time())
            await until(lambda: len(memory.ok) >= 12)
            cell.stop()
            await cell.drain()
            return len(server.peers), len(memory.ok)

    connections, answers = asyncio.run(main())
    if kind == "ingress_fresh":
        assert connections == answers
    else:
        # One, and another beside it where an answer took longer than a period.
        assert connections < answers / 2


def test_a_slow_answer_delays_no_other_request() -> None:
    async def slow_once(exchange: Exchange) -> None:
        if exchange.connection == 1 and exchange.nth == 2:
            await asyncio.sleep(PERIOD * 5)
        await exchange.send(OK)

    memory = asyncio.run(probe("ingress_kept", slow_once, 20))
    assert memory.failures == []
    assert len(memory.ok) + len(memory.unsent) == len(memory.due_at)


def test_a_server_that_disappears_fails_every_probe_until_it_is_back() -> None:
    async def main() -> Memory:
        memory = Memory()
        async with world() as (server, dns):
            cells = [make_cell(server, dns, memory, kind) for kind in ("ingress_fresh", "ingress_kept")]
            for cell in cells:
                cell.start(asyncio.get_running_loop().time())
            await until(lambda: len(memory.ok) >= 6)
            assert memory.failures == []
            await server.stop()
            await until(lambda: len(memory.failures) >= 8)
            good = len(memory.ok)
            await server.start()
            await until(lambda: len(memory.ok) >= good + 8)
            bad = len(memory.failures)
            await until(lambda: len(memory.ok) >= good + 16)
            assert len(memory.failures) == bad
            for cell in cells:
                cell.stop()
                await cell.drain()
        return memory

    memory = asyncio.run(main())
    assert {(failure.phase, failure.detail.split(": ")[1]) for failure in memory.failures} >= {("connect", "refused")}


def test_what_a_late_prober_does_not_send_is_told_apart_with_its_lateness() -> None:
    async def main() -> Memory:
        memory = Memory()
        async with world() as (server, dns):
            cell = make_cell(server, dns, memory, "ingress_fresh")
            cell.start(asyncio.get_running_loop().time())
            await until(lambda: len(memory.ok) >= 3)
            # The prober itself is starved, which no server can be blamed for.
            time.sleep(PERIOD * 6)
            await until(lambda: bool(memory.unsent) and len(memory.ok) >= 6)
            cell.stop()
            await cell.drain()
        return memory

    memory = asyncio.run(main())
    assert len(memory.unsent) >= 3
    assert memory.settled == len(memory.due_at)
    assert memory.due_at == sorted(memory.due_at)


def test_an_answer_waited_for_while_the_prober_was_late_is_nobodys_and_a_refusal_is_the_servers() -> None:
    async def stalls(exchange: Exchange) -> None:
        if exchange.connection > 3:
            time.sleep(PERIOD * 4)  # server and prober share this loop: both stand still
            await asyncio.sleep(1.0)
        await exchange.send(OK)

    late = asyncio.run(probe("ingress_fresh", stalls, 5, timeout=PERIOD * 3))
    waited = [failure for failure in late.failures if failure.detail.startswith("no last byte")]
    assert waited
    assert all(failure.starved for failure in waited)
    slow = asyncio.run(probe("ingress_fresh", never_answers, 3, timeout=0.3))
    assert any(not failure.starved for failure in slow.failures)

    async def refuses(exchange: Exchange) -> None:
        time.sleep(PERIOD * 4)
        exchange.reset()

    refused = asyncio.run(probe("ingress_fresh", refuses, 5))
    assert refused.failures
    assert not any(failure.starved for failure in refused.failures)


def test_every_place_asks_and_connects_from_its_own_address_and_only_while_it_is_active() -> None:
    async def main() -> None:
        memory = Memory()
        async with world() as (server, dns):
            old = Place(name="old", source_address="127.10.0.10", resolver=dns.address)
            new = Place(name="new", source_address="127.30.0.10", resolver=dns.address)
            config = ProofConfig(places=[old], probe=ProbeRate(rate_hz=50), writer=None)
            addresses = {"ingress": address_of(Target(url=f"http://{NAME}:{server.port}/"), None)}
            prober = Prober(config, addresses, memory)

            def resolver(place: Place) -> StubResolver:
                return stub(dns, place.source_address)

            waiting = new.model_copy(update={"active": False})
            assert prober.set_places([old, waiting], resolver) == (["old"], [])
            await until(lambda: len(memory.ok) >= 6)
            assert {cell.split("/")[0] for cell in memory.cells} == {"old"}
            assert prober.set_places([old, new], resolver) == (["new"], [])
            await until(lambda: memory.cells["new/ingress_kept"] >= 3)
            assert prober.set_places([new], resolver) == ([], ["old"])
            counted = memory.cells["old/ingress_fresh"]
            more = memory.cells["new/ingress_fresh"] + 3
            await until(lambda: memory.cells["new/ingress_fresh"] >= more)
            assert memory.cells["old/ingress_fresh"] == counted
            await prober.stop()
            assert memory.settled == len(memory.due_at)
            assert set(server.peers) == {"127.10.0.10", "127.30.0.10"}
            assert {asker for _, asker in dns.asked} == {"127.10.0.10", "127.30.0.10"}

    asyncio.run(main())


def test_a_certificate_of_another_authority_fails_the_probe(tmp_path: Path) -> None:
    async def main() -> Memory:
        memory = Memory()
        ca, tls = certificates(tmp_path, NAME)
        server = await HttpServer(tls=tls).start()
        dns = await DnsServer({NAME: (["127.0.0.1"], 60)}).start()
        for context in (ssl.create_default_context(cafile=str(ca)), ssl.create_default_context()):
            address = address_of(Target(url=f"https://{NAME}:{server.port}/readyz"), context)
            cell = cell_for(address, dns, memory, "api_fresh", timeout=5)
            cell.start(asyncio.get_running_loop().time())
            await until(lambda: len(memory.due_at) >= 2)
            cell.stop()
            await cell.drain()
            memory.due_at.clear()
        await server.stop()
        dns.stop()
        return memory

    memory = asyncio.run(main())
    assert len(memory.ok) >= 2
    assert {failure.phase for failure in memory.failures} == {"tls"}
    assert "certificate refused" in memory.failures[0].detail


def test_a_connection_given_up_at_any_moment_leaves_the_next_ones_alone_and_ends(tmp_path: Path) -> None:
    async def main() -> None:
        ca, tls = certificates(tmp_path, NAME)
        context = ssl.create_default_context(cafile=str(ca))
        secure, plain = await HttpServer(tls=tls).start(), await HttpServer().start()

        async def connect(server: HttpServer, progress: Progress) -> Connection:
            own = context if server is secure else None
            return await open_connection(
                "127.0.0.1", server.port, source=None, tls=own, server_name=NAME, progress=progress
            )

        for turns in range(12):
            progress = Progress()
            task = asyncio.create_task(connect(secure, progress))
            while progress.phase != "tls":
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
            if isinstance(outcome, Connection):
                outcome.abort()
            # The next sockets may get the same number at once.
            for connection in await asyncio.gather(*(connect(plain, Progress()) for _ in range(3))):
                connection.close()
        await asyncio.sleep(0.3)  # a handshake that went on by itself has come to its end now
        await until(lambda: secure.open == plain.open == 0)
        await secure.stop()
        await plain.stop()

    asyncio.run(main())


def test_a_fault_of_the_prober_itself_is_a_failure_of_its_own_kind() -> None:
    class Broken(StubResolver):
        async def address(self, name: str) -> str:
            raise RuntimeError("a mistake")

    async def main() -> Memory:
        memory = Memory()
        async with world() as (server, dns):
            cell = make_cell(server, dns, memory, "ingress_fresh")
            cell._resolver = Broken(server_query(dns.address, None))
            cell.start(asyncio.get_running_loop().time())
            await until(lambda: bool(memory.failures))
            cell.stop()
            await cell.drain()
        return memory

    failure = asyncio.run(main()).failures[0]
    assert (failure.phase, failure.detail) == ("prober", "RuntimeError: a mistake")
