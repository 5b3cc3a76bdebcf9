"""The lab's named processes: started in the background, found again, and ended by id.

A pid file holds pid *and* start time, so that a pid the kernel gave to somebody else is never ended. Stdlib only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lab.machines.processes import Identity, end, spawn

MARK = "LAB_PROCESS"
"""Set for what `start` starts: `LAB_DIR` alone also stands in the shell of a person who evaluated `lab env`."""

MARKS = (MARK, "LAB_INSTANCE", "LAB_MACHINE_IP")
"""One of these, beside `LAB_DIR`, tells a process of the lab (machines' processes get the latter two)."""

KILL_WAIT_S = 5.0
EXEC_S = 0.05
"""A process shows no environment for a moment while it becomes another program (execve)."""


def run_folder(directory: Path) -> Path:
    return directory / "run"


def log_path(directory: Path, name: str) -> Path:
    """Where a named process writes."""
    return directory / "log" / f"{name}.log"


def _pid_file(directory: Path, name: str) -> Path:
    return run_folder(directory) / f"{name}.pid"


def start(
    name: str,
    argv: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    nice: int = 0,
    cwd: Path | None = None,
) -> Identity | None:
    """Starts a program under this name, in a session of its own, output into its log; returns who it is.

    None if it ended at once. Nothing is started twice: one that runs under the name is returned as it is.
    """
    found = find(directory, name)
    if found is not None:
        return found
    # Interrupted between the start and the note, the process would be found by its mark all the same.
    process = spawn(
        argv,
        environment={**environment, "LAB_DIR": str(directory), MARK: name},
        log=log_path(directory, name),
        nice=nice,
        directory=cwd,
    )
    identity = Identity.of(process.pid)
    if identity is not None:
        path = _pid_file(directory, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".pid.tmp")
        temporary.write_text(f"{identity.pid} {identity.started}\n")
        temporary.replace(path)
    return identity


def find(directory: Path, name: str) -> Identity | None:
    """The process that runs under this name, None if none does."""
    try:
        pid, started = _pid_file(directory, name).read_text().split()
        identity = Identity(int(pid), int(started))
    except (OSError, ValueError):
        return None
    return identity if identity.alive else None


def running(directory: Path) -> dict[str, Identity]:
    """Every named process that runs, by name."""
    names = sorted(path.stem for path in run_folder(directory).glob("*.pid"))
    found = {name: find(directory, name) for name in names}
    return {name: identity for name, identity in found.items() if identity is not None}


def stop(directory: Path, name: str, *, patience_s: float = 10.0) -> bool:
    """Ends a named process: TERM, a bounded wait, KILL. False if none ran under the name."""
    identity = find(directory, name)
    if identity is not None:
        end([identity], grace_s=patience_s)
        gone([identity], KILL_WAIT_S)
    if identity is None or not identity.alive:
        _pid_file(directory, name).unlink(missing_ok=True)
    return identity is not None


def gone(identities: Iterable[Identity], within_s: float) -> list[Identity]:
    """Waits until they have ended, at most so long; returns those that haven't."""
    deadline = time.monotonic() + within_s
    left = [identity for identity in identities if identity.alive]
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [identity for identity in left if identity.alive]
    return left


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return


def belongs(environ: bytes, directory: Path) -> bool:
    """Whether a process with this environment (as in `/proc/<pid>/environ`) is one of the lab in `directory`."""
    entries = (entry.partition(b"=") for entry in environ.split(b"\0"))
    variables = {name: value for name, _, value in entries}
    noted = variables.get(b"LAB_DIR")
    if noted is None or not any(name.encode() in variables for name in MARKS):
        return False
    return os.path.realpath(os.fsdecode(noted)) == os.path.realpath(directory)


def of_lab(directory: Path) -> list[Identity]:
    """Every process of that lab, named or not, but this one and those it was started from."""
    mine = set(_ancestors(os.getpid()))
    found: list[Identity] = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal() or int(entry.name) in mine:
            continue
        # Gone meanwhile, or somebody else's: neither is ours to end.
        with contextlib.suppress(OSError):
            if belongs(_environ(Path(entry.path)), directory):
                identity = Identity.of(int(entry.name))
                if identity is not None:
                    found.append(identity)
    return found


def _environ(process: Path) -> bytes:
    """A process's environment. Raises `OSError` for one of another user, of the kernel's own, or that has ended."""
    end = time.monotonic() + EXEC_S
    while not (found := (process / "environ").read_bytes()) and time.monotonic() < end:
        # The kernel's threads and the dead have no program, and end here.
        os.readlink(process / "exe")
        time.sleep(0.001)
    return found


def end_all(directory: Path, *, patience_s: float = 5.0) -> list[Identity]:
    """Ends what is left of a lab, by id, one by one; returns what could not be ended (another user's, say)."""
    left = of_lab(directory)
    for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, KILL_WAIT_S)):
        for identity in left:
            # By process, not by group: only those whose environment was read are known to be the lab's.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if identity.alive:
                    os.kill(identity.pid, number)
        gone(left, wait_s)
        # Read again: the dying may have started others.
        left = of_lab(directory)
    return left


def command_of(identity: Identity) -> str:
    """A process's command line, for a message; empty if it has ended."""
    try:
        return Path(f"/proc/{identity.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
