"""When and whom to strike while an `up` runs: chosen by a seed and by the progress that is seen, not by a clock alone.

Progress is what the engine's event log tells: a resource that is begun, one that is done, a line of an operation. So
it can be said of a strike what it hit.
"""

from __future__ import annotations

import os
import random
import re
import signal
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import psutil

from rehearsal.engine import Event

UNCHANGED = frozenset({"same", "read", "refresh"})
LATEST_S = 1.5
"""A strike comes at its step or at most this long after it: what is slow is met in its middle as well."""
_HOST = re.compile(r"^pulumi\.dynamic$|pulumi-resource-pulumi-python")
_LANGUAGE = re.compile(r"pulumi-language-python")
_DYNAMIC = "pulumi-python:dynamic/"


class Kind(StrEnum):
    """Who is struck."""

    ENGINE = "SIGKILL of the engine"
    HOST = "SIGKILL of its dynamic host"
    BOTH = "SIGKILL of both"
    AWS = "SIGSTOP of AWS"


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One strike: at the `step`-th step of its `up`, `delay` seconds later.

    `at_once`: `recover` is asked while what the dead engine left may still run; else once that is gone.
    """

    kind: Kind
    step: int
    delay: float
    at_once: bool

    def __str__(self) -> str:
        return f"step {self.step} of this up" + (f", {self.delay:.1f} s later" if self.delay else "")


def choose(seed: int, place: int, number: int, attempt: int, remaining: int, left: int, each: int = 1) -> Moment:
    """The `number`-th strike (from 0) in the round's `place`-th move, in its `attempt`-th try.

    `remaining`: steps that this `up` has probably before it; `left`: strikes still to come in it, this one counted;
    `each`: how many each move is due. Kinds follow each other within a move and from move to move, so that each gets
    its share of both. AWS's is the last of the four: an `up` often outlives it, and can't be struck any more. Pure.
    """
    kinds = [kind for kind in Kind if kind is not Kind.AWS]
    random.Random(seed).shuffle(kinds)
    kinds.append(Kind.AWS)
    dice = random.Random(f"{seed}/{place}/{number}/{attempt}")
    # Evenly over what remains, were all strikes made in this one `up`.
    step = dice.randint(1, max(1, 2 * remaining // (left + 1)))
    delay = round(dice.uniform(0, LATEST_S), 1) if dice.random() < 0.5 else 0.0
    return Moment(kind=kinds[(place * each + number) % len(kinds)], step=step, delay=delay, at_once=dice.random() < 0.5)


@dataclass(frozen=True, kw_only=True)
class Doing:
    """A resource that the engine has begun and not seen to end."""

    what: str
    type: str
    name: str

    def __str__(self) -> str:
        if self.type.startswith(_DYNAMIC):
            return f"operation {self.name} running ({self.what})"
        return f"{self.what} of {self.type.rpartition(':')[2]} {self.name}"


class Progress:
    """What an event log has told so far. Fed by one thread, read by another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._doing: dict[str, Doing] = {}
        self._steps, self._line = 0, ""

    def feed(self, event: Event) -> None:
        """One event, as the engine writes it."""
        with self._changed:
            if "resourcePreEvent" in event:
                self._begun(event["resourcePreEvent"]["metadata"])
            for key in ("resOutputsEvent", "resOpFailedEvent"):
                if key in event and self._doing.pop(event[key]["metadata"]["urn"], None):
                    self._steps += 1
            if "diagnosticEvent" in event:
                told = event["diagnosticEvent"]
                lines = (told.get("message") or "").strip().splitlines()
                # Operations speak so. What the engine says of itself is of another severity.
                if told.get("severity") == "info" and lines:
                    self._steps += 1
                    self._line = lines[0]
            self._changed.notify_all()

    def _begun(self, metadata: Event) -> None:
        known = metadata.get("new") or metadata.get("old") or {}
        # A component is only a name over others: nothing is made for it.
        if metadata["op"] not in UNCHANGED and known.get("custom"):
            name = metadata["urn"].rpartition("::")[2]
            self._doing[metadata["urn"]] = Doing(what=metadata["op"], type=metadata["type"], name=name)
            self._steps += 1

    def reach(self, step: int, within_s: float) -> bool:
        """Wait until so many steps are seen; whether they were, in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._steps >= step, within_s)

    @property
    def steps(self) -> int:
        """So many so far."""
        with self._changed:
            return self._steps

    def hit(self) -> str:
        """What a strike now hits, in words."""
        with self._changed:
            return hit_of(list(self._doing.values()), self._line)


def hit_of(doing: Sequence[Doing], line: str) -> str:
    """In words what was under way. Pure."""
    if not doing:
        return "between resources"
    first = [str(one) for one in doing[:3]]
    more = f" and {len(doing) - len(first)} more" if len(doing) > len(first) else ""
    last = f'; last said: "{line}"' if line and any(one.type.startswith(_DYNAMIC) for one in doing) else ""
    return "; ".join(first) + more + last


# Processes


@dataclass(frozen=True)
class Family:
    """An engine and the processes under it, as they were at one moment."""

    engine: psutil.Process
    hosts: tuple[psutil.Process, ...]
    """The dynamic providers' hosts, launchers first."""
    language: tuple[psutil.Process, ...]

    @classmethod
    def of(cls, pid: int) -> Family | None:
        """None where the engine has ended."""
        try:
            engine = psutil.Process(pid)
            children = engine.children(recursive=True)
        except psutil.NoSuchProcess:
            return None
        return cls(engine, _named(children, _HOST), _named(children, _LANGUAGE))

    def strike(self, kind: Kind) -> list[str]:
        """Kill whom `kind` means; their names. Nobody where the kind's process has ended, or isn't there yet."""
        # The program's own process where no dynamic host runs: without it there is none for long.
        hosts = self.hosts or self.language
        victims = {Kind.ENGINE: (self.engine,), Kind.HOST: hosts, Kind.BOTH: (self.engine, *hosts)}[kind]
        return [name for one in victims if (name := _kill(one))]


def _named(processes: Iterable[psutil.Process], pattern: re.Pattern[str]) -> tuple[psutil.Process, ...]:
    found: list[psutil.Process] = []
    for one in processes:
        with suppress(psutil.Error):
            if any(pattern.search(word) for word in one.cmdline()):
                found.append(one)
    return tuple(found)


def _kill(process: psutil.Process) -> str:
    """Its name and number once it is killed; empty where it had ended."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return ""
        words = process.cmdline()
        # psutil looks that the number is still this process's.
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return ""
    shown = next((word for word in words if _HOST.search(word) or _LANGUAGE.search(word)), words[0] if words else "?")
    return f"{os.path.basename(shown)} (process {process.pid})"


def living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that run; what only waits to be collected doesn't."""
    found: list[psutil.Process] = []
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found
