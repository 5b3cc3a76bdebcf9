"""What can be said about a configuration whose shape is partly wrong, so that everything wrong is told at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError, create_model

from migration.settings.errors import Problem
from migration.settings.model import Configuration, Model
from migration.settings.rules import rules


class _NotJudged(Exception):
    """A rule asked for a key that is itself wrong."""


class _Part(Model):
    """The keys of a configuration that are right in themselves."""

    dropped = Configuration.dropped

    def __getattr__(self, name: str) -> Any:
        if name in Configuration.model_fields:
            raise _NotJudged(name)
        raise AttributeError(name)


def written_path(raw: Any, loc: Sequence[str | int]) -> list[str | int]:
    """An error's path as the configuration has it; pydantic adds which kind of a side it took it for."""
    path: list[str | int] = []
    for step in loc[:-1]:
        if isinstance(raw, dict) and step not in cast(dict[str | int, Any], raw):
            continue
        raw = cast(Any, raw)[step]
        path.append(step)
    return [*path, loc[-1]]


def judge(raw: Mapping[str, Any], errors: Sequence[Mapping[str, Any]], region: str | None) -> list[Problem]:
    """What the rules find in `raw` as far as it is readable; `errors` are pydantic's about the whole.

    Keys that aren't the program's are left out; rules that need a key with another error are passed over.
    """
    known = copy.deepcopy(dict(raw))
    for error in errors:
        if error["type"] == "extra_forbidden":
            *parents, key = written_path(known, error["loc"])
            holder: Any = known
            for step in parents:
                holder = holder[step]
            del holder[key]
    broken: set[str] = set()
    try:
        Configuration.model_validate(known)
    except ValidationError as failure:
        broken = {str(error["loc"][0]) for error in failure.errors()}
    whole: dict[str, Any] = {
        name: (info.annotation, info)
        for name, info in Configuration.model_fields.items()
        if not broken & {name, info.alias}
    }
    part = create_model("Part", __base__=_Part, **whole).model_validate(
        {key: value for key, value in known.items() if key not in broken}
    )
    found: list[Problem] = []
    for rule in rules(region):
        try:
            found += rule(cast(Configuration, part))
        except _NotJudged:
            continue
    return found
