"""Old nodes: found through their instances, tainted so that pods start elsewhere, cordoned while they are emptied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from migration.clients.documents import Document, listed, mapping
from migration.clients.kubernetes import NODES, Conflict, Kind, NotFound
from migration.drain.model import TAINT
from migration.drain.volumes import ZONE_LABELS
from migration.runtime.deadline import Deadline, Retryable

# Marks nodes that this program cordoned, so that the way back leaves those alone that somebody else did.
CORDONED = "migration/cordoned"
# Marks nodes that the drain command tainted: a side that is being left was tainted by a migration, and hasn't it.
SET_ASIDE = "migration/set-aside"
# On nodes that are replaced soon: pods that are moved go to new ones where they can, and so aren't moved twice.
AVOIDED = {"key": "migration/replaced-soon", "value": "true", "effect": "PreferNoSchedule"}
# What may happen to a node of the side; a merge patch each, made from the node as it was just read.
Change = Callable[[Document], dict[str, Any] | None]


class NodeApi(Protocol):
    """What is needed of the Kubernetes client."""

    def list(self, kind: Kind) -> list[dict[str, Any]]: ...
    def get(self, kind: Kind, name: str) -> dict[str, Any]: ...
    def patch(self, kind: Kind, name: str, body: Document) -> dict[str, Any]: ...


def instance_of(node: Document) -> str:
    """The instance id in a node's provider id (``aws:///<zone>/<id>``), or "" where there is none."""
    provider = str(mapping(node, "spec").get("providerID") or "")
    return provider.rsplit("/", 1)[-1] if provider.startswith("aws://") else ""


def nodes_of(api: NodeApi, instances: Iterable[str]) -> list[dict[str, Any]]:
    """The nodes that run on these instances, sorted by name."""
    wanted = set(instances)
    found = [node for node in api.list(NODES) if instance_of(node) in wanted]
    return sorted(found, key=lambda node: node["metadata"]["name"])


def name_of(node: Document) -> str:
    """A node's name."""
    return node["metadata"]["name"]


def zone_of(node: Document) -> str:
    """A node's zone by its label, or "" where it has none."""
    labels = mapping(node, "metadata", "labels")
    return next((labels[key] for key in ZONE_LABELS if key in labels), "")


def tainted(node: Document) -> dict[str, Any] | None:
    """The patch that adds the taint, or None when it is there."""
    taints = list(listed(node, "spec", "taints"))
    if any(_is_ours(taint) and taint.get("value") == TAINT["value"] for taint in taints):
        return None
    return {"spec": {"taints": [taint for taint in taints if not _is_ours(taint)] + [TAINT]}}


def cleared(node: Document) -> dict[str, Any] | None:
    """The patch that removes the taint, or None when it isn't there."""
    taints = list(listed(node, "spec", "taints"))
    left = [taint for taint in taints if not _is_ours(taint)]
    return {"spec": {"taints": left}} if len(left) != len(taints) else None


def cordoned(node: Document) -> dict[str, Any] | None:
    """The patch that taints and cordons, or None when both are so."""
    patch = tainted(node) or {"spec": {}}
    if not mapping(node, "spec").get("unschedulable"):
        patch["spec"]["unschedulable"] = True
        patch["metadata"] = {"annotations": {CORDONED: "true"}}
    return patch if patch["spec"] else None


def uncordoned(node: Document) -> dict[str, Any] | None:
    """The patch that takes our own cordon away; one that somebody else set stays."""
    if CORDONED not in mapping(node, "metadata", "annotations"):
        return None
    return {"spec": {"unschedulable": None}, "metadata": {"annotations": {CORDONED: None}}}


def set_aside(node: Document) -> dict[str, Any] | None:
    """As `cordoned`; a taint that is new is noted, so that `given_back` takes that one away and no migration's."""
    patch = cordoned(node)
    if patch is None or "taints" not in patch["spec"]:
        return patch
    return {**patch, "metadata": {"annotations": {**mapping(patch, "metadata", "annotations"), SET_ASIDE: "true"}}}


def given_back(node: Document) -> dict[str, Any] | None:
    """The patch that takes back what `set_aside` did, or None where it did nothing."""
    patch: dict[str, Any] = uncordoned(node) or {"spec": {}, "metadata": {"annotations": {}}}
    if SET_ASIDE in mapping(node, "metadata", "annotations"):
        patch["spec"] |= (cleared(node) or {"spec": {}})["spec"]
        patch["metadata"]["annotations"][SET_ASIDE] = None
    return patch if patch["metadata"]["annotations"] else None


def of_a_migration(node: Document) -> bool:
    """Whether a migration tainted the node, as it does with the side that it leaves."""
    ours = any(_is_ours(taint) for taint in listed(node, "spec", "taints"))
    return ours and SET_ASIDE not in mapping(node, "metadata", "annotations")


def avoided(node: Document) -> dict[str, Any] | None:
    """The patch by which pods prefer other nodes to this one, which goes soon; None when that is so."""
    taints = listed(node, "spec", "taints")
    return None if AVOIDED in taints else {"spec": {"taints": [*taints, AVOIDED]}}


def unavoided(node: Document) -> dict[str, Any] | None:
    """The patch that takes that back, and the other taint with it; None when neither is there."""
    taints = listed(node, "spec", "taints")
    left = [taint for taint in taints if taint != AVOIDED and not _is_ours(taint)]
    return {"spec": {"taints": left}} if len(left) != len(taints) else None


def _is_ours(taint: Document) -> bool:
    return taint.get("key") == TAINT["key"] and taint.get("effect") == TAINT["effect"]


def change_nodes(
    api: NodeApi,
    nodes: Sequence[Document],
    change: Change,
    *,
    alive: Callable[[], None],
    deadline: Deadline,
) -> int:
    """Apply `change` to every node that needs it; returns how many did. A node that went meanwhile is left out.

    Lists (taints) are replaced as a whole by a merge patch, so each carries the version it was made from.
    """
    changed = 0
    for node in nodes:
        changed += deadline.until(
            lambda node=node: _change(api, node, change, alive), f"node {name_of(node)} to take a change"
        )
    return changed


def _change(api: NodeApi, node: Document, change: Change, alive: Callable[[], None]) -> int:
    """1 when the node was changed, 0 when there was no need, or no node any more."""
    patch = change(node)
    if patch is None:
        return 0
    alive()
    try:
        _send(api, node, patch)
    except NotFound:
        return 0
    except Conflict as conflict:
        try:
            fresh = api.get(NODES, name_of(node))
            again = change(fresh)
            if again is not None:
                _send(api, fresh, again)
        except NotFound:
            return 0
        except Conflict:
            raise Retryable(str(conflict)) from conflict
    return 1


def _send(api: NodeApi, node: Document, patch: dict[str, Any]) -> None:
    version = node["metadata"].get("resourceVersion")
    body = {**patch, "metadata": {**mapping(patch, "metadata"), "resourceVersion": version}}
    api.patch(NODES, name_of(node), body)


def ready(node: Document) -> bool:
    """Whether a node's Ready condition is true."""
    conditions = listed(node, "status", "conditions")
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
