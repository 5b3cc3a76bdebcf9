"""Order of a whole run: pure tests first, then those that start the lab's processes, then the rehearsals."""

from __future__ import annotations

import pytest

from lab import interrupt


def pytest_configure() -> None:
    # In a shell's background job Ctrl-C is ignored, and children inherit that: tests that press it need it back.
    interrupt.install()


def _late(item: pytest.Item) -> int:
    parts = item.path.parts
    rehearsal = item.get_closest_marker("rehearsal")
    if rehearsal or "rehearsal" in parts:
        return 3 if rehearsal and rehearsal.kwargs.get("after_forward") else 2
    return 1 if item.get_closest_marker("lab") or "lab" in parts else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Stable: within a group, files stay together, as their fixtures want it.
    items.sort(key=_late)
