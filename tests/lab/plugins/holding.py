"""AWS with a hand on the door: an answer that was asked for is kept back until it is let go."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from threading import Event
from urllib.parse import urlsplit

from tests.listening import listening

_OWN = {"transfer-encoding", "content-length", "connection"}


@dataclass
class Holding:
    """`what` is text of a request, as ``Action=CreateVpc``: it is done, but its answer waits for `let_go`.

    With `never` it isn't done at all.
    """

    url: str
    what: str = "\0"
    never: bool = False
    came: Event = field(default_factory=Event)
    let_go: Event = field(default_factory=Event)


@contextmanager
def holding(upstream: str) -> Iterator[Holding]:
    """A proxy in front of the AWS at `upstream`."""
    where = urlsplit(upstream)
    assert where.hostname is not None

    class Door(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            meant = found.what.encode() in body or found.what in self.path
            if meant and found.never:
                found.came.set()
                found.let_go.wait(60)
                self.close_connection = True
                return
            upstream = http.client.HTTPConnection(where.hostname or "", where.port or 80, timeout=60)
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            if meant:
                found.came.set()
                found.let_go.wait(60)
            # Whoever asked may be gone by now.
            with suppress(OSError):
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in _OWN:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _pass_on

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with listening(Door) as url:
        found = Holding(url)
        try:
            yield found
        finally:
            found.let_go.set()
