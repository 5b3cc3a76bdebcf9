"""The prober's priority: taken where it is allowed, given back, and done without where it isn't."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from proof import priority

TELL = """
import os, threading
from proof.priority import as_others, prefer_this_process
had = prefer_this_process()
seen = []
thread = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(0)))
thread.start(); thread.join()
first = os.sched_getscheduler(0)
as_others()
print(had, first, seen[0], os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))
"""


def test_threads_have_it_too_and_it_is_given_back() -> None:
    said = subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True).stdout.split()
    scheduler, thread, after, nice = said[-4:]
    assert thread == scheduler
    assert (int(after), int(nice)) == (os.SCHED_OTHER, 0)
    if "real" in said[0]:
        assert int(scheduler) == os.SCHED_FIFO


def test_without_the_right_to_any_the_prober_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    assert priority.prefer_this_process() == ()
