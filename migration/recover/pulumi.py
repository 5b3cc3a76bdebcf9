"""The few commands of the Pulumi CLI that recovering needs, on one stack of one folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import yaml
from pydantic import ValidationError

from migration.recover.state import Foreign
from migration.runtime.deadline import Permanent

# Seconds a command may take: an import reads each object once.
LIMIT = 600
# How a preview sums up what an up would do beside making and importing: the engine updates what it has imported and
# finds different.
_DIFFERS = re.compile(r"^ +[~+-]+ ?\d+ to (?:update|replace|delete)$", re.MULTILINE)
# How much of what a failed command said is passed on.
_LAST_LINES = 12


Program = Literal["look", "import", "check"]
# What the engine is asked for, and what it means where it fails.
_PROGRAM: Mapping[Program, tuple[tuple[str, ...], str]] = {
    "look": (("preview",), "not everything was found, as said above; nothing was written"),
    "import": (("up", "--yes", "--skip-preview"), "not everything is in the state yet: run this again"),
    "check": (
        ("preview", "--diff", "--expect-no-changes"),
        "everything is in the state, and some of it isn't what the program says, as shown above: look at it before "
        "the next pulumi up",
    ),
}


class Engine(Protocol):
    """What recovering asks of the engine."""

    @property
    def stack(self) -> str: ...
    def backend(self) -> str: ...
    def export(self) -> str: ...
    def adopt(self, wanted: Mapping[str, object]) -> None: ...
    def replace(self, state: str) -> None: ...
    def run_program(self, what: Program, environment: Mapping[str, str]) -> None: ...


class _Login(Foreign):
    url: str


class _Project(Foreign):
    name: str


@dataclass(frozen=True)
class Pulumi:
    """The CLI, run in `folder` on `stack`."""

    folder: Path
    stack: str

    def backend(self) -> str:
        """The URL of the backend that holds the stack."""
        try:
            return _Login.model_validate_json(run(self.folder, "whoami", "--verbose", "--json")).url
        except ValidationError as error:
            raise Permanent("`pulumi whoami` doesn't say which backend this is: pulumi login") from error

    def export(self) -> str:
        """The stack's state, its secrets encrypted."""
        return run(self.folder, "stack", "export", "--stack", self.stack)

    def adopt(self, wanted: Mapping[str, object]) -> None:
        """Import objects into the state: the engine reads each one and writes it, or doesn't."""
        run(
            self.folder,
            "import",
            "--stack",
            self.stack,
            "--yes",
            "--skip-preview",
            "--protect=false",
            "--generate-code=false",
            "--file",
            "/dev/stdin",
            stdin=json.dumps(wanted),
        )

    def replace(self, state: str) -> None:
        """Make an exported state the stack's. The engine takes the lock for it, and refuses where another has it."""
        run(self.folder, "stack", "import", "--stack", self.stack, stdin=state)

    def run_program(self, what: Program, environment: Mapping[str, str]) -> None:
        """The program's preview or up, with what the engine says for all to see. Raises `Permanent` where it fails."""
        arguments, failed = _PROGRAM[what]
        command = ["pulumi", *arguments, "--stack", self.stack, "--non-interactive", "--color", "never"]
        said = ""
        try:
            with subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as engine:
                assert engine.stdout is not None
                for line in engine.stdout:
                    print(line, end="", flush=True)
                    said += line
        except FileNotFoundError as error:
            raise Permanent("pulumi isn't found on PATH") from error
        if engine.returncode:
            raise Permanent(failed)
        if what == "look" and _DIFFERS.search(said):
            raise Permanent(
                "something isn't as the program says, and would be changed (~ above): put it right first; nothing was "
                "written"
            )


def project_folder(start: Path) -> Path:
    """The folder of the project, where Pulumi looks for it: this one or the nearest above."""
    for folder in (start, *start.parents):
        if (folder / "Pulumi.yaml").exists():
            return folder
    raise Permanent(f"there is no Pulumi.yaml in {start} or above: run this where you run pulumi up")


def project_name(folder: Path) -> str:
    """The project's name."""
    try:
        return _Project.model_validate(yaml.safe_load((folder / "Pulumi.yaml").read_text())).name
    except (ValidationError, yaml.YAMLError) as error:
        raise Permanent(f"{folder / 'Pulumi.yaml'} has no name of a project") from error


def selected_stack(folder: Path) -> str:
    """The stack that is selected in `folder`; raises `Permanent` where none is, or the engine can't read it."""
    try:
        return run(folder, "stack", "--show-name").strip()
    except Permanent as error:
        raise Permanent(f"{error}\n  name the stack: --stack NAME") from error


def run(folder: Path, *arguments: str, stdin: str = "") -> str:
    """What a command says. Raises `Permanent` with its last words where it fails."""
    command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
    asked = f"pulumi {arguments[0]}" if len(arguments) == 1 else f"pulumi {arguments[0]} {arguments[1]}"
    try:
        done = subprocess.run(
            command, cwd=folder, input=stdin, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except FileNotFoundError as error:
        raise Permanent("pulumi isn't found on PATH") from error
    except subprocess.TimeoutExpired as error:
        raise Permanent(f"{asked} took longer than {LIMIT} s; run this again") from error
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise Permanent(f"{asked} failed: " + "\n  ".join(said[-_LAST_LINES:]))
    return done.stdout
