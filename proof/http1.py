"""HTTP/1.1 as an honest probe needs it: when is an answer whole, and what did it say. The protocol is h11's."""

from __future__ import annotations

from dataclasses import dataclass

import h11

MAX_HEAD = 64 * 1024


class MalformedAnswer(Exception):
    """The bytes are no HTTP/1.1 answer."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    body: bytes
    closes: bool
    """The connection ends with this answer: the server said so, or the request did."""


class Exchange:
    """One request and its answer: send `request`, feed bytes until `answer` is set."""

    def __init__(self, head: h11.Request) -> None:
        self.answer: Answer | None = None
        self.started = False
        """A byte of the answer has come."""
        self.head_done = False
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._status = 0
        self._body = bytearray()
        self.request = (self._http.send(head) or b"") + (self._http.send(h11.EndOfMessage()) or b"")

    def feed(self, data: bytes) -> bool:
        """Take bytes; true when the answer is whole. Raises MalformedAnswer."""
        self.started = self.started or bool(data)
        return self._take(data)

    def end(self) -> bool:
        """The connection ended; true when that completes the answer (a body without length)."""
        try:
            return self.answer is not None or self._take(b"")
        except MalformedAnswer:
            return False

    def _take(self, data: bytes) -> bool:
        try:
            self._http.receive_data(data)
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Response):
                    self._status, self.head_done = event.status_code, True
                elif isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._finish()
                elif not isinstance(event, h11.InformationalResponse):
                    return self.answer is not None
        except h11.RemoteProtocolError as error:
            raise MalformedAnswer(str(error)) from None

    def _finish(self) -> None:
        if self._http.trailing_data[0]:
            raise MalformedAnswer("more bytes than the answer's length")
        closes = self._http.their_state is not h11.DONE
        self.answer = Answer(status=self._status, body=bytes(self._body), closes=closes)


def request_head(host: str, path: str, *, keep: bool, token: str | None = None) -> h11.Request:
    """The one request a probe sends; `host` as the Host header needs it (with a port that isn't the
    scheme's own).
    """
    headers = [("Host", host), ("User-Agent", "proof"), ("Accept", "*/*")]
    headers += [("Authorization", f"Bearer {token}")] if token else []
    return h11.Request(method="GET", target=path, headers=[*headers, ("Connection", "keep-alive" if keep else "close")])
