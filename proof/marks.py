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

FILE = "marks.jsonl"
_EDGE = re.compile(r"^(?P<label>.+?)\s+(?P<edge>begin|end)$")


@dataclass(frozen=True, kw_only=True)
class Window:
    """A named stretch of time, epoch seconds. `end` is None while it is open."""

    label: str
    begin: float
    end: float | None

    def holds(self, t: float) -> bool:
        return self.begin <= t and (self.end is None or t < self.end)


def add(out: Path, text: str, at: float | None = None) -> None:
    """Append a mark. `stage 3 begin` / `stage 3 end`, `idle begin` / `idle end` delimit windows; other text
    is a note.
    """
    line = json.dumps({"t": round(time.time() if at is None else at, 3), "text": text.strip()}) + "\n"
    handle = os.open(out / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def read(out: Path) -> list[dict[str, object]]:
    """All marks in order of time; a torn last line is left out."""
    marks: list[dict[str, object]] = []
    try:
        text = (out / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return marks
    for line in text.splitlines():
        try:
            marks.append(json.loads(line))
        except ValueError:
            continue
    return sorted(marks, key=lambda mark: float(str(mark["t"])))


def windows(marks: list[dict[str, object]]) -> list[Window]:
    """Windows in order of their beginning. The same label may come several times (a stage that was repeated).

    A `begin` while a window of that label is open ends the open one first (its process died before the end
    mark).
    """
    done: list[Window] = []
    open_at: dict[str, float] = {}
    for mark in marks:
        found = _EDGE.match(str(mark["text"]))
        if found is None:
            continue
        label, at = found["label"], float(str(mark["t"]))
        if label in open_at:
            done.append(Window(label=label, begin=open_at.pop(label), end=at))
        if found["edge"] == "begin":
            open_at[label] = at
    done += [Window(label=label, begin=at, end=None) for label, at in open_at.items()]
    return sorted(done, key=lambda window: window.begin)


def label_at(all_windows: list[Window], t: float) -> str | None:
    """The innermost (latest begun) window that holds `t`, or None between windows."""
    holding = [window for window in all_windows if window.holds(t)]
    return holding[-1].label if holding else None
