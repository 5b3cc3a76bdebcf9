"""One connection of a probe: asked one request at a time, closed or kept.

Failures carry the phase they happened in, because "no answer" means something else during connect than in a
body.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from dataclasses import dataclass
from typing import Literal

import h11

from proof.http1 import Answer, Exchange, MalformedAnswer

Phase = Literal["resolve", "connect", "tls", "answer", "body", "status", "wrong answerer", "prober"]


class ProbeFailed(Exception):
    """A request that did not get its answer."""

    def __init__(self, phase: Phase, detail: str) -> None:
        super().__init__(f"{phase}: {detail}")
        self.phase: Phase = phase
        self.detail = detail


@dataclass
class Progress:
    """How far a request has come; read when its time is up."""

    phase: Phase = "resolve"
    peer: str | None = None


class NotProcessed(Exception):
    """The server says that it never began this request: the connection had ended before it."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One GET, in the form each protocol takes it."""

    http1: h11.Request
    http2: tuple[tuple[str, str], ...]


class Connection(asyncio.Protocol):
    """A client connection, whichever protocol it speaks. Use `open_connection`; one request at a time."""

    def __init__(self) -> None:
        self.peer = ""
        self.ended = False
        """The server has ended the connection, or said that it will, or sent bytes that nobody asked for."""
        self.answered = 0
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._fileno = -1

    def _send(self, request: Request) -> None:
        """Begin a request."""
        raise NotImplementedError

    def _reached(self) -> Phase:
        """How far the answer has come: "answer" until its head is whole, then "body"."""
        raise NotImplementedError

    def _started(self) -> bool:
        """Whether any byte of the answer has come."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._fileno = transport.get_extra_info("socket").fileno()

    def eof_received(self) -> bool | None:
        self.ended = True
        self._fail(self._cut_off("closed by the server"))
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._fail(self._cut_off("closed" if exc is None else describe(exc)))

    @property
    def _waiting(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _cut_off(self, how: str) -> ProbeFailed:
        if self._reached() == "body":
            return ProbeFailed("body", f"{how} before the last byte")
        if self._started():
            return ProbeFailed("answer", f"{how} within the answer's head")
        nth = "first request" if self.answered == 0 else f"request {self.answered + 1}"
        return ProbeFailed("answer", f"{how} after the {nth} was sent, before any byte of an answer")

    def _succeed(self, answer: Answer) -> None:
        assert self._waiter is not None
        self.answered += 1
        if answer.closes:
            self.ended = True
        self._waiter.set_result(answer)

    def _fail(self, error: ProbeFailed | NotProcessed) -> None:
        if self._waiting:
            assert self._waiter is not None
            self._waiter.set_exception(error)

    async def request(self, request: Request, progress: Progress) -> Answer:
        """Send one request and wait for the last byte; never retries.

        Raises ProbeFailed, or NotProcessed where the server says so itself (HTTP/2 only).
        """
        assert self._transport is not None
        if self.ended:
            raise ProbeFailed("answer", "the connection had already ended")
        progress.phase = "answer"
        progress.peer = self.peer
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            self._send(request)
            return await self._waiter
        finally:
            if not self._waiter.done() or self._waiter.cancelled():
                progress.phase = self._reached()
            self._waiter = None

    async def still_open(self) -> bool:
        """False when the server ended the connection since the last answer.

        What the kernel has already received counts: an end that arrived before this request is an end
        *between* requests, even when the event loop has not come round to reading it.
        """
        if self.ended or self._transport is None or self._transport.is_closing():
            return False
        if select.select([self._fileno], [], [], 0)[0]:
            for _ in range(3):  # read it, hand it on through TLS, tell the protocol: one turn of the loop each
                await asyncio.sleep(0)
        return not self.ended

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Http1Connection(Connection):
    """HTTP/1.1: what ends before its answer is cut off, and nobody can say whether it was begun."""

    def __init__(self) -> None:
        super().__init__()
        self._exchange: Exchange | None = None

    def _send(self, request: Request) -> None:
        assert self._transport is not None
        self._exchange = Exchange(request.http1)
        self._transport.write(self._exchange.request)

    def _reached(self) -> Phase:
        return "body" if self._exchange is not None and self._exchange.head_done else "answer"

    def _started(self) -> bool:
        return self._exchange is not None and self._exchange.started

    def data_received(self, data: bytes) -> None:
        if self._exchange is None or not self._waiting:
            self.ended = True
            self.abort()
            return
        try:
            whole = self._exchange.feed(data)
        except MalformedAnswer as error:
            self.ended = True
            self._fail(ProbeFailed("answer", f"malformed: {error}"))
            return
        if whole:
            self._finish()

    def eof_received(self) -> bool | None:
        if self._exchange is not None and self._waiting and self._exchange.end():
            self._finish()
        return super().eof_received()

    def _finish(self) -> None:
        assert self._exchange is not None and self._exchange.answer is not None
        self._succeed(self._exchange.answer)


def describe(error: BaseException) -> str:
    """An error in a few words, the same for the same cause (so that reports can count them)."""
    if isinstance(error, ConnectionResetError):
        return "reset by the server"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, BrokenPipeError):
        return "broken pipe"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
