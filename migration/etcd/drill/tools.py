"""The operator's own `etcd` and `etcdutl`: found, asked for their version, run with an end."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from migration.etcd.versions import parsed
from migration.runtime.deadline import Deadline, OutOfTime

NAMES = ("etcd", "etcdutl")
_VERSION = re.compile(r"version: (\S+)", re.IGNORECASE)
_ASKING = {"etcd": "--version", "etcdutl": "version"}
_ASK_SECONDS = 30
_POLL = 0.1
_PATIENCE = 10.0
"""Seconds from TERM to KILL."""


class Unusable(Exception):
    """There is no such program here, or not of a version that can open the snapshot; the message says which and why."""


class Failed(Exception):
    """A program ended otherwise than with success; the message has its last words."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Both programs."""

    etcd: Path
    etcdutl: Path


def found(folder: str | None, version: str) -> Tools:
    """The tools in `folder`, or without one on PATH, for a cluster whose etcd is of `version`.

    They must be of the cluster's minor version: an older one can't open what a newer one wrote, a newer one would
    upgrade it, and neither says anything of the snapshot. Raises `Unusable`.
    """
    where = f"in {folder} (migration:etcd.tools)" if folder else "on PATH"
    paths = {name: shutil.which(name, path=folder) for name in NAMES}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise Unusable(f"there is no {' and no '.join(missing)} {where}")
    wanted = parsed(version)
    for name, path in paths.items():
        said = _version(str(path), name)
        own = parsed(said)
        if own is None or wanted is None or own[:2] != wanted[:2]:
            raise Unusable(f"{name} {where} is of version {said or '(unknown)'}, and the cluster's etcd of {version}")
    return Tools(etcd=Path(str(paths["etcd"])), etcdutl=Path(str(paths["etcdutl"])))


def environment() -> dict[str, str]:
    """This process's, without what etcd takes for its flags: an operator's ETCD_* belong to another etcd."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("ETCD", "ETCDUTL"))}


def _version(path: str, name: str) -> str:
    try:
        done = subprocess.run(
            [path, _ASKING[name]],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASK_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    said = _VERSION.search(done.stdout)
    return said[1] if said else ""


def run(command: Sequence[str], log: Path, deadline: Deadline, alive: Callable[[], None]) -> str:
    """What a program printed. Raises `Failed`, and `OutOfTime` once the deadline is over; then it is ended."""
    with log.open("w+b") as sink:
        process = subprocess.Popen(
            command, env=environment(), cwd=log.parent, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                alive()
                if deadline.remaining <= 0:
                    raise OutOfTime(f"gave up waiting for `{shown(command)}`; run the same up again")
                time.sleep(_POLL)
        finally:
            end(process)
    if process.returncode:
        raise Failed(f"`{shown(command)}` ended with status {process.returncode}: {last_words(log)}")
    return log.read_text(errors="replace")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process: TERM, a bounded wait, KILL. One that has ended is only collected."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_words(log: Path) -> str:
    """The last line that a program wrote, cut to what fits a message."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][-300:] if lines else "it said nothing"


def shown(command: Sequence[str]) -> str:
    """A command as people read it: program and what it does, without its flags."""
    words = [word for word in command[1:] if not word.startswith("-")]
    return " ".join([Path(command[0]).name, *words])
