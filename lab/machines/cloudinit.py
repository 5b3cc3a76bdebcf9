"""The part of cloud-init that the lab's machines understand: `write_files` and `runcmd`, and scripts. Pure.

Formats: https://cloudinit.readthedocs.io/en/latest/reference/modules.html (Write Files, Runcmd),
https://cloudinit.readthedocs.io/en/latest/explanation/format.html (user data script).
Anything else in the document is refused by name: a key ignored here would be a machine that only works in the lab.
User data that is an environment file is nothing to cloud-init; the image it was rendered for reads it by itself.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from dataclasses import dataclass
from typing import Any

import yaml

MAX_BYTES = 16 * 1024
"""EC2's limit on raw user data."""
_HARMLESS = frozenset({"hostname", "fqdn", "manage_etc_hosts", "preserve_hostname", "package_update"})


class CloudConfigError(ValueError):
    """User data that the lab's machines can't run; the message names the key."""


@dataclass(frozen=True, kw_only=True)
class File:
    path: str
    content: str
    mode: int = 0o644
    append: bool = False


@dataclass(frozen=True, kw_only=True)
class CloudConfig:
    files: tuple[File, ...] = ()
    commands: tuple[str | tuple[str, ...], ...] = ()
    script: str | None = None
    """User data that is a script as a whole."""


def parse(user_data: bytes) -> CloudConfig:
    """Reads a cloud-config (gzip allowed, as cloud-init does). Raises CloudConfigError, all errors in one message."""
    if user_data[:2] == b"\x1f\x8b":
        user_data = gzip.decompress(user_data)
    text = user_data.decode()
    if not text.strip():
        return CloudConfig()
    if text.startswith("#!"):
        return CloudConfig(script=text)
    if is_environment(text):
        return CloudConfig()
    if not text.startswith("#cloud-config"):
        raise CloudConfigError(
            f"user data starts with {text[:20]!r}: #cloud-config, a script (#!) and an environment file are understood"
        )
    document = yaml.safe_load(text) or {}
    if not isinstance(document, dict):
        raise CloudConfigError("a #cloud-config must be a mapping")
    errors: list[str] = []
    files: list[File] = []
    commands: list[str | tuple[str, ...]] = []
    for key, value in document.items():
        if key == "write_files":
            for number, entry in enumerate(value or []):
                try:
                    files.append(_file(entry))
                except CloudConfigError as error:
                    errors.append(f"write_files[{number}]: {error}")
        elif key == "runcmd":
            commands = [item if isinstance(item, str) else tuple(str(word) for word in item) for item in value or []]
        elif key not in _HARMLESS:
            errors.append(f"{key}: not understood by the lab's machines (write_files and runcmd are)")
    if errors:
        raise CloudConfigError("; ".join(errors))
    return CloudConfig(files=tuple(files), commands=tuple(commands))


def is_environment(text: str) -> bool:
    """Whether the text is `NAME=value` lines and comments, and nothing else."""
    lines = [line for line in text.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"(export )?[A-Za-z_]\w*=", line)]
    return (
        bool(named)
        and not text.startswith("#cloud-config")
        and all(line in named or line.lstrip().startswith("#") for line in lines)
    )


def _file(entry: Any) -> File:
    if not isinstance(entry, dict) or not str(entry.get("path", "")).startswith("/"):
        raise CloudConfigError("needs an absolute path")
    unknown = set(entry) - {"path", "content", "encoding", "permissions", "owner", "append", "defer"}
    if unknown:
        raise CloudConfigError(f"{entry['path']}: unknown key {', '.join(sorted(unknown))}")
    return File(
        path=entry["path"],
        content=_decoded(entry.get("content", ""), str(entry.get("encoding", "text/plain"))),
        # YAML reads an unquoted 0644 as octal already; a quoted one is a string.
        mode=int(str(entry["permissions"]), 8)
        if isinstance(entry.get("permissions"), str)
        else int(entry.get("permissions", 0o644)),
        append=bool(entry.get("append", False)),
    )


def _decoded(content: str | bytes, encoding: str) -> str:
    raw = content.encode() if isinstance(content, str) else content
    steps = {
        "text/plain": (),
        "b64": ("b64",),
        "base64": ("b64",),
        "gz": ("gz",),
        "gzip": ("gz",),
        "gz+b64": ("b64", "gz"),
        "gz+base64": ("b64", "gz"),
        "gzip+b64": ("b64", "gz"),
        "gzip+base64": ("b64", "gz"),
    }.get(encoding)
    if steps is None:
        raise CloudConfigError(f"encoding {encoding!r}: not one of cloud-init's")
    try:
        for step in steps:
            raw = base64.b64decode(raw, validate=False) if step == "b64" else gzip.decompress(raw)
        return raw.decode()
    except (binascii.Error, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise CloudConfigError(f"content isn't {encoding} text: {error}") from error
