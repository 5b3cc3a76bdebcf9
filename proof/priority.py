"""The prober must not starve with what it watches, or a busy machine looks like an outage.

It runs before everything else where that is allowed: in real time (sched(7), SCHED_FIFO), which takes CAP_SYS_NICE.
That is fair with a fifth of one core, and the kernel keeps some time from it in any case (`sched_rt_runtime_us`).
Threads inherit it: one that held the interpreter's lock at a lower priority would hold up the probes.

Otherwise niceness. Alone it isn't always enough: with autogrouping (sched(7), "The autogroup feature") it only counts
among processes of one session, and each session gets the same share. So a prober that leads its own session (started
with `start_new_session=True`, or by a service manager) asks for more for its group as well.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

NICE = -20
SWITCH_S = 0.001
"""How long a thread may hold the interpreter's lock while another waits for it (usually 5 ms)."""


def prefer_this_process() -> tuple[str, ...]:
    """Take the best priority that is allowed, before any thread is started; returns what was had."""
    sys.setswitchinterval(SWITCH_S)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_min(os.SCHED_FIFO)))
        return ("real time",)
    except (AttributeError, OSError):
        pass  # not Linux, or not allowed
    had: list[str] = []
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        had.append(f"nice {NICE}")
    except PermissionError:
        pass
    if os.getsid(0) == os.getpid():
        # Only a session of its own: the value is the whole session's.
        try:
            Path("/proc/self/autogroup").write_text(f"{NICE}\n")
            had.append(f"autogroup {NICE}")
        except OSError:
            pass
    return tuple(had)


def as_others() -> None:
    """Give the priority back, for all threads: what follows the probes (reading back, adding up) can wait its turn."""
    for task in Path("/proc/self/task").iterdir() if sys.platform == "linux" else ():
        with contextlib.suppress(OSError):
            os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, int(task.name), 0)
