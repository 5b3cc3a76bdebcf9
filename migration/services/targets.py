"""What the cloud controller takes for targets of a Service's balancer: patches of nodes and Services. Pure.

The controller registers every ready node of the cluster, whatever VPC it is in, and AWS refuses a target group nodes of
two VPCs as a whole (InvalidTarget). Two things keep the new side's out:

- A Service may name labels that its targets have (`TARGETS`): with one that only old nodes carry, a new node is none
  from the moment it joins, also one that Auto Scaling launches between two runs of this program.
- A node with the label `EXCLUDED` is no target of any Service. It comes when this program sees the node, and holds
  where somebody writes the Service's annotation back.

Neither stands in user data: kubelets only say labels when they register, so one couldn't be taken back, and a template
that changes at the end would replace every node.
https://kubernetes.io/docs/reference/labels-annotations-taints/ (both)
"""

from __future__ import annotations

from typing import Any

from migration.clients.documents import Document, listed, mapping

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
TARGETS = "service.beta.kubernetes.io/aws-load-balancer-target-node-labels"
SIDE = "migration/side"
"""On old nodes; its value is the side's name."""
OURS = "migration/excluded"
"""Annotation of nodes that this program excluded, so that what somebody else excluded stays so."""
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
"""On a Service while the cloud controller has a balancer to delete for it."""


def labels_of(item: Document) -> dict[str, Any]:
    """An object's labels."""
    return dict(mapping(item, "metadata", "labels"))


def annotations_of(item: Document) -> dict[str, Any]:
    """An object's annotations."""
    return dict(mapping(item, "metadata", "annotations"))


def excluded(node: Document) -> dict[str, Any] | None:
    """The patch that keeps a node out of every balancer, or None where it is."""
    if EXCLUDED in labels_of(node):
        return None
    return {"metadata": {"labels": {EXCLUDED: "true"}, "annotations": {OURS: "true"}}}


def admitted(node: Document) -> dict[str, Any] | None:
    """The patch that takes our own exclusion away, or None; somebody else's stays."""
    if OURS not in annotations_of(node):
        return None
    return {"metadata": {"labels": {EXCLUDED: None}, "annotations": {OURS: None}}}


def of_side(node: Document, side: str) -> dict[str, Any] | None:
    """The patch that marks a node as one of the side, or None where it is marked."""
    return None if labels_of(node).get(SIDE) == side else {"metadata": {"labels": {SIDE: side}}}


def of_no_side(node: Document) -> dict[str, Any] | None:
    """The patch that takes the mark away, or None where there is none."""
    return {"metadata": {"labels": {SIDE: None}}} if SIDE in labels_of(node) else None


def limited(service: Document, side: str) -> dict[str, Any] | None:
    """The patch by which only nodes of the side are targets, beside what is asked of them anyway; None if it is so."""
    pairs = _pairs(service)
    wanted = [*(one for one in pairs if not _ours(one)), f"{SIDE}={side}"]
    return None if pairs == wanted else {"metadata": {"annotations": {TARGETS: ",".join(wanted)}}}


def unlimited(service: Document) -> dict[str, Any] | None:
    """The patch that takes that back, or None where it isn't there."""
    pairs = _pairs(service)
    left = [one for one in pairs if not _ours(one)]
    return None if pairs == left else {"metadata": {"annotations": {TARGETS: ",".join(left) or None}}}


def given_up(service: Document) -> dict[str, Any] | None:
    """The patch that makes it a NodePort with the ports it has, or None where it is none of the type any more."""
    if mapping(service, "spec").get("type") != "LoadBalancer":
        return unlimited(service)
    # What only the other type may have, and the API server doesn't take away by itself, goes in the same change.
    spec = {"type": "NodePort", "loadBalancerSourceRanges": None, "loadBalancerIP": None}
    return {**(unlimited(service) or {}), "spec": spec}


def node_ports(service: Document) -> list[int | None]:
    """Its node ports, port by port; None for one that has none."""
    return [one.get("nodePort") for one in listed(service, "spec", "ports")]


def _pairs(service: Document) -> list[str]:
    said = str(annotations_of(service).get(TARGETS, "")).split(",")
    return [one.strip() for one in said if one.strip()]


def _ours(pair: str) -> bool:
    return pair.partition("=")[0].strip() == SIDE
