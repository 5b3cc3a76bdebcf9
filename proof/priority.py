"""The prober must not starve with what it watches, or a busy machine looks like an outage.

Niceness alone is not always enough: with autogrouping (sched(7), "The autogroup feature") it only counts among
processes of one session, and each session gets the same share. So a prober that leads its own session (started with
`start_new_session=True`, or by a service manager) asks for more for its group as well.
"""

from __future__ import annotations

import os
from pathlib import Path

NICE = -5


def prefer_this_process() -> list[str]:
    """Take a little more than the rest where that is allowed (it needs privileges); returns what was had."""
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
    return had
