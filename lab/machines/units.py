"""What the systemd stand-in reads: unit files and environment files. Pure.

Syntax: systemd.syntax(7), systemd.service(5), systemd.exec(5); only what service units of a control plane use.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

_VARIABLE = re.compile(r"\$\$|\$\{(\w+)\}|\$(\w+)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|sec|min|m|h)?")
_SECONDS = {"ms": 0.001, None: 1.0, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


class UnitError(ValueError):
    """A unit file that can't be used; the message names unit and key."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One service. Times in seconds."""

    name: str
    start: tuple[str, ...]
    """`ExecStart` lines as written, variables not yet expanded (one, or several for `Type=oneshot`)."""
    start_pre: tuple[str, ...] = ()
    kind: str = "simple"
    environment: Mapping[str, str]
    environment_files: tuple[tuple[str, bool], ...] = ()
    """Path, and whether it may be missing (`-` before it)."""
    restart: str = "no"
    restart_s: float = 0.1
    stop_s: float = 90.0
    remain: bool = False
    wants: tuple[str, ...] = ()
    """Services that are started with it (systemd.unit(5))."""
    part_of: tuple[str, ...] = ()
    """Services with which it is stopped, and restarted."""
    directory: str | None = None

    def restarts(self, code: int) -> bool:
        """Whether the service comes back after having ended with this status by itself."""
        if self.restart == "always":
            return True
        return self.restart in ("on-failure", "on-abnormal", "on-abort") and code != 0


def parse_unit(name: str, text: str) -> Unit:
    """Reads a unit file. Raises UnitError where a service can't be started from it."""
    keys: dict[str, list[str]] = {}
    related: dict[str, list[str]] = {}
    section = ""
    for line in _lines(text):
        if line.startswith("["):
            section = line.strip("[]")
            continue
        key, separator, value = line.partition("=")
        if not separator:
            raise UnitError(f"{name}: {line!r} is neither a section nor key=value")
        if section in ("Service", "Unit"):
            values = (keys if section == "Service" else related).setdefault(key.strip(), [])
            if value.strip():
                values.append(value.strip())
            else:
                values.clear()  # an empty assignment resets the list
    start = tuple(keys.get("ExecStart", ()))
    kind = _last(keys, "Type", "simple")
    if not start or (len(start) > 1 and kind != "oneshot"):
        raise UnitError(f"{name}: a service needs one ExecStart (several only for Type=oneshot)")
    environment: dict[str, str] = {}
    for assignment in keys.get("Environment", ()):
        environment.update(_assignment(name, word) for word in shlex.split(assignment))
    return Unit(
        name=name,
        start=start,
        start_pre=tuple(keys.get("ExecStartPre", ())),
        kind=kind,
        environment=environment,
        environment_files=tuple((path.lstrip("-"), path.startswith("-")) for path in keys.get("EnvironmentFile", ())),
        restart=_last(keys, "Restart", "no"),
        restart_s=duration(_last(keys, "RestartSec", "100ms")),
        stop_s=duration(_last(keys, "TimeoutStopSec", "90s")),
        wants=_services(related, "Wants"),
        part_of=_services(related, "PartOf"),
        remain=_last(keys, "RemainAfterExit", "no").lower() in ("yes", "true", "1", "on"),
        directory=_last(keys, "WorkingDirectory", "") or None,
    )


def parse_environment(text: str) -> dict[str, str]:
    """An environment file: `KEY=value` lines, quotes removed, `#` and `;` comments."""
    found: dict[str, str] = {}
    for line in _lines(text):
        key, separator, value = line.partition("=")
        if separator:
            value = value.strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            found[key.strip()] = value[1:-1] if quoted else value
    return found


def command(line: str, environment: Mapping[str, str]) -> list[str]:
    """An `ExecStart` line as arguments. `${V}` is replaced within its word; a word `$V` is split at white space.

    `$$` is a dollar sign.
    """
    words: list[str] = []
    for word in shlex.split(line.lstrip("-@:+!"), posix=True):
        if word.startswith("$") and re.fullmatch(r"\$\w+", word):
            words += environment.get(word[1:], "").split()
        else:
            words.append(_VARIABLE.sub(lambda v: _value(v, environment), word))
    return words


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    return "$" if found.group(0) == "$$" else environment.get(found.group(1) or found.group(2), "")


def duration(text: str) -> float:
    """systemd.time(7) spans, in seconds: `5`, `500ms`, `1min 30s`; `infinity` is a day."""
    if text.strip() == "infinity":
        return 86_400.0
    return sum(float(number) * _SECONDS[unit or None] for number, unit in _DURATION.findall(text))


def _lines(text: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", " ", text)
    stripped = (line.strip() for line in joined.splitlines())
    return [line for line in stripped if line and line[0] not in "#;"]


def _services(keys: Mapping[str, list[str]], key: str) -> tuple[str, ...]:
    """The services among the units named: targets and mounts aren't anything here."""
    return tuple(name for line in keys.get(key, ()) for name in line.split() if name.endswith(".service"))


def _last(keys: Mapping[str, list[str]], key: str, default: str) -> str:
    values = keys.get(key)
    return values[-1] if values else default


def _assignment(unit: str, word: str) -> tuple[str, str]:
    key, separator, value = word.partition("=")
    if not separator:
        raise UnitError(f"{unit}: Environment={word!r} is not KEY=value")
    return key, value
