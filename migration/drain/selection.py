"""The nodes that a label selector means, refused where draining them can't be meant. Only reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from migration.clients.documents import Document, listed, mapping
from migration.clients.kubernetes import NODES, ApiFailure, Kind
from migration.drain.model import TAINT
from migration.drain.nodes import name_of, of_a_migration
from migration.drain.room import CONTROL_PLANE, takes_pods
from migration.runtime.deadline import Permanent

SHOWN = 3


class SelectionApi(Protocol):
    """What is needed of the Kubernetes client."""

    def list(self, kind: Kind, *, labels: str | None = None) -> list[dict[str, Any]]: ...


def selected(api: SelectionApi, selector: str) -> list[Document]:
    """The nodes, sorted by name; raises `Permanent` where they are such as nobody drains together."""
    nodes = listed_by(api, selector)
    _refuse(selector, nodes, api.list(NODES))
    return nodes


def listed_by(api: SelectionApi, selector: str) -> list[Document]:
    """The nodes, sorted by name; raises `Permanent` for a selector that can't be read or matches none."""
    if not selector.strip():
        raise Permanent("--nodes is empty, which means every node; give a label selector, like pool=old")
    try:
        found = api.list(NODES, labels=selector)
    except ApiFailure as failure:
        if failure.code == 400:
            raise Permanent(f"--nodes {selector!r} is no label selector: {failure.message}") from failure
        raise Permanent(f"the nodes can't be listed: {failure}") from failure
    if not found:
        raise Permanent(
            f"--nodes {selector!r} matches none of the cluster's {len(api.list(NODES))} nodes; see their labels with "
            f"kubectl get nodes --show-labels"
        )
    return sorted(found, key=name_of)


def _refuse(selector: str, nodes: Sequence[Document], every: Sequence[Document]) -> None:
    said = f"--nodes {selector!r}"
    if members := [node for node in nodes if of_control_plane(node)]:
        raise Permanent(
            f"{said} matches nodes of the control plane ({_named(members)}), which a drain would stop; leave them out, "
            f"with ',!{sorted(CONTROL_PLANE)[0]}' at its end"
        )
    names = {name_of(node) for node in nodes}
    others = [node for node in every if name_of(node) not in names and takes_pods(node)]
    if not others:
        raise Permanent(
            f"{said} matches {len(nodes)} of {len(every)} nodes and leaves none that is ready, uncordoned and without "
            f"the taint {TAINT['key']}, so the pods could go nowhere; select fewer, or add nodes first"
        )
    left = [node for node in nodes if of_a_migration(node)]
    both = [node for node in nodes if not _tainted(node)]
    if left and both:
        raise Permanent(
            f"{said} matches nodes of both sides of a migration: {len(left)} have its taint ({_named(left)}), "
            f"{len(both)} don't ({_named(both)}); select one side's, or let the migration's stage 6 drain the old one"
        )


def of_control_plane(node: Document) -> bool:
    """Whether a node is one of the control plane's, by its label or its taint."""
    taints = {taint.get("key") for taint in listed(node, "spec", "taints")}
    return bool(CONTROL_PLANE & {*mapping(node, "metadata", "labels"), *taints})


def _tainted(node: Document) -> bool:
    return any(taint.get("key") == TAINT["key"] for taint in listed(node, "spec", "taints"))


def _named(nodes: Sequence[Document]) -> str:
    more = f" and {len(nodes) - SHOWN} more" if len(nodes) > SHOWN else ""
    return ", ".join(map(name_of, nodes[:SHOWN])) + more
