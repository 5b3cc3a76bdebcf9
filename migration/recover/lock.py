"""Who holds a stack's lock, and whether they are proven to be dead.

A file backend keeps one small file a lock, with the process and the machine of whoever took it
(`pkg/backend/diy/lock.go` of pulumi/pulumi). Other backends' locks aren't read here.
"""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path

import psutil
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from migration.runtime.deadline import Permanent

# A process that took the lock began before it. Two clocks are compared (the boot's and the wall's): some seconds.
SLACK = timedelta(seconds=5)
# What the engine's process is called.
ENGINE = "pulumi"
# What a file backend's file of attributes has more in its name than the file that it is of.
ATTRIBUTES = ".attrs"


class Held(BaseModel):
    """What a lock's file says. Unknown keys are a later version's."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    username: str
    hostname: str
    timestamp: AwareDatetime

    def __str__(self) -> str:
        since = self.timestamp.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"process {self.pid} of {self.username}@{self.hostname} since {since}"


@dataclass(frozen=True, kw_only=True)
class Process:
    """What this machine says about a process: its name, when it began, whether it only waits to be collected."""

    name: str
    began: datetime
    zombie: bool


class Owner(Enum):
    """Whether the owner of a lock lives."""

    DEAD = "dead"
    LIVES = "lives"
    UNKNOWN = "unknown"


def judge(held: Held, machine: str, process: Process | None) -> Owner:
    """Whether the owner of `held` lives, seen from `machine`, which has `process` at that number. Pure.

    A number is given out again, so a process of that number is only somebody else where it began after the lock was
    taken and isn't called like the engine.
    """
    if held.hostname != machine:
        return Owner.UNKNOWN
    if process is None or process.zombie:
        return Owner.DEAD
    if process.began > held.timestamp + SLACK:
        return Owner.UNKNOWN if process.name == ENGINE else Owner.DEAD
    return Owner.LIVES


def refusal(held: Held, owner: Owner, machine: str, stack: str) -> str:
    """Why the lock can't be freed, and what to do."""
    if owner is Owner.LIVES:
        return (
            f"the stack is locked by {held}, and that process runs: wait for it, or press Ctrl-C there once; "
            f"nothing was changed"
        )
    if held.hostname != machine:
        return (
            f"the stack is locked by {held}; whether that process lives can't be seen from {machine}: run this there. "
            f"If that machine is gone: pulumi cancel --stack {stack}, then this again"
        )
    return (
        f"the stack is locked by {held}; a process of that number runs here, but began later, so it may be another "
        f"engine: look (ps -fp {held.pid}). If it isn't this stack's: pulumi cancel --stack {stack}, then this again"
    )


def here(pid: int) -> Process | None:
    """The process of this number on this machine; raises `Permanent` where it is there and can't be seen."""
    try:
        found = psutil.Process(pid)
        with found.oneshot():
            began = datetime.fromtimestamp(found.create_time(), UTC)
            return Process(name=found.name(), began=began, zombie=found.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        if not psutil.pid_exists(pid):
            return None
        raise Permanent(f"process {pid} is there, and {getpass.getuser()} can't see it: run this as its user") from None
    except psutil.AccessDenied as error:
        raise Permanent(f"process {pid} is there, and can't be looked at: run this as its user") from error


def machine() -> str:
    """This machine's name, as the engine writes it."""
    return socket.gethostname()


def folder_of(backend: str) -> Path | None:
    """The folder of a file backend by its URL; None for every other backend."""
    scheme, separator, rest = backend.partition("://")
    if scheme != "file" or not separator:
        return None
    return Path(rest.partition("?")[0]).expanduser()


def locks(folder: Path, project: str, stack: str) -> dict[Path, Held]:
    """The stack's locks by their files; raises `Permanent` for one that isn't understood."""
    found: dict[Path, Held] = {}
    # The second is where backends from before there were projects keep them.
    for where in (Path("organization", project, stack), Path(stack)):
        for path in sorted((folder / ".pulumi" / "locks" / where).glob("*.json")):
            try:
                found[path] = Held.model_validate_json(path.read_text())
            except FileNotFoundError:
                continue
            except ValidationError as error:
                raise Permanent(f"the lock {path} isn't understood: look at it; pulumi cancel frees it") from error
    return found


def free(path: Path) -> None:
    """Take one lock away. Only this one: `pulumi cancel` would take away one that was taken a moment ago, too."""
    path.unlink(missing_ok=True)
    path.with_name(path.name + ATTRIBUTES).unlink(missing_ok=True)
