"""Nodes of another version than their group's replaced: new ones first, old ones drained, batch by batch.

What is due is observed each time: instances whose launch template or version isn't their group's, and groups of the
side that aren't wanted any more. What a group had before stands on it as a tag until it is given back, so a killed run
is simply gone on with. Nothing ends with movable pods on it, and sizes end as they were.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from migration import target_groups
from migration.clients.aws import Aws, described
from migration.clients.documents import Document, listed, mapping
from migration.clients.kubernetes import PODS
from migration.contracts.workers import RolledGroup, RollNote
from migration.discover.tags import tags_of
from migration.drain.executor import Tally
from migration.drain.model import pod_from
from migration.drain.nodes import (
    CORDONED,
    avoided,
    change_nodes,
    instance_of,
    name_of,
    nodes_of,
    ready,
    tainted,
    unavoided,
)
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, OutOfTime, Permanent, Retryable
from migration.workers.fleet import joined, some_pods
from migration.workers.hold import suspended
from migration.workers.scale import still_movable, why

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.type_defs import TagTypeDef

TAG = "migration:roll"
# Auto Scaling may neither balance zones meanwhile, which ends machines nobody drained, nor launch where pods leave.
BALANCE, LAUNCH = "AZRebalance", "Launch"
# A machine has to be launched and to boot before it is given `join_seconds` to become a node.
PATIENCE = 2.0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One group as it is: sizes, what was suspended, and its machines of its own version (`fresh`) and of others.

    `pool` is whose it is by its tag.
    """

    name: str
    pool: str
    min: int
    max: int
    desired: int
    suspended: frozenset[str]
    fresh: tuple[str, ...]
    stale: tuple[str, ...]
    note: RollNote | None

    @property
    def machines(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.fresh, *self.stale)


def versions_of(aws: Aws, group: Document) -> tuple[str, str]:
    """The id of the launch template that a group launches from, and the number of its version; empty without one."""
    said = group.get("LaunchTemplate") or mapping(
        group, "MixedInstancesPolicy", "LaunchTemplate", "LaunchTemplateSpecification"
    )
    if not said:
        return "", ""
    version = str(said.get("Version") or "$Default")
    if not version.isdigit():
        [found] = described(
            aws.ec2.describe_launch_template_versions(LaunchTemplateId=said["LaunchTemplateId"], Versions=[version])[
                "LaunchTemplateVersions"
            ]
        )
        version = str(found["VersionNumber"])
    return str(said["LaunchTemplateId"]), version


def refuse_other_version(aws: Aws, group: Document, template: str, version: str) -> None:
    """Raise `Permanent` where a group launches from something else than it is said to: a roll would go on for ever."""
    there = versions_of(aws, group)
    if there != (template, version):
        raise Permanent(
            f"Auto Scaling group {group['AutoScalingGroupName']} launches from version {there[1] or '?'} of "
            f"{there[0] or 'no launch template'}, not from version {version} of {template}; somebody changed it: run "
            f"pulumi refresh and pulumi up"
        )


def standing(aws: Aws, group: Document) -> Standing:
    """A group's standing, from AWS's description of it. A machine that doesn't say its version counts as stale."""
    template, version = versions_of(aws, group)
    fresh: list[str] = []
    stale: list[str] = []
    for one in listed(group, "Instances"):
        if str(one["LifecycleState"]).startswith("Terminat"):
            continue
        own = mapping(one, "LaunchTemplate")
        is_fresh = bool(template) and (own.get("LaunchTemplateId"), str(own.get("Version"))) == (template, version)
        (fresh if is_fresh else stale).append(one["InstanceId"])
    tags = tags_of(group)
    return Standing(
        name=group["AutoScalingGroupName"],
        pool=tags.get("pool", ""),
        min=int(group["MinSize"]),
        max=int(group["MaxSize"]),
        desired=int(group["DesiredCapacity"]),
        suspended=frozenset(suspended(group)),
        fresh=tuple(sorted(fresh)),
        stale=tuple(sorted(stale)),
        note=RollNote.model_validate_json(tags[TAG]) if TAG in tags else None,
    )


def groups_of_side(aws: Aws, cluster: str, side: str) -> dict[str, Document]:
    """All worker groups that this program made for a side, by name; found by their tags, whoever wants them still."""
    wanted = {"migration:cluster": cluster, "migration:side": side, "migration:role": "node"}
    filters: Any = [{"Name": f"tag:{key}", "Values": [value]} for key, value in wanted.items()]
    pages = aws.autoscaling.get_paginator("describe_auto_scaling_groups").paginate(Filters=filters)
    found = (group for page in pages for group in described(page["AutoScalingGroups"]))
    return {group["AutoScalingGroupName"]: group for group in found if not group.get("Status")}


def surge_of(share: str, nodes: int) -> int:
    """How many of `nodes` are replaced at once, by a number or a percentage; at least one."""
    return max(1, math.ceil(nodes * int(share[:-1]) / 100) if share.endswith("%") else int(share))


def next_batch(
    candidates: Sequence[str], most: int, serving: frozenset[str], begun: frozenset[str] = frozenset()
) -> list[str]:
    """Which machines go next: at most so many, those that were begun with first, and no more than half of `serving`.

    `serving` are the machines that answer behind the balancers: the others answer meanwhile.
    """
    chosen: list[str] = []
    may_serve = max(1, len(serving) // 2)
    for one in sorted(candidates, key=lambda machine: (machine not in begun, machine)):
        if len(chosen) == most:
            break
        if one in serving and one not in begun and not may_serve:
            continue
        may_serve -= one in serving
        chosen.append(one)
    return chosen


def told(standings: Iterable[Standing], leaving: Iterable[Standing]) -> list[str]:
    """What is due, a sentence for each group; empty where nothing is."""
    found = [
        f"{one.name}: {len(one.stale)} of {len(one.machines)} nodes are of another version"
        for one in standings
        if one.stale
    ]
    return found + [
        f"{one.name} isn't wanted any more: {len(one.machines)} nodes are drained, then it is deleted"
        for one in leaving
        if one.machines
    ]


Empty = Callable[[Sequence[Document], str], Tally]
"""Cordons nodes and drains them; the text tells this batch from others."""


@dataclass(kw_only=True)
class Roller:
    """One roll of one side. `room` refuses where what is on nodes that go for good finds none elsewhere."""

    cluster: str
    side: str
    wanted: Sequence[RolledGroup]
    before: Mapping[str, str]
    surge: str
    target_groups: Sequence[str]
    join_seconds: int
    context: Context
    empty: Empty
    room: Callable[[Sequence[Document]], None]
    nodes: int = 0
    tally: Tally = field(default_factory=Tally)

    def due(self) -> tuple[list[Standing], list[Standing]]:
        """The wanted groups and those that leave, as they are. Raises `Permanent` where a wanted one isn't there."""
        names = {one.group: one for one in self.wanted}
        made = groups_of_side(self._aws, self.cluster, self.side)
        known = self._aws.groups([*names, *self.before.values()]) | made
        absent = [name for name in names if name not in known]
        if absent:
            raise Permanent(f"Auto Scaling groups {', '.join(absent)} of {self.side} don't exist; run pulumi up first")
        for name, one in names.items():
            refuse_other_version(self._aws, known[name], one.template, one.version)
        standings = {name: standing(self._aws, group) for name, group in known.items()}
        return [standings[name] for name in names], [one for name, one in standings.items() if name not in names]

    def left(self) -> list[str]:
        """Machines that are to go."""
        there, leaving = self.due()
        return [one for group in there for one in group.stale] + [one for group in leaving for one in group.machines]

    def run(self) -> None:
        """Replace what is due. Raises `Permanent` before anything is changed where pods would have nowhere to go."""
        there, leaving = self.due()
        for sentence in (*told(there, leaving), *self._retiring()):
            self.context.log(sentence)
        drained = {one.group for one in self.wanted if one.retiring == "drain"}
        shut = {one.group for one in self.wanted if one.retiring is not None}
        pools = {one.pool for one in self.wanted}
        for_good = [one for one in leaving if one.pool not in pools] + [one for one in there if one.name in drained]
        if machines := [machine for one in for_good for machine in one.machines]:
            self.room(nodes_of(self._api, machines))
        for one in (*leaving, *(one for one in there if one.name in shut)):
            self._shut(one)
        self._succeed(leaving)
        begun = len(self._candidates(drained))
        most = surge_of(self.surge, sum(len(one.machines) for one in (*there, *leaving))) if begun else 0
        at_first = len(self._serving())
        while candidates := self._candidates(drained):
            self._batch(candidates, most, at_first, shut)
        self._give_back(shut)

    def _retiring(self) -> list[str]:
        how = {"drain": "its nodes are drained and end", "leave": "its pods go by themselves"}
        return [f"{one.group} takes no more pods; {how[one.retiring]}" for one in self.wanted if one.retiring]

    # Observation

    @property
    def _aws(self) -> Aws:
        return self.context.clients.aws

    @property
    def _api(self) -> Any:
        return self.context.clients.kubernetes

    def _candidates(self, drained: set[str]) -> dict[str, Standing]:
        """Machines that are to go, each with its group; those of groups that only take no more pods stay."""
        there, leaving = self.due()
        shut = {one.group for one in self.wanted if one.retiring is not None}
        found = {machine: one for one in there if one.name not in shut for machine in one.stale}
        found |= {machine: one for one in there if one.name in drained for machine in one.machines}
        return found | {machine: one for one in leaving for machine in one.machines}

    def _serving(self) -> frozenset[str]:
        return frozenset(
            target.id
            for arn in self.target_groups
            for target in self._aws.target_health(arn)
            if target.state == "healthy"
        )

    # Steps

    def _note(self, one: Standing, processes: Sequence[str]) -> RollNote:
        """What a group has, kept on it before the first change, and the processes suspended."""
        note = one.note
        if note is None:
            note = RollNote(
                min=one.min,
                max=one.max,
                desired=one.desired,
                suspended=tuple(sorted(one.suspended & {BALANCE, LAUNCH})),
            )
            self.context.alive()
            self._aws.autoscaling.create_or_update_tags(Tags=[{**_tag(one.name), "Value": note.model_dump_json()}])
        missing = [process for process in processes if process not in one.suspended]
        if missing:
            self.context.alive()
            self._aws.autoscaling.suspend_processes(AutoScalingGroupName=one.name, ScalingProcesses=missing)
        return note

    def _shut(self, one: Standing) -> None:
        """No machine and no new pod comes to a group that is to be left."""
        self._note(one, (BALANCE, LAUNCH))
        if one.min:
            self.context.alive()
            self._aws.autoscaling.update_auto_scaling_group(AutoScalingGroupName=one.name, MinSize=0)
        nodes = nodes_of(self._api, one.machines)
        changed = change_nodes(self._api, nodes, tainted, alive=self.context.alive, deadline=self.context.deadline)
        if changed:
            self.context.log(f"{one.name}: {changed} nodes take no new pods")

    def _succeed(self, leaving: Sequence[Standing]) -> None:
        """A group that follows another of its pool gets its sizes: those are the ones that are lived with."""
        there, _ = self.due()
        by_pool = {one.pool: name for one in self.wanted for name in (one.group,)}
        now = {one.name: one for one in there}
        grown: dict[str, int] = {}
        for one in leaving:
            name = by_pool.get(one.pool)
            if name is None or not one.machines:
                continue
            had = one.note or RollNote(min=one.min, max=one.max, desired=one.desired)
            new = now[name]
            least, desired = max(new.min, had.min), max(new.desired, had.desired)
            most = max(new.max, had.max, desired)
            if (least, most, desired) != (new.min, new.max, new.desired):
                self.context.alive()
                self._aws.autoscaling.update_auto_scaling_group(
                    AutoScalingGroupName=name, MinSize=least, MaxSize=most, DesiredCapacity=desired
                )
                self.context.log(f"{name} takes over from {one.name}: {desired} nodes")
            grown[name] = desired
        if grown:
            self._until_fresh(grown)

    def _batch(self, candidates: Mapping[str, Standing], most: int, at_first: int, shut: set[str]) -> None:
        fleet = joined(
            self.context,
            sorted({one.name for one in candidates.values()}),
            join_seconds=self.join_seconds,
            ended=sorted({one.name for one in candidates.values()}),
        )
        by_instance = {instance_of(node): node for node in fleet.nodes}
        begun = frozenset(
            machine
            for machine, node in by_instance.items()
            if machine in candidates and CORDONED in mapping(node, "metadata", "annotations")
        )
        chosen = next_batch(list(candidates), most, self._serving(), begun)
        stale = {one.name: one for one in candidates.values() if one.name not in shut and one.stale}
        wanted_groups = {one.group for one in self.wanted}
        self._surge(
            Counter(candidates[one].name for one in chosen if candidates[one].name in wanted_groups - shut), stale
        )
        change_nodes(
            self._api,
            [by_instance[one] for one in candidates if one in by_instance],
            avoided,
            alive=self.context.alive,
            deadline=self.context.deadline,
        )
        nodes = nodes_of(self._api, chosen)
        self._out_of_balancers(chosen, at_first)
        names = [name_of(node) for node in nodes]
        self.context.log(f"batch of {len(chosen)} of {len(candidates)} nodes: {', '.join(names[:5])}")
        if nodes:
            mark = hashlib.sha256(" ".join(sorted(names)).encode()).hexdigest()[:8]
            tally = self.empty(nodes, f"{self.side}-{mark}")
            self.tally.evictions += tally.evictions
            self.tally.restarts += tally.restarts
            self.tally.pods += tally.pods
            self.tally.rejected += tally.rejected
        self._end({one: candidates[one].name for one in chosen}, frozenset(names))
        self.nodes += len(chosen)

    def _surge(self, counts: Mapping[str, int], groups: Mapping[str, Standing]) -> None:
        """So many new nodes as are to go, first. A maximum that is in the way is raised, and given back at the end."""
        grown: dict[str, int] = {}
        for name, count in counts.items():
            one = groups[name]
            note = self._note(one, (BALANCE,))
            target = note.desired + count
            if one.desired < target:
                self.context.alive()
                self._aws.autoscaling.update_auto_scaling_group(
                    AutoScalingGroupName=name, MaxSize=max(one.max, target), DesiredCapacity=target
                )
            grown[name] = max(target, one.desired)
        if grown:
            # All that isn't stale any more, once the new ones are there.
            self._until_fresh({name: size - len(groups[name].stale) for name, size in grown.items()})

    def _until_fresh(self, counts: Mapping[str, int]) -> None:
        """Wait until each group has so many machines of its version in service, with their nodes ready."""
        reason = ""

        def served() -> bool:
            nonlocal reason
            self.context.alive()
            groups = self._aws.groups(counts)
            short: dict[str, int] = {}
            for name, count in counts.items():
                one = standing(self._aws, groups[name])
                serving = {
                    i["InstanceId"] for i in listed(groups[name], "Instances") if i["LifecycleState"] == "InService"
                }
                nodes = [node for node in nodes_of(self._api, serving & set(one.fresh)) if ready(node)]
                if len(nodes) < count:
                    short[name] = count - len(nodes)
            if short:
                first = next(iter(short))
                listed_short = ", ".join(f"{count} of {name}" for name, count in list(short.items())[:5])
                reason = f"{sum(short.values())} new nodes aren't ready ({listed_short}){why(self._aws, first)}"
                raise Retryable(reason)
            return True

        try:
            bounded = Deadline(
                min(self.context.deadline.remaining, PATIENCE * self.join_seconds),
                self.context.deadline.clock,
                self.context.deadline.sleeper,
            )
            bounded.until_true(served, "the new nodes", pause=1.0)
        except OutOfTime as error:
            raise Permanent(
                f"{reason}; no further node was drained. Add capacity, or correct what the side's key says, and run "
                f"the same up again: it goes on from here"
            ) from error

    def _out_of_balancers(self, machines: Sequence[str], at_first: int) -> None:
        """Flows leave the machines before their pods do; others answer meanwhile."""
        if at_first > 1:

            def others() -> bool:
                self.context.alive()
                return bool(self._serving() - set(machines))

            self.context.deadline.until_true(others, "another healthy target of the ingress balancer", pause=1.0)
        elif set(machines) & self._serving():
            self.context.log("warning: only one node answers behind the ingress balancer: its pods' move is a gap")
            return
        leaving = [
            (arn, machine)
            for arn in self.target_groups
            for machine in machines
            if target_groups.deregister(self._aws, arn, machine, self.context.alive)
        ]
        for pair in leaving:
            target_groups.drained(self._aws, *pair, self.context.deadline)

    def _end(self, machines: Mapping[str, str], nodes: frozenset[str]) -> None:
        """The drained machines end, and with them their groups, by name, are as much smaller."""
        pods = [pod_from(item) for item in some_pods(self._api.list(PODS))]
        for name in sorted(nodes):
            pods += [pod_from(item) for item in self._api.list(PODS, fields=f"spec.nodeName={name}")]
        if held := still_movable(pods, nodes):
            raise Permanent(
                f"{len(held)} pods came back to drained nodes, the first is {held[0].key} on {held[0].node}; nothing "
                f"of this batch was ended: run the same up again"
            )
        for machine, name in machines.items():
            self.context.alive()
            self._terminate(machine, name)

        def gone() -> bool:
            self.context.alive()
            there = {one.id for one in self._aws.instances_of_groups(machines.values())} & machines.keys()
            if there:
                raise Retryable(f"{len(there)} instances still end, the first is {min(there)}")
            return True

        self.context.deadline.until_true(gone, "the drained instances to end", pause=1.0)

    def _terminate(self, machine: str, name: str) -> None:
        group = self._aws.groups([name]).get(name) or {}
        one = next((i for i in listed(group, "Instances") if i["InstanceId"] == machine), None)
        if one is None or str(one["LifecycleState"]).startswith("Terminat"):
            return
        # Where the least size is in the way the group launches one more: it is at that size either way.
        smaller = int(group["DesiredCapacity"]) > int(group["MinSize"])
        self._aws.autoscaling.terminate_instance_in_auto_scaling_group(
            InstanceId=machine, ShouldDecrementDesiredCapacity=smaller
        )

    def _give_back(self, shut: set[str]) -> None:
        """Groups that go on have their bounds and processes again; what was noted of them is forgotten last."""
        there, _ = self.due()
        for one in there:
            if one.name in shut:
                continue
            nodes = nodes_of(self._api, one.machines)
            change_nodes(self._api, nodes, unavoided, alive=self.context.alive, deadline=self.context.deadline)
            note = one.note
            if note is None:
                continue
            least, desired = note.min, max(one.desired, note.min)
            if LAUNCH in one.suspended and LAUNCH not in note.suspended:
                # It was to retire, and isn't any more.
                desired = max(desired, note.desired)
            most = max(note.max, desired)
            if (least, most, desired) != (one.min, one.max, one.desired):
                self.context.alive()
                self._aws.autoscaling.update_auto_scaling_group(
                    AutoScalingGroupName=one.name, MinSize=least, MaxSize=most, DesiredCapacity=desired
                )
            ours = [
                process for process in (BALANCE, LAUNCH) if process in one.suspended and process not in note.suspended
            ]
            if ours:
                self.context.alive()
                self._aws.autoscaling.resume_processes(AutoScalingGroupName=one.name, ScalingProcesses=ours)
            self.context.alive()
            self._aws.autoscaling.delete_tags(Tags=[_tag(one.name)])
            self.context.log(f"{one.name}: {desired} nodes, all of its version; at most {most}, as before")


def _tag(group: str) -> TagTypeDef:
    return {"ResourceId": group, "ResourceType": "auto-scaling-group", "Key": TAG, "PropagateAtLaunch": False}
