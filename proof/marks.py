"""Marks: moments somebody names while the proof runs ("stage 3 begin"), and the windows between them.

One line each, appended in one write to `marks.jsonl`, so that any process may add one without asking the
prober.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from proof.model import Window

FILE = "marks.jsonl"
PLACE = "place"
_EDGE = re.compile(r"^(?P<label>.+?)\s+(?P<edge>begin|end)$")


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A named moment, epoch seconds."""

    t: float
    text: str


def add(out: Path, text: str, at: float | None = None) -> None:
    """Append a mark. `stage 3 begin` / `stage 3 end`, `idle begin` / `idle end` delimit windows, `place new begin` /
    `place new end` the time in which probes from a place are due; other text is a note.
    """
    line = json.dumps({"t": round(time.time() if at is None else at, 3), "text": text.strip()}) + "\n"
    handle = os.open(out / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def read(out: Path) -> list[Mark]:
    """All marks in order of time; a torn last line is left out."""
    marks: list[Mark] = []
    try:
        text = (out / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return marks
    for line in text.splitlines():
        try:
            marks.append(Mark(**json.loads(line)))
        except ValueError:
            continue
    return sorted(marks, key=lambda mark: mark.t)


def windows(marks: list[Mark]) -> list[Window]:
    """Windows in order of their beginning. The same label may come several times (a stage that was repeated).

    A `begin` while a window of that label is open ends the open one first (its process died before the end
    mark).
    """
    done: list[Window] = []
    open_at: dict[str, float] = {}
    for mark in marks:
        found = _EDGE.match(mark.text)
        if found is None:
            continue
        label = found["label"]
        if label.split()[0] == PLACE:
            continue
        if label in open_at:
            done.append(Window(label=label, begin=open_at.pop(label), end=mark.t))
        if found["edge"] == "begin":
            open_at[label] = mark.t
    done += [Window(label=label, begin=at, end=None) for label, at in open_at.items()]
    return sorted(done, key=lambda window: window.begin)


def place_edges(marks: list[Mark]) -> list[tuple[float, str, bool]]:
    """When whoever runs the proof says that a place begins (true) or ends: time, name, which of the two."""
    found: list[tuple[float, str, bool]] = []
    for mark in marks:
        words = mark.text.split()
        if len(words) == 3 and words[0] == PLACE and words[2] in ("begin", "end"):
            found.append((mark.t, words[1], words[2] == "begin"))
    return found
