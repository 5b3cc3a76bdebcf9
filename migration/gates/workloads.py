"""Gates of the workers: the new side can take what the old one runs, and the old one runs nothing movable."""

from __future__ import annotations

from typing import cast

from migration.clients.documents import Document, listed, mapping
from migration.clients.kubernetes import NODES, PODS, VOLUMES
from migration.contracts.gates import NewNodesReady, NothingMovableOnOldNodes
from migration.drain.model import pod_from
from migration.drain.nodes import instance_of, name_of, ready
from migration.gates.live import Live
from migration.runtime.deadline import Permanent, Retryable
from migration.workers.fleet import Fleet, look, some_pods

ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone", "topology.ebs.csi.aws.com/zone")


def volume_zones(volume: Document) -> set[str]:
    """The zones in which a PersistentVolume can be used; empty where it doesn't matter."""
    terms = listed(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
    # Volumes of the in-tree plugins may say it by label alone, which the scheduler honours as well.
    labels = mapping(volume, "metadata", "labels")
    labelled = {zone for key in ZONE_LABELS if key in labels for zone in str(labels[key]).split("__")}
    return labelled | {
        zone
        for term in terms
        for expression in listed(term, "matchExpressions")
        if expression["key"] in ZONE_LABELS
        for zone in cast(list[str], expression.get("values") or [])
    }


def zone_of(node: Document) -> str:
    """A node's zone by its label."""
    labels = mapping(node, "metadata", "labels")
    return next((labels[key] for key in ZONE_LABELS if key in labels), "")


def new_nodes_ready(q: NewNodesReady, live: Live) -> str:
    """Each new group is as large as its old one, all its nodes ready; every zone with a volume has one."""
    aws, kubernetes = live.aws, live.kubernetes
    groups = aws.groups([name for pair in q.groups for name in (pair.old, pair.new)])
    absent = [pair.new for pair in q.groups if pair.new not in groups]
    if absent:
        raise Retryable(f"{len(absent)} new groups don't exist ({', '.join(absent[:3])})")
    unknown = [pair.old for pair in q.groups if pair.old not in groups]
    if unknown:
        raise Permanent(
            f"how large new groups must be can't be seen: old groups {', '.join(unknown)} don't exist; correct "
            f"migration:pools"
        )
    fleet = look(aws, kubernetes, [pair.new for pair in q.groups])
    nodes = {instance_of(node): node for node in fleet.nodes}
    total, zones = 0, set[str]()
    for old_name, new_name in ((pair.old, pair.new) for pair in q.groups):
        instances = [one for one in fleet.instances if one.group == new_name and one.state == "running"]
        ready_nodes = [nodes[one.id] for one in instances if one.id in nodes and ready(nodes[one.id])]
        # The minimum is the size captured when the group was made: the hold keeps it there until members are swapped.
        captured = int(groups[old_name]["DesiredCapacity"])
        wanted = max(int(groups[new_name]["MinSize"]), int(groups[new_name]["DesiredCapacity"]))
        if wanted < captured:
            raise Retryable(f"{new_name} is of size {wanted}, {old_name} of size {captured}")
        if len(ready_nodes) < wanted:
            raise Retryable(f"{len(ready_nodes)} of {wanted} nodes of {new_name} are ready{_unseen(fleet)}")
        total += len(ready_nodes)
        zones |= {zone_of(node) for node in ready_nodes}
    if fleet.nodeless:
        raise Retryable(fleet.unseen)
    if not total:
        raise Retryable("all worker groups, old and new, are of size 0: no node shows that the new side can run pods")
    needed = {zone for volume in kubernetes.list(VOLUMES) for zone in volume_zones(volume)}
    if needed - zones:
        raise Retryable(
            f"volumes live in {', '.join(sorted(needed - zones))}, where the new side has no ready node: volumes don't "
            f"leave their zone"
        )
    covered, volumes = ", ".join(sorted(zones - {""})), ", ".join(sorted(needed)) or "no zone"
    return f"{total} new nodes ready in {covered}; volumes live in {volumes}"


def _unseen(fleet: Fleet) -> str:
    return f"; {fleet.unseen}" if fleet.nodeless else ""


def nothing_movable(q: NothingMovableOnOldNodes, live: Live) -> str:
    """On what is left of the old nodes run only DaemonSet and mirror pods, and ended ones.

    That old nodes are gone counts only in a cluster that shows the new side's.
    """
    aws, kubernetes = live.aws, live.kubernetes
    old = look(aws, kubernetes, q.worker_groups)
    if old.nodeless:
        raise Retryable(old.unseen)
    if q.new_groups and not look(aws, kubernetes, q.new_groups).nodes:
        raise Retryable(
            f"the cluster shows no node of the new side's groups ({', '.join(q.new_groups[:3])}), so it can't say that "
            f"old nodes are empty; correct migration:kubeconfig if this is another cluster"
        )
    ended = {one.id for one in aws.instances_of_groups(q.worker_groups, terminated=True)}
    old_nodes = {name_of(node) for node in kubernetes.list(NODES) if instance_of(node) in ended}
    pods = [pod_from(item) for item in some_pods(kubernetes.list(PODS))]
    left = [pod.key for pod in pods if pod.node in old_nodes and not (pod.stays or pod.finished)]
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise Retryable(f"{len(left)} pods are left on old nodes: {', '.join(sorted(left)[:3])}{more}")
    waiting = sum(1 for pod in pods if not pod.node and pod.phase == "Pending")
    homeless = f"; warning: {waiting} pods find no node" if waiting else ""
    return f"{len(old_nodes)} old nodes left, with nothing movable{homeless}"
