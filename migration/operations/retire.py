"""The clean-up: exactly the retire list is deleted, and nothing that stands in keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migration.deadline import Permanent
from migration.operations.context import Context
from migration.retire import retire


def run(inputs: Mapping[str, Any], previous: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:
    """Inputs: `wanted` ("retired" or "present"), `items` and `keep` (each `{type, id}`).

    Returns all ids deleted so far. Going back from "retired" brings nothing back: what is deleted is deleted.
    """
    before: list[str] = list((previous or {}).get("deleted", []))
    if inputs["wanted"] != "retired":
        return {"deleted": before}
    both = sorted({item["id"] for item in inputs["items"]} & {item["id"] for item in inputs["keep"]})
    if both:
        raise Permanent(f"{', '.join(both)} stands in migration:retire and in migration:keep; decide for one")
    deleted = retire(context.clients.aws, inputs["items"], context.deadline, context.log, context.alive)
    return {"deleted": sorted({*before, *deleted})}
