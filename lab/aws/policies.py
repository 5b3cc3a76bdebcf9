"""What policies say about an action on a resource: identity policies with resources and conditions. Pure.

Source: IAM user guide, "Policy evaluation logic" and "IAM JSON policy elements reference".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

ALLOWED, EXPLICIT, IMPLICIT = "allowed", "explicitDeny", "implicitDeny"


class UnknownCondition(ValueError):
    """A condition operator that the lab doesn't evaluate."""


@dataclass(frozen=True)
class Decision:
    """`verdict` is allowed, explicitDeny or implicitDeny; `missing` are condition keys that the request didn't have."""

    verdict: str
    missing: tuple[str, ...] = ()


def decide(
    documents: Iterable[str | Mapping[str, Any]], action: str, resource: str, context: Mapping[str, str]
) -> Decision:
    """An explicit deny wins; without an allow it is an implicit one. Raises UnknownCondition, ValueError (bad JSON)."""
    verdict = IMPLICIT
    missing: set[str] = set()
    for statement in (s for document in documents for s in statements(document)):
        if not _concerns(statement, action, resource):
            continue
        holds, absent = _conditions(statement.get("Condition") or {}, context)
        missing |= absent
        if not holds:
            continue
        if statement["Effect"] == "Deny":
            return Decision(EXPLICIT)
        verdict = ALLOWED
    return Decision(verdict, () if verdict == ALLOWED else tuple(sorted(missing)))


def statements(document: str | Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A document's statements, one or several."""
    parsed: Any = json.loads(document) if isinstance(document, str) else document
    found = parsed["Statement"]
    return [found] if isinstance(found, Mapping) else list(found)


def _concerns(statement: Mapping[str, Any], action: str, resource: str) -> bool:
    if "NotAction" in statement:
        if _matches(statement["NotAction"], action, fold=True):
            return False
    elif not _matches(statement.get("Action", ()), action, fold=True):
        return False
    if "NotResource" in statement:
        return not _matches(statement["NotResource"], resource)
    return _matches(statement.get("Resource", "*"), resource)


def _matches(patterns: str | Iterable[str], value: str, *, fold: bool = False) -> bool:
    wanted = [patterns] if isinstance(patterns, str) else patterns
    return any(like(pattern, value, fold=fold) for pattern in wanted)


@lru_cache(maxsize=4_096)
def like(pattern: str, value: str, *, fold: bool = False) -> bool:
    """Whether a value is like a pattern with `*` and `?`."""
    parts = [{"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern]
    return re.fullmatch("".join(parts), value, re.IGNORECASE | re.DOTALL if fold else re.DOTALL) is not None


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, value: wanted == value,
    "StringNotEquals": lambda wanted, value: wanted != value,
    "StringEqualsIgnoreCase": lambda wanted, value: wanted.lower() == value.lower(),
    "StringLike": lambda wanted, value: like(wanted, value),
    "StringNotLike": lambda wanted, value: not like(wanted, value),
    "ArnEquals": lambda wanted, value: like(wanted, value),
    "ArnLike": lambda wanted, value: like(wanted, value),
    "ArnNotLike": lambda wanted, value: not like(wanted, value),
    "Bool": lambda wanted, value: wanted.lower() == value.lower(),
}


def _conditions(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> tuple[bool, set[str]]:
    """Whether all hold, and which keys the request lacked."""
    known = {key.lower(): value for key, value in context.items()}
    holds, missing = True, set[str]()
    for operator, wanted in conditions.items():
        name = operator.removesuffix("IfExists")
        for key, values in wanted.items():
            value = known.get(key.lower())
            options = [values] if isinstance(values, str | bool) else list(values)
            if operator == "Null":
                holds &= str(options[0]).lower() == str(value is None).lower()
                continue
            if name not in OPERATORS:
                raise UnknownCondition(f"{operator} of {key}: this lab knows {', '.join(OPERATORS)} and Null")
            if value is None:
                if "Not" not in name and not operator.endswith("IfExists"):
                    missing.add(key)
                    holds = False
                continue
            ask = OPERATORS[name]
            combine = all if "Not" in name else any
            holds &= combine(ask(str(option), value) for option in options)
    return holds, missing
