"""A side's machines from two sources: what Auto Scaling and EC2 run, and what the cluster has Nodes for.

Neither alone may say that there is nothing. Without its Node an instance's pods can't be seen, and with another
cluster's kubeconfig there is no Node at all: what stops here would be taken for an empty side, and ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from migration.clients.aws import Instance
from migration.clients.documents import Document
from migration.drain.nodes import NodeApi, instance_of, name_of, nodes_of
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, OutOfTime, Permanent, Retryable

if TYPE_CHECKING:
    from migration.clients.aws import Aws

T = TypeVar("T")

# EC2's states of an instance that runs pods, or will.
LIVE = frozenset({"pending", "running"})
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Groups' instances (terminated ones left out), the Nodes on them, and live instances that have none."""

    groups: tuple[str, ...]
    instances: tuple[Instance, ...]
    nodes: tuple[Document, ...]
    nodeless: tuple[Instance, ...]

    @property
    def names(self) -> frozenset[str]:
        """The Nodes' names."""
        return frozenset(name_of(node) for node in self.nodes)

    @property
    def unseen(self) -> str:
        """What of the fleet the cluster doesn't show, and what to do about it; empty where it shows all."""
        if not self.nodeless:
            return ""
        if not self.nodes:
            return (
                f"none of {len(self.nodeless)} running instances ({named(self.nodeless)}) has a Node in this cluster; "
                f"if it is another cluster, correct KUBECONFIG or migration:kubeconfig, else wait until they joined"
            )
        return (
            f"{len(self.nodeless)} running instances have no Node in the cluster: {named(self.nodeless)}; what runs "
            f"there can't be seen: wait until they joined, or terminate them"
        )


def named(instances: Sequence[Instance]) -> str:
    """The first instances, each with its group."""
    more = f" and {len(instances) - SHOWN} more" if len(instances) > SHOWN else ""
    return ", ".join(f"{one.id} of {one.group}" for one in instances[:SHOWN]) + more


def look(aws: Aws, api: NodeApi, groups: Iterable[str], *, ended: Iterable[str] = ()) -> Fleet:
    """The groups' machines as they are now. `ended` names groups that may be gone, since they are to be deleted.

    Raises `Permanent` where a group doesn't exist, `Retryable` where the groups want instances and EC2 lists none.
    """
    names = tuple(dict.fromkeys(groups))
    if not names:
        raise Permanent("there is no worker group to look at: migration:pools is empty; list the old side's groups")
    described = aws.groups(names)
    absent = [name for name in names if name not in described and name not in set(ended)]
    if absent:
        raise Permanent(
            f"Auto Scaling groups {', '.join(absent)} don't exist in this account and region; correct migration:pools, "
            f"or the credentials if they are another account's"
        )
    instances = tuple(aws.instances_of_groups(names))
    desired = sum(int(group["DesiredCapacity"]) for group in described.values())
    if desired and not instances:
        raise Retryable(
            f"Auto Scaling groups {', '.join(described)} want {desired} instances and EC2 lists none; wait until they "
            f"run, or set the groups to size 0 if they are meant to be empty"
        )
    nodes = tuple(nodes_of(api, [one.id for one in instances]))
    joined = {instance_of(node) for node in nodes}
    nodeless = tuple(one for one in instances if one.state in LIVE and one.id not in joined)
    return Fleet(groups=names, instances=instances, nodes=nodes, nodeless=nodeless)


def some_pods(pods: Sequence[T]) -> Sequence[T]:
    """The cluster's pods; raises `Permanent` where there is none at all, which no cluster with nodes shows."""
    if not pods:
        raise Permanent(
            "the cluster's API lists no pod at all, in no namespace, so no node can be called empty; correct "
            "migration:kubeconfig if this is another cluster, or let this program list pods in all namespaces"
        )
    return pods


def joined(
    context: Context, groups: Iterable[str], *, join_seconds: int, ended: Iterable[str] = (), every: bool = True
) -> Fleet:
    """The groups' machines, once each live instance has its Node; `every=False` is content with one of them.

    Raises `Permanent` naming the instances that have none after `join_seconds`.
    """
    reason = ""

    def attempt() -> Fleet:
        nonlocal reason
        try:
            fleet = look(context.clients.aws, context.clients.kubernetes, groups, ended=ended)
        except Retryable as error:
            reason = str(error)
            raise
        reason = fleet.unseen if every or not fleet.nodes else ""
        if reason:
            raise Retryable(reason)
        return fleet

    patience = min(float(join_seconds), context.deadline.remaining)
    bounded = Deadline(patience, context.deadline.clock, context.deadline.sleeper)
    try:
        return bounded.until(attempt, "every instance to have its Node", pause=1.0)
    except OutOfTime as error:
        raise Permanent(f"{reason} (looked for {patience:g} s; limits.joinSeconds)") from error
