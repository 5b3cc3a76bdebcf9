"""Rows of a long run, one a part of it: kept after each, so that the next run goes on where this one ended."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from lab import up
from proof.config import write_atomically

Row = TypeVar("Row", bound=BaseModel)
PROGRAM = ("__main__.py", "Pulumi.yaml", "migration", "components", "providers", "lab")
"""What a row is about: with another program it counts no more. A change of what watches doesn't matter."""


def read_rows(path: Path, model: type[Row], say: Callable[[str], None]) -> list[Row]:
    """The rows of a file. Where none is there are none, nor where it can't be read: what it had is done again."""
    try:
        return [model.model_validate(row) for row in json.loads(path.read_text())]
    except FileNotFoundError:
        return []
    except (ValidationError, ValueError, TypeError):
        say(f"{path} can't be read as rows of this version: all of them are run again")
        return []


def write_rows(path: Path, rows: Sequence[BaseModel]) -> None:
    """Replace the file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([row.model_dump(mode="json") for row in rows], indent=1, ensure_ascii=False)
    write_atomically(path, text + "\n")


def conclude(say: Callable[[str], None], wrong: Sequence[str], path: Path, *, ran: bool = True) -> int:
    """Tell what a long run came to, and the exit status. Its lab, if one `ran`, ends where all is well."""
    for sentence in wrong:
        say(f"not ok: {sentence}")
    say(f"{'NOT OK' if wrong else 'ok'}: {path}")
    if wrong and ran:
        say("the lab still runs; `make lab-down` ends it")
    elif ran:
        up.down(say)
    return 1 if wrong else 0


def commit_of(repository: Path, *paths: str) -> str:
    """What was run: the commit, with a digest of whatever isn't committed. Empty where git can't tell: like nothing.

    With `paths`, only what lies there counts: the last commit that changed any of it.
    """

    def git(*arguments: str) -> bytes:
        return subprocess.run(["git", *arguments], cwd=repository, capture_output=True, check=True).stdout

    try:
        head = git("rev-list", "-1", "HEAD", "--", *paths).decode().strip()
        changed = git("diff", "HEAD", "--binary", "--", *paths)
        listed = git("ls-files", "--others", "--exclude-standard", "-z", "--", *paths).decode()
        new = [name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        return ""
    if not changed and not new:
        return head
    digest = hashlib.sha256(changed)
    for name in sorted(new):
        path = repository / name
        # A folder that is a link, such as a virtual environment elsewhere, is listed like a file.
        digest.update(name.encode() + b"\0" + (path.read_bytes() if path.is_file() else b""))
    return f"{head}+{digest.hexdigest()[:12]}"
