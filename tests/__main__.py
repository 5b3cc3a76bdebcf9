"""`python -m tests`: everything CI runs, part by part, and one summary. Exit status 0 only if every part passed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import IO

from lab.environment import REPOSITORY
from lab.machines.processes import yield_to_others

WORKERS = 4
"""Twice the cores of the smallest machine: half the time goes into waiting for etcd, the engine and machines."""
PURE_WORKERS = 3
"""Beside a rehearsal, in the time that it leaves: most of theirs goes into waiting for etcd."""
PURE_ONES = "not rehearsal and not thorough"
WHOLE_FILES = ("--dist", "loadfile")
"""A file's tests to one worker: what they share (a legacy cluster, a program's declarations) is built once."""
PATIENT = ("--timeout", "400")
"""Seconds a test: what only gets the time that others leave may take several times as long."""
LOWEST = 19
"""The niceness of what only takes the time that others leave."""
PURE = ("tests/unit", "tests/transitions")
"""Nothing in these measures, or is hurt by waiting for a processor."""
# Commands of their own (`make help`), for the time they take.
LONG = (
    "tests/lab/plugins/test_size.py",
    "tests/lab/plugins/test_state_lost.py",
    "tests/lab/plugins/test_state_lost_everywhere.py",
    "tests/rehearsal/test_again.py",
    "tests/rehearsal/test_crash.py",
)
PYTEST = (sys.executable, "-m", "pytest")
SLOWEST = ("--durations=12", "--durations-min=10")
"""Whoever looks for time to save finds in CI's output where it went."""
INTERRUPTED = 130


def without(places: Sequence[str]) -> tuple[str, ...]:
    """pytest's options that leave test files or folders out."""
    return tuple(f"--ignore={name}" for name in places)


@dataclass(frozen=True)
class Part:
    """A command of the run; passed if it exits with 0.

    `beside`: another one that runs meanwhile, in the processor time that this one leaves; its output comes after.
    """

    name: str
    command: Sequence[str]
    beside: Part | None = None


@dataclass(frozen=True)
class Outcome:
    """How a part ended: its exit status (negative: by a signal), after how many seconds."""

    part: Part
    status: int
    seconds: float

    def __str__(self) -> str:
        told = "ok" if self.status == 0 else f"FAILED with exit status {self.status}: {' '.join(self.part.command)}"
        return f"{self.part.name:<12}{self.seconds:6.0f} s  {told}"


PARTS = (
    Part("lint", ("make", "--no-print-directory", "lint")),
    Part("tests", (*PYTEST, "-q", "-n", str(WORKERS), "-m", "not rehearsal", *SLOWEST, *without((*LONG, *PURE)))),
    # By itself but for what yields to it, since it measures.
    Part(
        "rehearsal",
        (*PYTEST, "-v", "-m", "rehearsal", *SLOWEST, *without(LONG), "tests/rehearsal"),
        beside=Part(
            "pure tests",
            (*PYTEST, "-q", "-n", str(PURE_WORKERS), *WHOLE_FILES, *PATIENT, "-m", PURE_ONES, *SLOWEST, *PURE),
        ),
    ),
)


def run(parts: Sequence[Part]) -> list[Outcome]:
    """Runs each, also after one that failed: one run tells everything that is wrong."""
    outcomes: list[Outcome] = []
    for part in parts:
        with ExitStack() as stack:
            beside = None
            if part.beside is not None:
                output = stack.enter_context(tempfile.TemporaryFile())
                beside = stack.enter_context(_Beside(part.beside, output))
            print(f"\n=== {part.name} ===", flush=True)
            began = time.monotonic()
            status = _ended(subprocess.Popen(part.command, cwd=REPOSITORY))
            outcomes.append(Outcome(part, status, time.monotonic() - began))
            if beside is not None:
                outcomes.append(beside.outcome())
    return outcomes


class _Beside(AbstractContextManager["_Beside"]):
    """A part that runs in a session of its own, with the lowest share, and is quiet until it is asked.

    Interrupted it ends what it has started, as one that is seen does.
    """

    def __init__(self, part: Part, output: IO[bytes]) -> None:
        self._part, self._output = part, output
        self._process = subprocess.Popen(
            ("nice", "-n", str(LOWEST), *part.command),
            cwd=REPOSITORY,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        yield_to_others(self._process.pid, LOWEST)

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            self._process.wait()

    def outcome(self) -> Outcome:
        """Wait for its end and print what it said. Seconds are those that it took longer than what it ran beside."""
        waited = time.monotonic()
        status = self._process.wait()
        print(f"\n=== {self._part.name}, beside it ===", flush=True)
        self._output.seek(0)
        shutil.copyfileobj(self._output, sys.stdout.buffer)
        sys.stdout.flush()
        return Outcome(self._part, status, time.monotonic() - waited)


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Its exit status. Ctrl-C reached it, too: it is given the time to end what it has started."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def summary(outcomes: Sequence[Outcome]) -> tuple[str, int]:
    """What to print last, and the exit status. Nothing run is not passed."""
    failed = [one.part.name for one in outcomes if one.status != 0]
    total = sum(one.seconds for one in outcomes)
    passed = bool(outcomes) and not failed
    last = f"{'ok' if passed else 'NOT OK'} after {total:.0f} s" + (f": {', '.join(failed)}" if failed else "")
    return "\n".join([*map(str, outcomes), last]), 0 if passed else 1


def main() -> int:
    """Exit status 0 only if every part passed, 130 after Ctrl-C."""
    try:
        text, status = summary(run(PARTS))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        return INTERRUPTED
    print(f"\n=== make test ===\n{text}", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
