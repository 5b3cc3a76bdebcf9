"""Running a gate: every check until it holds or can't, all refusals told together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from migration.clients.kubernetes import ApiFailure
from migration.gates.check import CHECKS, Check, Facts
from migration.observe import complete
from migration.runtime.context import Context
from migration.runtime.deadline import OutOfTime, Permanent, Retryable

# A gate asks about once a second: cheap for AWS, and progress is seen.
PAUSE = 1.0


def completed(facts: Mapping[str, Any], context: Context, stage: int) -> dict[str, Any]:
    """`facts` with the ids that exist by now, and the stage."""
    aws = context.clients.aws
    sides = {role: complete(aws, facts["cluster"], dict(facts[role])) for role in ("old", "new")}
    return {**facts, **sides, "stage": stage}


def _until(name: str, check: Check, facts: Facts, context: Context) -> str:
    told: list[str] = []

    def attempt() -> str:
        context.alive()
        try:
            return check(facts, context)
        except Retryable as reason:
            if told[-1:] != [str(reason)]:
                context.log(f"{name}: waiting: {reason}")
                told.append(str(reason))
            raise
        except ApiFailure as failure:
            raise Retryable(f"the Kubernetes API says {failure}") from failure

    return context.deadline.until(attempt, f"gate {name}", pause=PAUSE)


def run_checks(names: Sequence[str], facts: Mapping[str, Any], context: Context, stage: int) -> list[dict[str, Any]]:
    """Results `{check, ok, detail}` in order; raises `Permanent` with every refusal when any check refuses."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise Permanent(f"there is no gate {', '.join(unknown)}; known: {', '.join(CHECKS)}")
    whole = completed(facts, context, stage)
    results: list[dict[str, Any]] = []
    refused: list[str] = []
    for name in names:
        try:
            detail = _until(name, CHECKS[name], whole, context)
        except OutOfTime:
            raise
        except Permanent as reason:
            refused.append(f"{name}: {reason}")
            continue
        context.log(f"{name}: {detail}")
        results.append({"check": name, "ok": True, "detail": detail})
    if refused:
        raise Permanent("; ".join(refused))
    return results
