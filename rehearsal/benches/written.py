"""What every benchmark's file begins with: when, on what machine, with which program and by which command."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from lab.environment import REPOSITORY, make_folders
from proof.config import write_atomically
from rehearsal.machine import Machine
from rehearsal.rows import commit_of
from rehearsal.world import Fact


class Header(Fact):
    """Of a measurement: `at` is when it began (UTC), `command` what somebody else can type to see it again."""

    at: str
    command: str
    commit: str
    machine: Machine

    @classmethod
    def now(cls, command: str = "") -> Self:
        """As it begins; `command` where the command line says it less well."""
        return cls(
            at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            command=command or shlex.join(["python", "-m", "rehearsal", *sys.argv[1:]]),
            commit=commit_of(REPOSITORY),
            machine=Machine.here(),
        )


class Aim(Fact):
    """A figure and the limit it was to keep; `measured` is None where it couldn't be measured, which is a breach.

    `kept` tells whether it was; `better`: which way.
    """

    name: str
    limit: float
    measured: float | None
    better: str = "less"

    @property
    def kept(self) -> bool:
        """Whether the figure is on the right side of its limit."""
        if self.measured is None:
            return False
        return self.measured <= self.limit if self.better == "less" else self.measured >= self.limit

    @property
    def sign(self) -> str:
        """On which side of its limit it is to be."""
        return "≤" if self.better == "less" else "≥"

    def __str__(self) -> str:
        found = "not measured" if self.measured is None else f"{self.measured:.3g}"
        return f"{self.name}: {found} (aim {self.sign} {self.limit:g}){'' if self.kept else ': MISSED'}"


def write(name: str, found: Fact) -> Path:
    """Write `.lab/report/<name>.json` as a whole; the file's path."""
    path = make_folders() / "report" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, found.model_dump_json(indent=1) + "\n")
    return path
