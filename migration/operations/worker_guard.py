"""No worker group is deleted with pods on its nodes, whoever deletes it: this program, `destroy`, an edited list."""

from __future__ import annotations

from migration.contracts.workers import WorkerGuardInputs, WorkerGuardResult
from migration.runtime.context import Context
from migration.stages.identity import verify_cluster
from migration.workers.guard import refuse_with_pods


def run(inputs: WorkerGuardInputs, previous: WorkerGuardResult | None, context: Context) -> WorkerGuardResult:
    """Guard these groups. What was guarded before and isn't any more is about to be deleted, so it must be empty."""
    leaving = tuple(name for name in (previous.groups if previous else ()) if name not in inputs.groups)
    if leaving:
        refuse_with_pods(leaving, context)
    return WorkerGuardResult(groups=inputs.groups)


def release(inputs: WorkerGuardInputs, context: Context) -> None:
    """All of the groups are about to be deleted: raises `Permanent` unless nothing on their nodes would be lost."""
    verify_cluster(context.clients, inputs.cluster)
    refuse_with_pods(inputs.groups, context)
