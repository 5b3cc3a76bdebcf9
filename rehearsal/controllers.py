"""Whether the controllers that users run got through a migration: real ones, where the lab has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from lab import controllers
from lab.controllers import EXTERNAL_DNS

Spans = Sequence[tuple[datetime, datetime]]
"""Beginning and end of each stage, UTC."""


def outlasted(directory: Path, spans: Spans) -> list[str]:
    """A sentence for each kind of error that one of them told of in a stage and still after it.

    Raises FileNotFoundError where none of them has a log.
    """
    return [
        f"{one.controller} told of an error {one.count} times, from {one.first:%H:%M:%S} to {one.last:%H:%M:%S} UTC, "
        f"and so for longer than a stage: {one.kind}"
        for one in controllers.outlasting(controllers.errors(directory), spans)
    ]


def silent_since(directory: Path, since: datetime) -> list[str]:
    """A sentence where external-dns, which says in each of its rounds what it did, has said nothing after `since`."""
    texts = [path.read_text(errors="replace") for name, path in controllers.logs(directory) if name == EXTERNAL_DNS]
    if any(at > since for text in texts for at in controllers.rounds(text.splitlines())):
        return []
    return [f"{EXTERNAL_DNS} has said nothing since it was resumed at {since:%H:%M:%S} UTC"]
