"""What a report says of the lab's own network where probes failed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from proof.model import FailedProbe, Summary
from rehearsal.held_up import held_up
from tests.listening import listening

FAILED = Summary(
    failures=(
        FailedProbe(
            cell="old/ingress_fresh", seq=1, t=0.0, phase="resolve", detail="no last byte within 1 s", peer=None,
            elapsed_ms=1000.0, loop_late_ms=0.0, window="stage 2", at="2026-01-01T00:00:00.00Z",
        ),
    )
)  # fmt: skip
STALL = b"held up for 1.30 s until 2026-01-01T00:00:01.000+00:00, at work itself for 0.10 s of them"


@contextmanager
def network(body: bytes) -> Iterator[str]:
    class Stats(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

    with listening(Stats) as url:
        yield url


def test_a_stall_of_the_labs_network_is_named_where_probes_failed_and_only_there() -> None:
    with network(b'{"stalls": ["' + STALL + b'"]}') as url:
        (said,) = held_up(url, FAILED)
        assert "held up 1 times" in said
        assert "1.30 s until" in said
        assert held_up(url, Summary()) == ()


def test_where_it_was_never_held_up_the_failures_have_another_cause() -> None:
    with network(b'{"stalls": []}') as url:
        assert held_up(url, FAILED) == ()


def test_a_network_that_cant_be_asked_or_says_nothing_of_it_is_named_too() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert "doesn't say" in held_up(gone, FAILED)[0]
    with network(b"{}") as url:
        assert "doesn't say" in held_up(url, FAILED)[0]
