"""The first and the last operation of an `up`: what is tried, and what was reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migration.runtime.context import Context
from migration.runtime.deadline import Permanent
from migration.stages.record import as_json, begin, finish


def run(inputs: Mapping[str, Any], previous: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:
    """`phase` begin writes `tried` after checking the move again; finish writes `reached`. Outputs the record."""
    aws, cluster, stage, owner = context.clients.aws, inputs["cluster"], inputs["stage"], inputs["owner"]

    def attempt() -> dict[str, Any]:
        context.alive()
        if inputs["phase"] == "begin":
            record = begin(
                aws,
                cluster,
                stage,
                owner=owner,
                from_side=inputs["from"],
                to_side=inputs["to"],
                command=inputs.get("command", "pulumi up"),
            )
        elif inputs["phase"] == "finish":
            record = finish(aws, cluster, stage, owner=owner)
        else:
            raise Permanent(f"phase {inputs['phase']!r} is neither begin nor finish")
        return {"record": as_json(record)}

    return context.deadline.until(attempt, "the record of the migration")
