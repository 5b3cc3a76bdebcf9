"""Order of a whole run: pure tests first, then those that start the lab's processes, then the rehearsals.

On several workers (`-n 4`) a file stays on one, as its fixtures want it, and so do the files that share fixed ports.
There the long ones come first, so that no worker is left alone with them at the end.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from lab import interrupt

SHARING = {
    # No port: what each stage declares, which is run once for all.
    "tests/transitions/": "the stages' declarations",
    "tests/lab/plugins/test_program.py": "the stages' declarations",
    # One world of fixed addresses, LAB_INDEX 7.
    "tests/lab/network/": "the network's addresses",
    "tests/lab/machines/test_confinement.py": "the network's addresses",
    # They take the highest LAB_INDEX that is free.
    "tests/lab/aws/test_process.py": "a lab's ports",
    "tests/toolchain/test_up.py": "a lab's ports",
}
"""What stays on one worker, by the beginning of its path: files of the same word never run at the same time."""

ONE_BY_ONE = tuple(f"tests/unit/etcd/test_{name}" for name in ("swap", "volume_swap", "set_swap"))
"""The beginning of files of tests that share nothing, and mostly wait: each test may be on another worker."""


class ByFile(LoadScopeScheduling):
    """Hands out whole files, or all files that share something, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith(ONE_BY_ONE):
            return nodeid
        return next((shared for place, shared in SHARING.items() if file.startswith(place)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_configure() -> None:
    # In a shell's background job Ctrl-C is ignored, and children inherit that: tests that press it need it back.
    interrupt.install()


def _late(item: pytest.Item) -> int:
    parts = item.path.parts
    rehearsal = item.get_closest_marker("rehearsal")
    if rehearsal or "rehearsal" in parts:
        return 3 if rehearsal and rehearsal.kwargs.get("after_forward") else 2
    return 1 if item.get_closest_marker("lab") or "lab" in parts else 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Stable, also in reverse: within a group, files stay together, as their fixtures want it.
    items.sort(key=_late, reverse=hasattr(config, "workerinput"))
