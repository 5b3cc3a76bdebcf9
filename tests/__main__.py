"""`python -m tests`: everything CI runs, part by part, and one summary. Exit status 0 only if every part passed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lab.environment import REPOSITORY

WORKERS = 4
"""Twice the cores of the smallest machine: half the time goes into waiting for etcd, the engine and machines."""
PURE_ONES = "not rehearsal and not thorough"
WHOLE_FILES = ("--dist", "loadfile")
"""A file's tests to one worker: what they share (a legacy cluster, a program's declarations) is built once."""
PATIENT = ("--timeout", "400")
"""Seconds a test: with four workers on two processors some wait long for their turn."""
PURE = ("tests/unit", "tests/transitions")
"""Nothing in these runs a lab."""
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
    """A command of the run; passed if it exits with 0."""

    name: str
    command: Sequence[str]


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
    Part("pure tests", (*PYTEST, "-q", "-n", str(WORKERS), *WHOLE_FILES, *PATIENT, "-m", PURE_ONES, *SLOWEST, *PURE)),
    # By itself, since it measures: whatever computes beside it makes a slow machine's answers late.
    Part("rehearsal", (*PYTEST, "-v", "-m", "rehearsal", *SLOWEST, *without(LONG), "tests/rehearsal")),
)


def run(parts: Sequence[Part]) -> list[Outcome]:
    """Runs each, also after one that failed: one run tells everything that is wrong."""
    outcomes: list[Outcome] = []
    for part in parts:
        print(f"\n=== {part.name} ===", flush=True)
        began = time.monotonic()
        status = _ended(subprocess.Popen(part.command, cwd=REPOSITORY))
        outcomes.append(Outcome(part, status, time.monotonic() - began))
    return outcomes


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
