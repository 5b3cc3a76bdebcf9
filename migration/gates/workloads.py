"""Gates of the workers: the new side can take what the old one runs, and the old one runs nothing movable."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from migration.clients.aws import VALUES_PER_FILTER, batches, described
from migration.clients.documents import Document, listed
from migration.clients.kubernetes import NODES, PODS, VOLUMES
from migration.contracts.gates import (
    EveryOldNodeInAPool,
    NewNodesReady,
    NothingMovableOnNewNodes,
    NothingMovableOnOldNodes,
)
from migration.drain.model import pod_from
from migration.drain.nodes import instance_of, name_of, ready, zone_of
from migration.drain.volumes import volume_zones
from migration.gates.live import Live
from migration.reachability import vpc_cidrs
from migration.runtime.deadline import Permanent, Retryable
from migration.workers.fleet import Fleet, look, some_pods
from migration.workers.scale import still_movable

if TYPE_CHECKING:
    from migration.clients.aws import Aws


def every_node_known(q: EveryOldNodeInAPool, live: Live) -> str:
    """Each Node of the old VPC is a pool's or a member's: any other would keep its pods, and be cut off with them."""
    aws = live.aws
    nodes = live.kubernetes.list(NODES)
    if not nodes:
        raise Retryable("the cluster's API lists no Node at all; correct migration:kubeconfig if it is another cluster")
    groups = (*q.worker_groups, *q.member_groups)
    existing = aws.groups(groups)
    absent = [name for name in groups if name not in existing]
    if absent:
        raise Permanent(
            f"whose nodes are known can't be told: Auto Scaling groups {', '.join(absent)} don't exist; correct "
            f"migration:pools and migration:members"
        )
    # Groups at zero, after a drain, have no node to recognise the cluster by; nothing_movable does by the new side's.
    workers = look(aws, live.kubernetes, q.worker_groups)
    if workers.nodeless and not workers.nodes:
        raise Retryable(workers.unseen)
    ours = {one.id for one in aws.instances_of_groups(groups, terminated=True)}
    known = [node for node in nodes if instance_of(node) in ours]
    others = [node for node in nodes if instance_of(node) not in ours]
    vpcs = _vpcs_of(aws, [instance for node in others if (instance := instance_of(node))])
    vpc = live.vpc(live.side(q.old))
    ranges = [IPv4Network(cidr) for one in aws.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"] for cidr in vpc_cidrs(one)]
    strays = [name_of(node) for node in others if instance_of(node) and vpcs.get(instance_of(node)) == vpc]
    strays += [name_of(node) for node in others if not instance_of(node) and not _outside(node, ranges)]
    if strays:
        raise Permanent(
            f"{len(strays)} Nodes of the old VPC are in no group of migration:pools or members: {_some(strays)}; they "
            f"would take evicted pods and be cut off with them: add their group to migration:pools, or drain and "
            f"terminate them and keep their maker (Karpenter, say) off the old VPC's subnets"
        )
    gone = [name_of(node) for node in others if instance_of(node) and instance_of(node) not in vpcs]
    if gone:
        raise Retryable(
            f"EC2 doesn't say in which VPC {len(gone)} Nodes run: {_some(gone)}; delete the Node if its instance is "
            f"gone, or correct the credentials if it is another account's"
        )
    return f"{len(known)} Nodes run on instances of the old groups, {len(others)} outside of the old VPC"


def _some(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _vpcs_of(aws: Aws, instances: Sequence[str]) -> dict[str, str]:
    """The VPC of each instance that EC2 has; one that is terminated has none."""
    paginator = aws.ec2.get_paginator("describe_instances")
    found: dict[str, str] = {}
    for batch in batches(instances, VALUES_PER_FILTER):
        for page in paginator.paginate(Filters=[{"Name": "instance-id", "Values": batch}]):
            items = [item for one in described(page["Reservations"]) for item in one["Instances"]]
            found |= {item["InstanceId"]: item["VpcId"] for item in items if item.get("VpcId")}
    return found


def _outside(node: Document, ranges: Sequence[IPv4Network]) -> bool:
    """Whether a Node that names no instance has addresses, and all of them outside of the ranges."""
    addresses = [one["address"] for one in listed(node, "status", "addresses") if one.get("type") == "InternalIP"]
    own = [IPv4Address(address) for address in addresses if ":" not in address]
    return bool(own) and not any(address in network for address in own for network in ranges)


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
    return _nothing_movable(q.worker_groups, q.new_groups, "old", "new", live)


def nothing_movable_on_new(q: NothingMovableOnNewNodes, live: Live) -> str:
    """The same of the new side's nodes, before its groups go. Before they are made there is nothing on them."""
    return _nothing_movable(q.worker_groups, q.old_groups, "new", "old", live, ended=q.worker_groups)


def _nothing_movable(
    groups: Sequence[str], others: Sequence[str], here: str, there: str, live: Live, ended: Sequence[str] = ()
) -> str:
    aws, kubernetes = live.aws, live.kubernetes
    fleet = look(aws, kubernetes, groups, ended=ended)
    if fleet.nodeless:
        raise Retryable(fleet.unseen)
    if others and not look(aws, kubernetes, others).nodes:
        raise Retryable(
            f"the cluster shows no node of the {there} side's groups ({', '.join(others[:3])}), so it can't say that "
            f"{here} nodes are empty; correct migration:kubeconfig if this is another cluster"
        )
    known = {one.id for one in aws.instances_of_groups(groups, terminated=True)}
    nodes = {name_of(node) for node in kubernetes.list(NODES) if instance_of(node) in known}
    pods = [pod_from(item) for item in some_pods(kubernetes.list(PODS))]
    left = [pod.key for pod in still_movable(pods, frozenset(nodes))]
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise Retryable(f"{len(left)} pods are left on {here} nodes: {', '.join(sorted(left)[:3])}{more}")
    waiting = sum(1 for pod in pods if not pod.node and pod.phase == "Pending")
    homeless = f"; warning: {waiting} pods find no node" if waiting else ""
    return f"{len(nodes)} {here} nodes left, with nothing movable{homeless}"
