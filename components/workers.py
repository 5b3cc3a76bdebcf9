"""Worker pools on the new side, the autoscaler held meanwhile, and the old groups' end.

Each new Auto Scaling group is its old one's copy: same type, market, zones, user data; other subnets and
security groups, a suffixed name, and the size the old group had when the copy was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.base import Args, Component, tag_list
from components.launch_templates import copied_template
from components.side_view import SideView
from migration.contracts.gates import ended_groups, worker_groups
from migration.contracts.workers import (
    AutoscalerHoldInputs,
    GroupNoteInputs,
    GroupNoteResult,
    Size,
    WorkerGuardInputs,
    WorkerScaleInputs,
)
from migration.names import physical_name
from migration.settings.model import Pool
from providers.operations import AutoscalerHold, GroupNote, WorkerGuard, WorkerScale

# Whoever scales a group owns these from then on: the autoscaler, the hold, the scale operation.
SCALED_ELSEWHERE = ["minSize", "maxSize", "desiredCapacity", "suspendedProcesses"]


@dataclass(frozen=True, kw_only=True)
class NewWorkersArgs(Args):
    """Both sides; the new one with its security groups and balancers."""

    old: SideView
    new: SideView


class NewWorkers(Component):
    """The pools' groups on the new side, and the hold that keeps sizes still while pods move.

    Before the workers' stage there are none; then only what the old groups had is given back, on a way back.
    """

    def __init__(self, name: str, args: NewWorkersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("workers:New", name, args, opts)
        settings, old, new, common = args.scope.settings, args.old, args.new, args.scope.common()
        self._old = old
        pools = settings.configuration.pools
        self.note: pulumi.Output[GroupNoteResult] | None = None
        if not settings.stage.workers.on_new:
            self.hold = self._hold({}, [])
            return
        note = GroupNote(
            f"{old.name}-worker-groups",
            GroupNoteInputs(**common, side=old.name, groups={pool.name: pool.group for pool in pools}),
            self.at_once(),
        )
        self.note = note.outcome
        groups = [self._group(pool, new, note.outcome) for pool in pools]
        names = {pool.name: physical_name(pool.group, "", new.suffix) for pool in pools}
        sizes = note.outcome.apply(lambda seen: {names[pool.name]: seen.groups[pool.name].size() for pool in pools})
        self.hold = self._hold(sizes, groups)
        WorkerGuard(
            f"{new.name}-workers-guard",
            WorkerGuardInputs(**common, side=new.name, groups=tuple(names.values())),
            self.child(after=groups),
        )

    def _hold(self, sizes: pulumi.Input[dict[str, Size]], groups: Sequence[pulumi.Resource]) -> AutoscalerHold:
        settings, old, common = self._scope.settings, self._old, self._scope.common()
        return AutoscalerHold(
            f"{old.name}-autoscaler",
            pulumi.Output.from_input(sizes).apply(
                lambda known: AutoscalerHoldInputs(
                    **common,
                    wanted="held" if settings.stage.autoscaler_held else "released",
                    old_groups=worker_groups(settings, old.name),
                    new_groups=known,
                )
            ),
            self.child(after=groups),
        )

    def _group(self, pool: Pool, new: SideView, note: pulumi.Output[GroupNoteResult]) -> aws.autoscaling.Group:
        assert new.nodes_group is not None
        logical = f"{new.name}-{pool.name}"
        name = physical_name(pool.group, "", new.suffix)
        own = self._scope.tags(new.name, "node", pool=pool.name)
        original = note.apply(lambda seen: seen.groups[pool.name])
        template = copied_template(
            logical,
            name=name,
            original=original.apply(lambda group: group.template),
            security_groups=[new.nodes_group],
            tags=own,
            user_data=None,
            imdsv2=self._scope.settings.configuration.hardening.imdsv2,
            opts=self.child(),
        )
        return aws.autoscaling.Group(
            logical,
            name=name,
            min_size=original.apply(lambda group: group.min),
            max_size=original.apply(lambda group: group.max),
            desired_capacity=original.apply(lambda group: group.desired),
            vpc_zone_identifiers=[new.subnets[zone] for zone in pool.zones],
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            target_group_arns=list(new.balancer("ingress").target_groups),
            tags=original.apply(lambda group: tag_list({**group.tags, **own})),
            opts=self.child(ignore_changes=SCALED_ELSEWHERE),
        )


@dataclass(frozen=True, kw_only=True)
class OldWorkersArgs(Args):
    """The old side, and its groups as they were; None before they were looked at, and on a way back."""

    old: SideView
    note: pulumi.Output[GroupNoteResult] | None


class OldWorkers(Component):
    """The old groups' size: what they want, what they had, or zero once nothing movable is on their nodes."""

    def __init__(self, name: str, args: OldWorkersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("workers:End", name, args, opts)
        settings, old, common = args.scope.settings, args.old, args.scope.common()
        pools = settings.configuration.pools
        limits, returning = settings.configuration.limits, args.scope.returning
        if args.note is None:
            inputs: pulumi.Input[WorkerScaleInputs] = WorkerScaleInputs(
                **common,
                wanted="complete",
                side=old.name,
                groups=worker_groups(settings, old.name),
                join_seconds=limits.join_seconds,
                returning=returning,
            )
        else:
            inputs = args.note.apply(
                lambda seen: WorkerScaleInputs(
                    **common,
                    wanted="recorded" if settings.stage.workers.on_old else "zero",
                    side=old.name,
                    sizes=tuple(seen.groups[pool.name].own_size() for pool in pools),
                    join_seconds=limits.join_seconds,
                    ended=ended_groups(settings),
                    returning=returning,
                )
            )
        self.size = WorkerScale(f"{old.name}-workers", inputs, self.child())
