"""Where a plugin writes when it only waited, for who measures what an `up` takes beside: `LAB_PLUGIN_WAITS`, a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

VARIABLE = "LAB_PLUGIN_WAITS"


def note(kind: str, name: str, begin: float, end: float) -> None:
    """Of a resource's type and name, from `begin` to `end` (epoch seconds); nothing unless somebody measures."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    # One write of one line, appended: other threads' lines stay whole.
    with Path(path).open("a") as sink:
        sink.write(json.dumps({"type": kind, "name": name, "begin": begin, "end": end}) + "\n")
