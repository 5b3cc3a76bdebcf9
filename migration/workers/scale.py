"""Worker groups brought to zero, once they are drained, or back to the sizes they had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from migration.clients.aws import Aws
from migration.clients.documents import Document
from migration.clients.kubernetes import PODS
from migration.contracts.workers import GroupSize
from migration.drain.model import Pod, pod_from
from migration.drain.nodes import name_of, ready
from migration.runtime.context import Context
from migration.runtime.deadline import OutOfTime, Permanent, Retryable
from migration.workers.fleet import Fleet, joined, some_pods
from migration.workers.hold import suspended

TELL_EVERY = 2.0
"""Seconds between two lines of progress."""


def still_movable(pods: Sequence[Pod], nodes: frozenset[str]) -> list[Pod]:
    """Pods on `nodes` that would be lost with them: not finished, not a DaemonSet's, not the kubelet's own."""
    return [pod for pod in pods if pod.node in nodes and not pod.stays and not pod.finished]


def to_zero(groups: Sequence[str], context: Context, *, join_seconds: int, ended: Sequence[str] = ()) -> int:
    """Groups at zero, only while no node of theirs holds a pod that belongs elsewhere; how many instances ended.

    Refused while an instance has no Node: whether it is empty can't be seen. `ended` groups may be gone.
    """
    aws = context.clients.aws
    fleet = joined(context, groups, join_seconds=join_seconds, ended=ended)
    instances = fleet.instances
    context.deadline.until_true(lambda: _emptied(fleet, context), "pods to end on the groups' nodes", pause=1.0)
    described = aws.groups(groups)
    stuck = [name for name, group in described.items() if "Terminate" in suspended(group) and group.get("Instances")]
    if stuck:
        raise Permanent(
            f"Auto Scaling groups {', '.join(stuck)} have Terminate suspended; resume it: nothing can end there"
        )
    for name, group in described.items():
        if group["MinSize"] == 0 and group["DesiredCapacity"] == 0:
            continue
        context.alive()
        protected = [i["InstanceId"] for i in group.get("Instances", []) if i.get("ProtectedFromScaleIn")]
        if protected:
            context.log(f"{name}: {len(protected)} instances are no longer protected from scale-in; they are drained")
            aws.autoscaling.set_instance_protection(
                AutoScalingGroupName=name, InstanceIds=protected, ProtectedFromScaleIn=False
            )
        aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, DesiredCapacity=0)
    told = context.deadline.clock()

    def gone() -> bool:
        nonlocal told
        left = aws.instances_of_groups(groups)
        if not left:
            return True
        if context.deadline.clock() - told >= TELL_EVERY:
            told = context.deadline.clock()
            context.log(f"{len(left)} instances still end")
        raise Retryable(f"{len(left)} instances are left, the first is {left[0].id} ({left[0].state})")

    context.deadline.until_true(gone, "the groups' instances to be terminated", pause=0.5)
    if instances:
        context.log(f"{len(instances)} instances of {len(groups)} groups are gone")
    return len(instances)


def _emptied(fleet: Fleet, context: Context) -> bool:
    """Raises `Permanent` naming pods that would be lost, `Retryable` while the last ones end.

    Asked twice: of all pods, which shows that pods can be seen at all, and node by node, past the first answer.
    """
    api = context.clients.kubernetes
    if not fleet.nodes:
        return True
    _nothing_left(some_pods(api.list(PODS)), fleet.names)
    for name in sorted(fleet.names):
        _nothing_left(api.list(PODS, fields=f"spec.nodeName={name}"), fleet.names)
    return True


def _nothing_left(items: Sequence[Document], nodes: frozenset[str]) -> None:
    left = still_movable([pod_from(item) for item in items], nodes)
    running = [pod for pod in left if not pod.terminating]
    if running:
        named = ", ".join(f"{pod.key} on {pod.node}" for pod in running[:5])
        raise Permanent(f"{len(running)} pods still run on the nodes to be ended ({named}); drain them first")
    if left:
        raise Retryable(f"{len(left)} pods end, the first is {left[0].key}")


def to_recorded(sizes: Mapping[str, GroupSize], context: Context, *, join_seconds: int) -> None:
    """Groups back at the sizes they had, by name, with all of their instances in service and their nodes ready.

    Raises `Permanent` naming the groups that lack instances, and what Auto Scaling says of them.
    """
    aws = context.clients.aws
    described = _there(aws, sizes)
    # Only what has to launch something is opened, so that a run after a crash has little to open again.
    closed = [
        name
        for name, group in described.items()
        if "Launch" in suspended(group) and (_differs(group, sizes[name]) or _serving(group) < sizes[name].desired)
    ]
    try:
        for name, size in sizes.items():
            group = described[name]
            context.alive()
            if name in closed:
                aws.autoscaling.resume_processes(AutoScalingGroupName=name, ScalingProcesses=["Launch"])
            if _differs(group, size):
                aws.autoscaling.update_auto_scaling_group(
                    AutoScalingGroupName=name,
                    MinSize=size.min,
                    MaxSize=max(group["MaxSize"], size.desired),
                    DesiredCapacity=max(group["DesiredCapacity"], size.desired),
                )
        _served({name: size.desired for name, size in sizes.items()}, context, join_seconds=join_seconds)
    finally:
        for name in closed:
            # The hold stands: it is what suspended it.
            context.alive()
            aws.autoscaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=["Launch"])


def _differs(group: Document, size: GroupSize) -> bool:
    return group["MinSize"] != size.min or group["DesiredCapacity"] < size.desired


def _serving(group: Document) -> int:
    return sum(one["LifecycleState"] == "InService" for one in group.get("Instances", []))


def complete(groups: Sequence[str], context: Context, *, join_seconds: int) -> dict[str, int]:
    """Groups with every instance they want in service, their nodes ready: what was lost on the way is replaced.

    Their sizes. Raises `Permanent` as `to_recorded` does, and where a group's Launch is still suspended.
    """
    described = _there(context.clients.aws, groups)
    wanted = {name: int(group["DesiredCapacity"]) for name, group in described.items()}
    shut = [
        name
        for name, group in described.items()
        if "Launch" in suspended(group) and len(group.get("Instances", [])) < wanted[name]
    ]
    if shut:
        raise Permanent(
            f"Auto Scaling groups {', '.join(shut)} lack instances and have Launch suspended, by somebody else than "
            f"this program; resume it, so that what is lost can be replaced"
        )
    _served(wanted, context, join_seconds=join_seconds)
    return wanted


def _there(aws: Aws, groups: Iterable[str]) -> dict[str, Document]:
    names = tuple(groups)
    described = aws.groups(names)
    missing = sorted(set(names) - described.keys())
    if missing:
        raise Permanent(f"Auto Scaling groups {', '.join(missing)} don't exist any more; going back ends where they do")
    return described


def _served(wanted: Mapping[str, int], context: Context, *, join_seconds: int) -> None:
    """Wait until each group has so many instances in service, each with its Node, and those ready."""
    aws, reason = context.clients.aws, ""

    def served() -> bool:
        nonlocal reason
        described = aws.groups(wanted)
        short: dict[str, int] = {}
        for name, group in described.items():
            if _serving(group) < wanted[name]:
                short[name] = wanted[name] - _serving(group)
        if short:
            first = next(iter(short))
            zones = ", ".join(described[first].get("AvailabilityZones", [])) or "zones that AWS doesn't say"
            listed = ", ".join(f"{count} of {name}" for name, count in list(short.items())[:5])
            reason = (
                f"{sum(short.values())} instances are missing ({listed}; {first} is in {zones}){why(aws, first)}; "
                f"nothing was drained"
            )
            raise Retryable(reason)
        fleet = joined(context, tuple(wanted), join_seconds=join_seconds)
        unready = [name_of(node) for node in fleet.nodes if not ready(node)]
        if unready:
            reason = f"{len(unready)} nodes aren't ready: {', '.join(unready[:5])}; nothing was drained"
            raise Retryable(reason)
        return True

    try:
        context.deadline.until_true(served, "the groups to have their machines", pause=1.0)
    except OutOfTime as error:
        raise Permanent(
            f"{reason}. Add capacity, or another instance type to the group, and run the same up again; staying is safe"
        ) from error


def why(aws: Aws, group: str) -> str:
    """What Auto Scaling says of the last launch that failed; empty where it says nothing."""
    found = aws.autoscaling.describe_scaling_activities(AutoScalingGroupName=group, MaxRecords=10)["Activities"]
    failed = [one.get("StatusMessage", "") for one in found if one.get("StatusCode") == "Failed"]
    return f": {failed[0]}" if failed and failed[0] else ""
