"""Where a PersistentVolume can be used: in which zones, or on one node alone."""

from __future__ import annotations

from typing import cast

from migration.clients.documents import Document, listed, mapping

ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone", "topology.ebs.csi.aws.com/zone")
HOSTNAME = "kubernetes.io/hostname"


def volume_zones(volume: Document) -> set[str]:
    """The zones in which a PersistentVolume can be used; empty where it doesn't matter."""
    # Volumes of the in-tree plugins may say it by label alone, which the scheduler honours as well.
    labels = mapping(volume, "metadata", "labels")
    labelled = {zone for key in ZONE_LABELS if key in labels for zone in str(labels[key]).split("__")}
    return labelled | {
        zone
        for expression in _expressions(volume)
        if expression["key"] in ZONE_LABELS
        for zone in cast(list[str], expression.get("values") or [])
    }


def node_bound(volume: Document) -> bool:
    """Whether a PersistentVolume lives on one node: its data can't follow a pod elsewhere."""
    spec = mapping(volume, "spec")
    return "local" in spec or "hostPath" in spec or any(one["key"] == HOSTNAME for one in _expressions(volume))


def _expressions(volume: Document) -> list[Document]:
    terms = listed(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
    return [expression for term in terms for expression in listed(term, "matchExpressions")]
