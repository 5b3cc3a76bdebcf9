"""Moving a Deployment whose budget never allows an eviction: by a rolling restart that starts before it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from migration.clients.documents import Document, listed, mapping

# On the pod template: where from, and which attempt. A value that only changes once a restart is through makes
# running again after a crash patch nothing.
MOVED = "migration/restarted-off"


@dataclass(frozen=True)
class Step:
    """What a rolling restart needs now: to wait, to be begun with `value` (`again`: not the first), or help."""

    do: Literal["wait", "restart", "stuck"]
    value: str = ""
    reason: str = ""
    again: bool = False


def next_step(deployment: Document, off: str) -> Step:
    """The step for a Deployment that still has pods on the nodes of `off` (a VPC's id or a side's name)."""
    spec, status = mapping(deployment, "spec"), mapping(deployment, "status")
    wanted = int(spec.get("replicas", 1))
    seen = int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation") or 0)
    through = (
        seen
        and int(status.get("updatedReplicas") or 0) >= wanted
        and int(status.get("replicas") or 0) <= wanted
        and int(status.get("availableReplicas") or 0) >= wanted
    )
    if not through:
        for condition in listed(status, "conditions"):
            if seen and condition.get("type") == "Progressing" and condition.get("status") == "False":
                return Step(
                    "stuck",
                    reason=f"its rolling restart is stuck: {condition.get('message') or 'no progress'}",
                )
        return Step("wait")
    before = str(mapping(spec, "template", "metadata", "annotations").get(MOVED) or "")
    place, _, count = before.rpartition("/")
    number = int(count) + 1 if place == off and count.isdigit() else 1
    return Step("restart", value=f"{off}/{number}", again=number > 1)


def restart_patch(deployment: Document, value: str) -> dict[str, Any]:
    """The merge patch that begins it, bound to the version the step was decided from."""
    return {
        "metadata": {"resourceVersion": deployment["metadata"]["resourceVersion"]},
        "spec": {"template": {"metadata": {"annotations": {MOVED: value}}}},
    }
