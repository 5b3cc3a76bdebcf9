"""The stack's file: what was found, in the place and form in which Pulumi reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from migration.clients.documents import mapping
from migration.runtime.deadline import Permanent
from migration.settings import ConfigurationError, Problem, load_file
from migration.settings.load import NAMESPACE, settle_stage

HEADER = (
    "# Written by `python -m migration discover`. Look at `retire` (deleted at stage 8) and `keep` (left alone)\n"
    "# before stage 1; change `from` and `to` only when a migration has ended.\n"
)
# What discovery leaves to the operator; `up` refuses until it is said.
UNSAID = frozenset({f"{NAMESPACE}operatorNetworks"})


def needs_stage_key(stack: str) -> bool:
    """Whether the stack's name leaves the stage to `migration:stage`."""
    try:
        settle_stage(stack, None)
    except ConfigurationError:
        return True
    return False


def document(region: str, configuration: Mapping[str, Any], stack: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """The file's content. `before` is what the file held: its secrets provider and other namespaces stay."""
    kept = {key: value for key, value in mapping(before, "config").items() if not key.startswith(NAMESPACE)}
    stage = {f"{NAMESPACE}stage": 0} if needs_stage_key(stack) else {}
    ours = {f"{NAMESPACE}{key}": value for key, value in configuration.items()}
    return {**before, "config": {**kept, "aws:region": region, **stage, **ours}}


def write(path: Path, region: str, configuration: Mapping[str, Any], *, overwrite: bool = False) -> tuple[Problem, ...]:
    """Write the file and load it back; returns what only the operator can say, and hasn't yet.

    Raises `Permanent` if it holds a configuration already and `overwrite` isn't given, and `ConfigurationError`
    if what was found isn't valid (the file is left beside as ``.rejected``).
    """
    before: dict[str, Any] = {}
    if path.exists():
        before = yaml.safe_load(path.read_text()) or {}
        if not overwrite and any(key.startswith(NAMESPACE) for key in mapping(before, "config")):
            raise Permanent(f"{path} holds a configuration already; give --overwrite to replace what discovery writes")
    stack = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
    content = document(region, configuration, stack, before)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name must stay the stack's while it is validated, so the draft lies in a folder of its own.
    draft = path.parent / f".{path.name}.draft" / path.name
    draft.parent.mkdir(exist_ok=True)
    try:
        draft.write_text(HEADER + yaml.safe_dump(content, sort_keys=False, width=120))
        load_file(draft)
    except ConfigurationError as error:
        # Nothing that was found is wrong, only something unsaid: the file is where the answer belongs.
        if all(problem.key in UNSAID and not problem.value for problem in error.problems):
            os.replace(draft, path)
            return error.problems
        os.replace(draft, path.with_suffix(".rejected"))
        raise
    else:
        os.replace(draft, path)
        return ()
    finally:
        draft.unlink(missing_ok=True)
        draft.parent.rmdir()
