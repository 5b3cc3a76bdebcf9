"""A machine's root folder instead of `/`. Pure.

User data is written for a real image and names absolute paths. Here a machine has no root of its own (no container, no
chroot without root rights), so the prefixes a machine owns are moved under its folder, in paths, contents and commands.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

OWNED = ("/etc", "/var", "/opt", "/usr/local", "/srv", "/run")
"""What a machine owns. `/usr/bin`, `/bin`, `/dev` stay the host's."""

# Not inside a longer path (`/home/etc`, `https://host/etc`, a prefix that was moved already), and a whole component.
_OWNED = re.compile(r"(?<![\w./~}])(?:" + "|".join(re.escape(p) for p in OWNED) + r")(?=/|$|[^\w.\-])")
_PYTHON = re.compile(r"\A#!\s*(?:/usr/bin/env\s+|(?:/usr(?:/local)?)?/bin/)python3?(?:\.\d+)?(?=\s)")


def reroot(text: str, root: Path) -> str:
    """`text` with every absolute path a machine owns moved under `root`. Call it once for each text."""
    return _OWNED.sub(lambda found: f"{root}{found.group(0)}", text)


def reroot_path(path: str, root: Path) -> Path:
    """Where `path` of the machine lies on the host; every path a file is written to is inside the root."""
    return root / path.lstrip("/")


def reroot_script(text: str, root: Path, python: str) -> str:
    """As `reroot`, and a shebang naming any Python means the interpreter that has boto3 (an image would have it)."""
    return reroot(_PYTHON.sub(f"#!{python}", text), root)


def script_of(commands: Sequence[str | Sequence[str]]) -> str:
    """`runcmd` as cloud-init makes it: one shell script, strings as they are, lists quoted; errors don't stop it."""
    lines = [command if isinstance(command, str) else shlex.join(command) for command in commands]
    return "#!/bin/sh\n" + "".join(line + "\n" for line in lines)
