"""Reading systemd units out of a cloud-config: which unit is whose, and what it is told. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

ROLES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
# Where systemd looks for units, those of an administrator first: systemd.unit(5).
FOLDERS = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
# A flag that only one of the programs has, for units that start a wrapper or a container.
_TELLING = {
    "etcd": "initial-advertise-peer-urls",
    "kube-apiserver": "etcd-servers",
    "kube-controller-manager": "cluster-signing-cert-file",
}
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One unit of a machine. `files` are all files that the machine's user data writes, by path."""

    name: str
    text: str
    files: Mapping[str, str]

    @cached_property
    def _settings(self) -> list[tuple[str, str]]:
        joined = re.sub(r"\\\n\s*", " ", self.text)
        lines = (line.strip() for line in joined.splitlines())
        found = (line.partition("=") for line in lines if "=" in line and not line.startswith(("#", ";")))
        return [(key.strip(), value.strip()) for key, _, value in found]

    def values(self, key: str) -> list[str]:
        """All values of one of its settings, in order."""
        return [value for name, value in self._settings if name == key]

    @cached_property
    def words(self) -> list[str]:
        """What it starts, word by word, without systemd's signs before the program."""
        started = _words(" ".join(self.values("ExecStart")))
        return [started[0].lstrip("-@:+!"), *started[1:]] if started else []

    @cached_property
    def environment_files(self) -> list[str]:
        """Its environment files, in order."""
        return [one.removeprefix("-") for one in self.values("EnvironmentFile")]

    @cached_property
    def environment(self) -> dict[str, str]:
        """Variables that the user data itself sets for it."""
        lines = [line for path in self.environment_files for line in self.files.get(path, "").splitlines()]
        assigned = [*(word for value in self.values("Environment") for word in _words(value)), *lines]
        pairs = (one.strip().partition("=") for one in assigned if "=" in one and not one.lstrip().startswith("#"))
        return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}

    def told(self, flag: str) -> str | None:
        """The value of a flag as it is written, variables and all; None where it isn't given.

        For etcd also from its environment (``ETCD_DATA_DIR``), which it reads as it reads flags.
        """
        for position, word in enumerate(self.words):
            name, sign, value = word.partition("=")
            if name.startswith("-") and name.lstrip("-") == flag:
                return value if sign else next(iter(self.words[position + 1 :]), None)
        return self.environment.get("ETCD_" + flag.upper().replace("-", "_"))

    def value(self, flag: str) -> str | None:
        """The flag's value with its variables filled in; None where that can't be told."""
        told = self.told(flag)
        if told is None:
            return None
        filled = _VARIABLE.sub(lambda one: self.environment.get(one[1] or one[2], one[0]), told)
        return None if _VARIABLE.search(filled) else filled

    def port(self, flag: str) -> int | None:
        """The port of the first URL in a flag whose host may be a variable: ``https://${IP}:2379,…`` → 2379."""
        told = self.told(flag)
        found = re.search(r":(\d+)(?=[,/]|$)", told) if told else None
        return int(found[1]) if found else None

    @cached_property
    def variables(self) -> list[str]:
        """Variables that what it starts is told by, each once, in order."""
        found = (one[0] or one[1] for word in self.words for one in _VARIABLE.findall(word))
        return list(dict.fromkeys(found))


def read_units(files: Mapping[str, str]) -> dict[str, Unit]:
    """The services among a machine's files, by name without ``.service``; an administrator's go before a package's."""
    found: dict[str, Unit] = {}
    for folder in FOLDERS:
        for path, text in files.items():
            where = PurePosixPath(path)
            if str(where.parent) == folder and where.suffix == ".service" and where.stem not in found:
                found[where.stem] = Unit(name=where.stem, text=text, files=files)
    return found


def units_of_role(units: Mapping[str, Unit], role: str) -> list[Unit]:
    """The units that run one of `ROLES`: of its own name, or else those that start it; several can't be told apart."""
    if role in units:
        return [units[role]]
    by_program = [one for one in units.values() if one.words and PurePosixPath(one.words[0]).name == role]
    if by_program or role not in _TELLING:
        return by_program
    return [one for one in units.values() if one.told(_TELLING[role]) is not None]
