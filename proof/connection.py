"""One connection of a probe: opened from a place, asked one request at a time, closed or kept.

Failures carry the phase they happened in, because "no answer" means something else during connect than in a
body.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from dataclasses import dataclass
from typing import Literal

from proof.http1 import Answer, AnswerParser, MalformedAnswer

Phase = Literal["resolve", "connect", "tls", "answer", "body", "status", "prober"]


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


class Connection(asyncio.Protocol):
    """A client connection for HTTP/1.1. Use `open_connection`; not for use by two requests at once."""

    def __init__(self) -> None:
        self.peer = ""
        self.ended = False
        """The server has ended the connection, or sent bytes that nobody asked for."""
        self.answered = 0
        self._transport: asyncio.Transport | None = None
        self._parser: AnswerParser | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._fileno = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._fileno = transport.get_extra_info("socket").fileno()

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._waiter is None or self._waiter.done():
            self.ended = True
            self.abort()
            return
        try:
            whole = self._parser.feed(data)
        except MalformedAnswer as error:
            self.ended = True
            self._fail(ProbeFailed("answer", f"malformed: {error}"))
            return
        if whole:
            self._succeed()

    def eof_received(self) -> bool | None:
        self.ended = True
        if self._parser is not None and self._waiter is not None and not self._waiter.done():
            if self._parser.end():
                self._succeed()
            else:
                self._fail(self._cut_off("closed by the server"))
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._fail(self._cut_off("closed" if exc is None else describe(exc)))

    def _cut_off(self, how: str) -> ProbeFailed:
        parser = self._parser
        if parser is not None and parser.head_done:
            return ProbeFailed("body", f"{how} before the last byte")
        if parser is not None and parser.started:
            return ProbeFailed("answer", f"{how} within the answer's head")
        nth = "first request" if self.answered == 0 else f"request {self.answered + 1}"
        return ProbeFailed("answer", f"{how} after the {nth} was sent, before any byte of an answer")

    def _succeed(self) -> None:
        assert self._parser is not None and self._parser.answer is not None and self._waiter is not None
        self.answered += 1
        if self._parser.answer.closes:
            self.ended = True
        self._waiter.set_result(self._parser.answer)

    def _fail(self, error: ProbeFailed) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    async def request(self, payload: bytes, progress: Progress) -> Answer:
        """Send one request and wait for the last byte. Raises ProbeFailed; never retries."""
        assert self._transport is not None
        if self.ended:
            raise ProbeFailed("answer", "the connection had already ended")
        progress.phase = "answer"
        progress.peer = self.peer
        self._parser = AnswerParser()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(payload)
            return await self._waiter
        finally:
            if self._parser.head_done and self._parser.answer is None:
                progress.phase = "body"
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


async def open_connection(
    address: str,
    port: int,
    *,
    source: str | None,
    tls: ssl.SSLContext | None,
    server_name: str,
    progress: Progress,
) -> Connection:
    """Connect from `source` to exactly this address; no second address is tried. Raises ProbeFailed."""
    loop = asyncio.get_running_loop()
    progress.phase = "connect"
    progress.peer = f"{address}:{port}"
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if source is not None:
            sock.bind((source, 0))
        await loop.sock_connect(sock, (address, port))
    except OSError as error:
        sock.close()
        raise ProbeFailed("connect", f"{address}:{port}: {describe(error)}") from None
    except BaseException:
        sock.close()
        raise
    if tls is not None:
        progress.phase = "tls"
    # From here on the transport owns the socket and closes it, also when it fails: closing it here as well would
    # free its number while the loop still knows it, and the next connection would get that number.
    try:
        if tls is None:
            _, connection = await loop.create_connection(Connection, sock=sock)
        else:
            _, connection = await loop.create_connection(
                Connection, sock=sock, ssl=tls, server_hostname=server_name, ssl_shutdown_timeout=2.0
            )
    except OSError as error:  # ssl.SSLError is one
        raise ProbeFailed(progress.phase, f"{address}:{port}: {describe(error)}") from None
    connection.peer = f"{address}:{port}"
    return connection


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
