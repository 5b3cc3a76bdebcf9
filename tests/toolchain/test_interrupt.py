from __future__ import annotations

import subprocess
import sys

from lab.environment import REPOSITORY

LOST_IN_A_FINALIZER = """
import os, signal
from lab import interrupt
interrupt.install()

class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000): pass  # the handler runs here, where what it raises is printed and forgotten

Dying()
print("went on", flush=True)
for _ in range(2):
    try:
        interrupt.check()
        print("nothing pressed")
    except KeyboardInterrupt:
        print("pressed")
"""


def test_an_interrupt_that_python_drops_is_found_by_the_next_check_and_once_only() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOST_IN_A_FINALIZER], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["went on", "pressed", "nothing pressed"]
    assert "ignored" in done.stderr


def test_who_was_started_to_ignore_it_keeps_ignoring_it_and_its_children_do_not() -> None:
    script = (
        "import os, signal, subprocess, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from lab import interrupt\ninterrupt.install()\nos.kill(os.getpid(), signal.SIGINT)\n"
        "interrupt.check()\nprint('unmoved', flush=True)\n"
        "subprocess.run([sys.executable, '-c', 'import signal; print(signal.getsignal(signal.SIGINT).__name__)'])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["unmoved", "default_int_handler"]
