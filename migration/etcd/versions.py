"""Versions of etcd that a member swap isn't safe with, and why."""

from __future__ import annotations

from collections.abc import Iterable

from migration.runtime.deadline import Permanent

Version = tuple[int, int, int]

# First and last version, whether it is refused (or only warned of), and what happens. Sources: etcd's issues of these
# numbers (https://github.com/etcd-io/etcd/issues) and its CHANGELOG-3.5 and CHANGELOG-3.6.
_EVERY_VOTER = "a member is only added while every voter answers (etcd issue 21640)"
_LEARNER = "an updated learner passes for a voter (etcd issue 21694)"
KNOWN: tuple[tuple[Version, Version, bool, str], ...] = (
    ((0, 0, 0), (3, 4, 999), True, "older than 3.5: out of support, and never tried with this program"),
    ((3, 5, 0), (3, 5, 19), True, "a promoted learner may be a learner again after a restart (etcd issue 19557)"),
    ((3, 5, 20), (3, 5, 25), False, "a lost promotion of an older version may be handed on (etcd issue 20793)"),
    ((3, 5, 26), (3, 5, 29), False, _EVERY_VOTER),
    ((3, 6, 0), (3, 6, 11), True, f"{_EVERY_VOTER}, and {_LEARNER}"),
)
ADVICE = "upgrade every member to 3.5.30 or newer, or 3.6.12 or newer, before its first swap"


def parsed(text: str) -> Version | None:
    """``3.6.16`` or ``3.6.16-rc.1`` as numbers; None for anything else."""
    parts = text.split("-", 1)[0].split(".")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


def judge(versions: Iterable[str]) -> list[str]:
    """Warnings about the voters' versions. Raises `Permanent` for an unsafe one, and for one that can't be read."""
    seen = sorted(set(versions))
    warnings = [f"voters run different versions of etcd: {', '.join(seen)}"] if len(seen) > 1 else []
    for text in seen:
        version = parsed(text)
        if version is None:
            raise Permanent(f"etcd says its version is {text!r}: its known faults can't be ruled out; {ADVICE}")
        for first, last, refused, why in KNOWN:
            if first <= version <= last:
                if refused:
                    raise Permanent(f"etcd {text} isn't safe to swap members with: {why}; {ADVICE}")
                warnings.append(f"etcd {text}: {why}")
    return warnings
