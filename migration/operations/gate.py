"""The checks that must hold before, or after, a stage's changes."""

from __future__ import annotations

from migration.contracts.gates import GateInputs, GateResult
from migration.gates import Live, run_checks
from migration.runtime.context import Context


def run(inputs: GateInputs, previous: GateResult | None, context: Context) -> GateResult:
    """Ask all questions until each holds; raises `Permanent` with every refusal."""
    results = run_checks(inputs.questions, Live(inputs.cluster, context))
    return GateResult(stage=inputs.stage, position=inputs.position, results=results)
