"""Whether groups may be deleted: only those whose nodes hold nothing that would be lost with them."""

from __future__ import annotations

from collections.abc import Sequence

from migration.clients.kubernetes import PODS
from migration.drain.model import pod_from
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent
from migration.workers.fleet import look, some_pods
from migration.workers.scale import still_movable


def refuse_with_pods(groups: Sequence[str], context: Context) -> None:
    """Raise `Permanent` where a pod would be lost with the groups, or where that can't be seen.

    Groups that are gone hold nothing. An instance without a Node may hold anything.
    """
    fleet = look(context.clients.aws, context.clients.kubernetes, groups, ended=groups)
    if not fleet.instances:
        return
    remedy = "drain them first (the stage before does, step by step: docs/runbook.md); nothing was deleted"
    if fleet.nodeless:
        raise Permanent(f"worker groups can't be deleted: {fleet.unseen}")
    pods = [pod_from(item) for item in some_pods(context.clients.kubernetes.list(PODS))]
    left = still_movable(pods, fleet.names)
    if left:
        named = ", ".join(f"{pod.key} on {pod.node}" for pod in left[:5])
        raise Permanent(
            f"worker groups can't be deleted while {len(left)} pods are on their {len(fleet.names)} nodes ({named}): "
            f"{remedy}"
        )
