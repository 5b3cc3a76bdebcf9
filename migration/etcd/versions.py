"""What a version of etcd and of Kubernetes may and may not do while members are swapped: one table, with its sources.

Anything the table doesn't speak of passes; a version that can't be read, and a major version that nobody knows, never
do. All that is wrong is told at once: upgrades are planned, and a second sentence after the first upgrade costs a week.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from migration.runtime.deadline import Permanent

Version = tuple[int, int, int]
Program = Literal["etcd", "Kubernetes"]

_END = 999
"""No minor or patch version is as high."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Versions `first` to `last`, both included, of a program: refused, or only warned of, and why.

    `beside`: it holds only where etcd is older than this. `source` is where that stands.
    """

    program: Program
    first: Version
    last: Version
    refused: bool
    why: str
    source: str
    beside: Version | None = None


_CHANGELOG = "etcd's CHANGELOG-3.5 and CHANGELOG-3.6"
_EVERY_VOTER = "a member is only added while every voter answers (etcd issue 21640)"
_LEARNER = "an updated learner passes for a voter (etcd issue 21694)"
RULES: tuple[Rule, ...] = (
    Rule(
        program="etcd",
        first=(0, 0, 0),
        last=(3, 3, _END),
        refused=True,
        why="older than 3.4: it knows no learners, so that a new member would vote before it has the data",
        source="https://etcd.io/docs/v3.6/learning/design-learner/",
    ),
    Rule(
        program="etcd",
        first=(3, 4, 0),
        last=(3, 4, _END),
        refused=True,
        why="older than 3.5: out of support, and never tried with this program",
        source="https://etcd.io/docs/v3.6/op-guide/versioning/",
    ),
    Rule(
        program="etcd",
        first=(3, 5, 0),
        last=(3, 5, 19),
        refused=True,
        why="a promoted learner may be a learner again after a restart (etcd issue 19557)",
        source=f"{_CHANGELOG}; https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/ wants 3.5.20",
    ),
    Rule(
        program="etcd",
        first=(3, 5, 20),
        last=(3, 5, 25),
        refused=False,
        why="a lost promotion of an older version may be handed on (etcd issue 20793)",
        source=_CHANGELOG,
    ),
    Rule(program="etcd", first=(3, 5, 26), last=(3, 5, 29), refused=False, why=_EVERY_VOTER, source=_CHANGELOG),
    Rule(
        program="etcd",
        first=(3, 6, 0),
        last=(3, 6, 11),
        refused=True,
        why=f"{_EVERY_VOTER}, and {_LEARNER}",
        source=_CHANGELOG,
    ),
    Rule(
        program="Kubernetes",
        first=(0, 0, 0),
        last=(1, 21, _END),
        refused=True,
        why="older than 1.22: it takes no eviction of policy/v1, by which pods are moved",
        source="https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/",
    ),
    Rule(
        program="Kubernetes",
        first=(1, 34, 0),
        last=(1, _END, _END),
        refused=True,
        beside=(3, 5, 21),
        why="Kubernetes 1.34 and newer want etcd 3.5.21 or newer",
        source="kubernetes v1.34.1, cmd/kubeadm/app/constants/constants.go, MinExternalEtcdVersion",
    ),
)
# etcd runs with members of different versions only while it is upgraded (https://etcd.io/docs/v3.6/upgrades/), API
# servers with one minor version between them for as long (https://kubernetes.io/releases/version-skew-policy/). A swap
# on top of an upgrade is two moves of the same members at once, of which nobody has tried the failures.
ADVICE = "upgrade every member to 3.5.30 or newer, or 3.6.12 or newer, before its first swap"


def parsed(text: str) -> Version | None:
    """``3.6.16``, ``3.6.16-rc.1`` or ``v1.34.1+k3s1`` as numbers; None for anything else."""
    plain = text.removeprefix("v").split("-", 1)[0].split("+", 1)[0]
    parts = plain.split(".")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


def judge(voters: Mapping[str, str], servers: Mapping[str, str] | None = None, *, upgrading: bool = False) -> list[str]:
    """Warnings about versions by member: of the voters' etcd, and of API servers where those were asked.

    `upgrading`: machines are being replaced by ones of another version on purpose, so that voters differ meanwhile.
    Raises `Permanent` with everything that is refused.
    """
    etcd = _read("etcd", voters)
    kubernetes = _read("Kubernetes", servers or {})
    refused, warned = [*etcd.refused, *kubernetes.refused], list[str]()
    if len(set(voters.values())) > 1:
        mixed = f"voters run different versions of etcd: {_told(voters)}"
        if upgrading:
            warned.append(mixed)
        else:
            refused.append(f"{mixed}; end that upgrade first, so that all run the same")
    minors = {version[:2] for version in kubernetes.versions}
    if len(minors) > 1:
        refused.append(
            f"API servers run different minor versions of Kubernetes: {_told(servers or {})}; end that upgrade first"
        )
    elif len(set((servers or {}).values())) > 1:
        warned.append(f"API servers run different versions of Kubernetes: {_told(servers or {})}")
    oldest = min(etcd.versions, default=None)
    for program, found in (("etcd", etcd), ("Kubernetes", kubernetes)):
        for text, version in sorted(found.texts.items()):
            for rule in RULES:
                if rule.program != program or not rule.first <= version <= rule.last:
                    continue
                if rule.beside is not None and (oldest is None or oldest >= rule.beside):
                    continue
                if not rule.refused:
                    warned.append(f"{program} {text}: {rule.why}")
                elif rule.beside is not None:
                    refused.append(f"{program} {text} on etcd {_dotted(oldest or rule.beside)}: {rule.why}; {ADVICE}")
                elif program == "etcd":
                    refused.append(f"etcd {text} isn't safe to swap members with: {rule.why}; {ADVICE}")
                else:
                    refused.append(f"Kubernetes {text} can't be migrated: {rule.why}; upgrade the cluster first")
    if refused:
        raise Permanent("; ".join(refused))
    return warned


@dataclass(frozen=True, kw_only=True)
class _Read:
    """Versions as numbers by their text, and sentences about those that aren't versions."""

    texts: Mapping[str, Version]
    refused: list[str]

    @property
    def versions(self) -> Iterable[Version]:
        return self.texts.values()


# The major version that the rules above are about.
_MAJOR: Mapping[Program, int] = {"etcd": 3, "Kubernetes": 1}


def _read(program: Program, by_member: Mapping[str, str]) -> _Read:
    texts: dict[str, Version] = {}
    refused: list[str] = []
    for text in sorted(set(by_member.values())):
        who = ", ".join(sorted(member for member, said in by_member.items() if said == text))
        version = parsed(text)
        cure = ADVICE if program == "etcd" else "ask its /version"
        if version is None:
            refused.append(
                f"{program} of {who} says its version is {text!r}: its known faults can't be ruled out; {cure}"
            )
        elif version[0] > _MAJOR[program]:
            refused.append(f"{program} {text} ({who}) is of a major version that this program knows nothing of")
        else:
            texts[text] = version
    return _Read(texts=texts, refused=refused)


def _told(by_member: Mapping[str, str]) -> str:
    return ", ".join(f"{member} {text}" for member, text in sorted(by_member.items()))


def _dotted(version: Version) -> str:
    return ".".join(str(part) for part in version)
