"""The least HTTP/1.1 that an honest probe needs: when is an answer whole, and what did it say.

A general client costs several times the CPU of the request itself, and the prober must not be what starves
a two-core machine. Framing follows RFC 9112 §6.3: no body for 1xx/204/304, chunked, Content-Length, or
until the connection ends.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_HEAD = 64 * 1024


class MalformedAnswer(Exception):
    """The bytes are no HTTP/1.1 answer."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    body: bytes
    closes: bool
    """The server said that it ends the connection after this answer."""


class AnswerParser:
    """Feed bytes until `answer` is set. One parser is one answer."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self._buffer = bytearray()
        self._body = bytearray()
        self._status = 0
        self._closes = False
        self._head_done = False
        self._length: int | None = None
        self._chunk: int | None = None
        self._mode = ""

    @property
    def started(self) -> bool:
        return self._head_done or bool(self._buffer)

    @property
    def head_done(self) -> bool:
        return self._head_done

    def feed(self, data: bytes) -> bool:
        """Take bytes; true when the answer is whole. Raises MalformedAnswer."""
        self._buffer += data
        while not self._head_done:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > MAX_HEAD:
                    raise MalformedAnswer("the head is longer than 64 KiB")
                return False
            head = bytes(self._buffer[:end])
            del self._buffer[: end + 4]
            self._read_head(head)
        if self._mode == "length":
            return self._take_length()
        if self._mode == "chunked":
            return self._take_chunks()
        self._body += self._buffer
        self._buffer.clear()
        return False

    def end(self) -> bool:
        """The connection ended; true when that completes the answer (a body without length)."""
        if self.answer is None and self._head_done and self._mode == "until-end":
            self._closes = True
            return self._finish()
        return self.answer is not None

    def _read_head(self, head: bytes) -> None:
        status_line, *lines = head.split(b"\r\n")
        parts = status_line.split(b" ", 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
            raise MalformedAnswer(f"no status line: {status_line[:80]!r}")
        self._status = int(parts[1])
        headers: dict[bytes, bytes] = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                raise MalformedAnswer(f"no header: {line[:80]!r}")
            headers[name.strip().lower()] = value.strip().lower()
        if 100 <= self._status < 200:
            return
        self._head_done = True
        connection = headers.get(b"connection", b"")
        self._closes = b"close" in connection or (parts[0] == b"HTTP/1.0" and b"keep-alive" not in connection)
        if self._status in (204, 304):
            self._mode, self._length = "length", 0
        elif b"chunked" in headers.get(b"transfer-encoding", b""):
            self._mode = "chunked"
        elif b"content-length" in headers:
            if not headers[b"content-length"].isdigit():
                raise MalformedAnswer(f"Content-Length is {headers[b'content-length']!r}")
            self._mode, self._length = "length", int(headers[b"content-length"])
        else:
            self._mode = "until-end"

    def _take_length(self) -> bool:
        assert self._length is not None
        self._body += self._buffer
        self._buffer.clear()
        if len(self._body) > self._length:
            raise MalformedAnswer("more bytes than the answer's length")
        return len(self._body) == self._length and self._finish()

    def _take_chunks(self) -> bool:
        while True:
            if self._chunk is None:
                end = self._buffer.find(b"\r\n")
                if end < 0:
                    return False
                size = bytes(self._buffer[:end]).split(b";")[0].strip()
                try:
                    self._chunk = int(size, 16)
                except ValueError:
                    raise MalformedAnswer(f"chunk size {size[:20]!r}") from None
                del self._buffer[: end + 2]
            if self._chunk == 0:
                # Trailers end with an empty line; without trailers that line is all there is.
                if self._buffer[:2] == b"\r\n":
                    return self._finish()
                return self._buffer.find(b"\r\n\r\n") >= 0 and self._finish()
            if len(self._buffer) < self._chunk + 2:
                return False
            self._body += self._buffer[: self._chunk]
            del self._buffer[: self._chunk + 2]
            self._chunk = None

    def _finish(self) -> bool:
        self.answer = Answer(status=self._status, body=bytes(self._body), closes=self._closes)
        return True


def request_bytes(host: str, path: str, *, keep: bool) -> bytes:
    """The one request a probe sends; `host` as the Host header needs it (with a port that isn't the
    scheme's own).
    """
    connection = "keep-alive" if keep else "close"
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: proof\r\nAccept: */*\r\nConnection: {connection}\r\n\r\n"
    ).encode("ascii")
