"""Open-loop probes: each cell (a kind at a place) has requests due at fixed times, whatever happened to
earlier ones.

A closed loop would wait out an outage and count it as one slow request. Here the time of request n is start
+ n × period; what the prober itself comes to too late isn't sent, and is a failure of its own kind ("not sent"): the
machine's, not the cluster's.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from proof.config import KINDS, LIVEZ, Kind, Livez, Place, ProofConfig, Target, listener_kind, listener_of
from proof.connect import open_connection
from proof.connection import Connection, NotProcessed, Phase, ProbeFailed, Progress, Request
from proof.datagram import ask_text
from proof.http1 import Answer, request_head
from proof.http2 import request_fields
from proof.identity import Answerer
from proof.resolver import NO_ANSWER, StubResolver

LIVEZ_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why one request failed. Times in milliseconds."""

    phase: Phase | str
    detail: str
    peer: str | None
    elapsed_ms: float
    loop_late_ms: float
    """The prober's own worst lateness while the request ran: near the time limit, the machine starved, not
    the service.
    """
    starved: bool = False
    """Time ran out while the prober itself was late beyond its limit: nobody can say whose time it was."""


class Recorder(Protocol):
    """Where results go. `due` is the request's time on the event loop's clock, seconds."""

    def due(self, cell: str, due: float, late_ms: float) -> None: ...
    def answered(self, cell: str, due: float, ms: float, peer: str) -> None: ...
    def failed(self, cell: str, seq: int, due: float, failure: Failure) -> None: ...
    def not_sent(self, cell: str, seq: int, due: float, late_ms: float) -> None: ...
    def reopened(self, cell: str, due: float) -> None: ...


class Lateness:
    """How late the event loop ran its timers recently: what tells a starved prober from a dropped request."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=512)

    def note(self, now: float, late_s: float) -> None:
        if late_s > 0.02:
            self._seen.append((now, late_s))

    def worst_ms(self, since: float) -> float:
        return round(max((late for at, late in self._seen if at >= since), default=0.0) * 1000, 1)


@dataclass(frozen=True, kw_only=True)
class Address:
    """A target taken apart once: nothing is parsed per request."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    tls_kept: ssl.SSLContext | None
    """For kept connections; may offer HTTP/2 as well."""
    expect: int
    fresh: Request
    kept: Request
    answerer: Answerer | None = None
    """Whose answers count; None doesn't look."""
    datagram: bool = False
    """A DNS server, asked by UDP."""


def address_of(
    target: Target,
    tls: ssl.SSLContext | None,
    tls_kept: ssl.SSLContext | None = None,
    *,
    path: str = "",
    token: str | None = None,
) -> Address:
    """A target with its TLS contexts; `path` instead of the URL's, `token` to show with each request."""
    parts = urlsplit(target.url)
    assert parts.hostname is not None
    default = {"https": 443, "dns": 53}.get(parts.scheme, 80)
    port = parts.port or default
    host = parts.hostname if port == default else f"{parts.hostname}:{port}"
    path = path or (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    fields = request_fields(host, path, token)
    return Address(
        host=parts.hostname,
        port=port,
        tls=tls if parts.scheme == "https" else None,
        tls_kept=(tls_kept or tls) if parts.scheme == "https" else None,
        expect=target.expect,
        fresh=Request(http1=request_head(host, path, keep=False, token=token), http2=fields),
        kept=Request(http1=request_head(host, path, keep=True, token=token), http2=fields),
        datagram=parts.scheme == "dns",
    )


class Cell:
    """One kind of probe at one place."""

    def __init__(
        self,
        *,
        place: Place,
        kind: Kind | Livez,
        address: Address,
        resolver: StubResolver,
        recorder: Recorder,
        lateness: Lateness,
        period_s: float,
        timeout_s: float,
        max_late_s: float,
    ) -> None:
        self.name = f"{place.name}/{kind}"
        self._source = place.source_address
        self._keep = not kind.endswith("_fresh")
        self._address = address
        self._resolver = resolver
        self._recorder = recorder
        self._lateness = lateness
        self._period = period_s
        self._timeout = timeout_s
        self._max_late = max_late_s
        self._idle: Connection | None = None
        self._ended_by_server = False
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._start = 0.0
        self._seq = 0

    def start(self, at: float) -> None:
        """Begin: request n is due at `at` + n × period on the loop's clock."""
        self._start = at
        self._seq = 0
        self._timer = asyncio.get_running_loop().call_at(at, self._tick)

    def stop(self) -> None:
        """Nothing is due from now on; requests under way finish (see `drain`)."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def drain(self) -> None:
        """Wait for the requests under way (each bounded by its own time) and close the kept connection."""
        if self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
        if self._idle is not None:
            self._idle.close()
            self._idle = None

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        seq, due = self._seq, self._start + self._seq * self._period
        self._seq += 1
        # Absolute times: a late tick delays nothing after it.
        self._timer = loop.call_at(self._start + self._seq * self._period, self._tick)
        late = now - due
        self._lateness.note(now, late)
        self._recorder.due(self.name, due, late * 1000)
        if late > self._max_late:
            self._recorder.not_sent(self.name, seq, due, late * 1000)
            return
        task = loop.create_task(self._probe(seq, due))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _probe(self, seq: int, due: float) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        progress = Progress()
        try:
            async with asyncio.timeout_at(begun + self._timeout):
                answer = await (self._kept(due, progress) if self._keep else self._fresh(progress))
            if answer.status != self._address.expect:
                progress.phase = "status"
                start = answer.body[:120].decode("utf-8", "replace").strip()
                raise ProbeFailed("status", f"{answer.status}, wanted {self._address.expect}: {start}")
            wrong = self._address.answerer.refuse(answer.body) if self._address.answerer is not None else None
            if wrong is not None:
                raise ProbeFailed("wrong answerer", wrong)
        except TimeoutError:
            self._note(seq, due, begun, progress, f"no last byte within {self._timeout:g} s", of_time=True)
        except ProbeFailed as error:
            progress.phase = error.phase
            self._note(seq, due, begun, progress, error.detail, of_time=error.detail.endswith(NO_ANSWER))
        except Exception as error:  # noqa: BLE001 - a fault of the prober's own must not pass for an answer
            progress.phase = "prober"
            self._note(seq, due, begun, progress, f"{type(error).__name__}: {error}")
        else:
            self._recorder.answered(self.name, due, (loop.time() - begun) * 1000, progress.peer or "")

    def _note(
        self, seq: int, due: float, begun: float, progress: Progress, detail: str, *, of_time: bool = False
    ) -> None:
        now = asyncio.get_running_loop().time()
        late_ms = self._lateness.worst_ms(begun - self._period)
        failure = Failure(
            phase=progress.phase,
            detail=detail,
            peer=progress.peer,
            elapsed_ms=round((now - begun) * 1000, 1),
            loop_late_ms=late_ms,
            starved=of_time and late_ms > self._max_late * 1000,
        )
        self._recorder.failed(self.name, seq, due, failure)

    async def _open(self, progress: Progress) -> Connection:
        progress.phase = "resolve"
        target = self._address
        ip = await self._resolver.address(target.host)
        tls = target.tls_kept if self._keep else target.tls
        return await open_connection(
            ip, target.port, source=self._source, tls=tls, server_name=target.host, progress=progress
        )

    @staticmethod
    async def _ask(connection: Connection, request: Request, progress: Progress) -> Answer:
        try:
            return await connection.request(request, progress)
        except BaseException:
            connection.abort()
            raise

    async def _fresh(self, progress: Progress) -> Answer:
        if self._address.datagram:
            return await self._by_datagram(progress)
        connection = await self._open(progress)
        answer = await self._ask(connection, self._address.fresh, progress)
        connection.close()
        return answer

    async def _by_datagram(self, progress: Progress) -> Answer:
        progress.phase = "resolve"
        target = self._address
        ip = await self._resolver.address(target.host)
        progress.phase, progress.peer = "answer", f"{ip}:{target.port}"
        body = await ask_text(target.host, ip, target.port, self._source)
        return Answer(status=target.expect, body=body, closes=True)

    async def _kept(self, due: float, progress: Progress) -> Answer:
        connection, self._idle = self._idle, None
        if connection is not None and not await connection.still_open():
            connection.close()
            connection, self._ended_by_server = None, True
        if connection is None:
            connection = await self._reopen(due, progress)
        try:
            answer = await self._ask(connection, self._address.kept, progress)
        except NotProcessed:
            # By the server's own word the connection had ended before this request.
            self._ended_by_server = True
            connection = await self._reopen(due, progress)
            try:
                answer = await self._ask(connection, self._address.kept, progress)
            except NotProcessed as error:
                raise ProbeFailed("answer", f"{error}, on a new connection as well") from None
        if connection.ended:
            self._ended_by_server = True
            connection.close()
        elif self._idle is None:
            self._idle = connection
        else:
            # While a slow answer held the kept connection, others were opened beside it, as a client's pool
            # does.
            connection.close()
        return answer

    async def _reopen(self, due: float, progress: Progress) -> Connection:
        if self._ended_by_server:
            self._recorder.reopened(self.name, due)
            self._ended_by_server = False
        return await self._open(progress)


class Prober:
    """All cells of all active places."""

    def __init__(self, config: ProofConfig, addresses: dict[str, Address], recorder: Recorder) -> None:
        self._probe = config.probe
        self._listeners = tuple(listener_kind(one.name) for one in config.listeners)
        self._addresses = addresses
        self._recorder = recorder
        self._lateness = Lateness()
        self._places: dict[str, tuple[Place, list[Cell]]] = {}
        self._ended: list[Cell] = []
        self._slots = 0

    @property
    def active(self) -> list[str]:
        return list(self._places)

    def set_places(self, places: list[Place], resolver_for: ResolverFor) -> tuple[list[str], list[str]]:
        """Start places that are new or have changed, stop those that are gone; returns (started, stopped)
        names.
        """
        wanted = {place.name: place for place in places if place.active}
        stopped = [name for name, (place, _) in self._places.items() if wanted.get(name) != place]
        for name in stopped:
            _, cells = self._places.pop(name)
            for cell in cells:
                cell.stop()
            self._ended += cells
        started = [name for name in wanted if name not in self._places]
        for name in started:
            self._places[name] = (wanted[name], self._start(wanted[name], resolver_for(wanted[name])))
        return started, stopped

    def _start(self, place: Place, resolver: StubResolver) -> list[Cell]:
        # From the next whole second of the loop's clock on, each cell in a slot of its own: twelve probes
        # at one instant would measure each other.
        second = math.floor(asyncio.get_running_loop().time()) + 1
        cells: list[Cell] = []
        for kind in (*KINDS, *self._listeners, LIVEZ):
            own = kind == LIVEZ or listener_of(kind) is not None
            address = self._addresses.get(kind if own else kind.split("_")[0])
            if address is None:
                continue
            period = LIVEZ_S if kind == LIVEZ else 1 / self._probe.rate_of(kind)
            cell = Cell(
                place=place,
                kind=kind,
                address=address,
                resolver=resolver,
                recorder=self._recorder,
                lateness=self._lateness,
                period_s=period,
                timeout_s=self._probe.timeout_of(kind),
                max_late_s=self._probe.max_late_s,
            )
            cell.start(second + period * (self._slots % 12) / 12)
            self._slots += 1
            cells.append(cell)
        return cells

    async def stop(self) -> None:
        """Nothing more is due; returns when every request under way has ended."""
        cells = [cell for _, group in self._places.values() for cell in group] + self._ended
        for cell in cells:
            cell.stop()
        self._places.clear()
        await asyncio.gather(*(cell.drain() for cell in cells))


class ResolverFor(Protocol):
    def __call__(self, place: Place) -> StubResolver: ...
