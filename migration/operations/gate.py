"""The checks that must hold before, or after, a stage's changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migration.gates import run_checks
from migration.runtime.context import Context


def run(inputs: Mapping[str, Any], previous: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:
    """Runs `checks` on `facts`; outputs `results`, each with `check`, `ok` and what was seen as `detail`."""
    results = run_checks(inputs["checks"], inputs["facts"], context, int(inputs["stage"]))
    return {"stage": inputs["stage"], "position": inputs["position"], "results": results}
