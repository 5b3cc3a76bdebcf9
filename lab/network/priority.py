"""The network comes before everything else on the machine: what it stands for, AWS's routers, balancers and name
servers, has processors of its own, and none of them waits for the machines that send packets through it.

In real time (sched(7), SCHED_RR) where that is allowed, which takes CAP_SYS_NICE; the kernel keeps some time from it in
any case (`sched_rt_runtime_us`). Its threads inherit that: one that held the interpreter's lock at a lower priority
would hold up the packets. Elsewhere it stays as it is, and the rest of the lab yields to it by niceness.
"""

from __future__ import annotations

import contextlib
import os
import sys

SWITCH_S = 0.001
"""How long a thread may hold the interpreter's lock while another waits for it (usually 5 ms)."""


def prefer_this_process() -> None:
    """Call it before any thread is started."""
    sys.setswitchinterval(SWITCH_S)
    with contextlib.suppress(AttributeError, OSError):  # not Linux, or not allowed
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
