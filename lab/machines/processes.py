"""Processes by pid *and* start time, kept in files, so that a later supervisor, and `lab down`, end nobody else's.

A pid alone may belong to another program by the time somebody reads it (proc(5): field 22 of `stat` tells them apart).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = "processes"


@dataclass(frozen=True)
class Identity:
    pid: int
    started: int
    """Clock ticks after the machine's boot."""

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The process that has this pid now; None if there is none, or it has ended and waits to be reaped."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command's name is in parentheses and may hold anything: the rest starts after the last one.
        rest = text.rpartition(")")[2].split()
        return None if rest[0] in "ZX" else cls(pid, int(rest[19]))

    @property
    def alive(self) -> bool:
        return Identity.of(self.pid) == self

    def send(self, number: signal.Signals) -> bool:
        """Signals the process's whole group (it leads one, see `spawn`). False if it has ended already."""
        if not self.alive:
            return False
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            os.kill(self.pid, number)
        return True

    def renice(self, nice: int) -> bool:
        """Sets the priority of every thread (Linux keeps one for each). False where raising it isn't permitted."""
        try:
            for task in os.listdir(f"/proc/{self.pid}/task"):
                with contextlib.suppress(ProcessLookupError):
                    os.setpriority(os.PRIO_PROCESS, int(task), nice)
        except (PermissionError, FileNotFoundError):
            return False
        renice_session(self.pid, nice)
        return True


def spawn(
    argv: Sequence[str], *, environment: Mapping[str, str], log: Path, nice: int = 0, directory: Path | None = None
) -> subprocess.Popen[bytes]:
    """Starts a program as leader of a session of its own (it outlives this one until ended), output into `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    delta = nice - os.nice(0)
    # By a command, not after the start: threads a Go program has already begun would keep the old priority. Where more
    # than this process has isn't allowed, it says so in the log, and starts the program with as much.
    prefix = ["nice", "-n", str(delta)] if delta else []
    with log.open("ab") as output:
        child = subprocess.Popen(
            [*prefix, *argv],
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    renice_session(child.pid, nice)
    return child


@functools.cache
def may_raise() -> bool:
    """Whether a process may have more than the one that starts it: CAP_SYS_NICE or RLIMIT_NICE, setpriority(2)."""
    # Tried, not read: of a container's rights there is more than one source.
    tried = subprocess.run(["nice", "-n", "-1", "true"], capture_output=True, check=False)
    return tried.returncode == 0 and not tried.stderr


def renice_session(pid: int, nice: int) -> None:
    """Sets the priority of a process's whole session against other sessions.

    With autogroups (sched(7)) a nice value counts only among processes of one session, and every process of the
    lab has a session of its own: the session's value is what tells a booting machine from the probes.
    """
    # Not there without autogroups; refused when asked too often in a moment, or for more than is allowed: then what it
    # had stays.
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))


@dataclass(frozen=True)
class Ledger:
    """The processes of one machine, one file each: `<folder>/processes/<name>.json`."""

    folder: Path

    def _path(self, name: str) -> Path:
        return self.folder / FOLDER / f"{name}.json"

    def write(self, name: str, pid: int, argv: Sequence[str]) -> Identity | None:
        """Notes a process just started. None if it has ended already."""
        identity = Identity.of(pid)
        if identity is not None:
            path = self._path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(
                json.dumps({"name": name, "pid": pid, "started": identity.started, "argv": list(argv)})
            )
            temporary.replace(path)
        return identity

    def read(self, name: str) -> Identity | None:
        """The named process, if it still runs."""
        identity = _read(self._path(name))
        return identity if identity is not None and identity.alive else None

    def forget(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def running(self) -> dict[str, Identity]:
        """Every noted process that still runs, by name."""
        found: dict[str, Identity] = {}
        for path in sorted((self.folder / FOLDER).glob("*.json")):
            identity = _read(path)
            if identity is not None and identity.alive:
                found[path.stem] = identity
        return found


def _read(path: Path) -> Identity | None:
    try:
        noted = json.loads(path.read_text())
        return Identity(int(noted["pid"]), int(noted["started"]))
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None


def everything(machines: Path) -> dict[str, dict[str, Identity]]:
    """What runs under `$LAB_DIR/machines`, by folder (an instance id, `kwok-<vpc>`) and process name."""
    found = {folder.name: Ledger(folder).running() for folder in sorted(machines.glob("*")) if folder.is_dir()}
    return {name: running for name, running in found.items() if running}


def end(identities: Iterable[Identity], *, grace_s: float, poll_s: float = 0.05) -> None:
    """Ends processes: TERM, and KILL for those that are still there after the grace time. Blocks."""
    waiting = [identity for identity in identities if identity.send(signal.SIGTERM)]
    deadline = time.monotonic() + grace_s
    while waiting and time.monotonic() < deadline:
        time.sleep(poll_s)
        waiting = [identity for identity in waiting if identity.alive]
    for identity in waiting:
        identity.send(signal.SIGKILL)
