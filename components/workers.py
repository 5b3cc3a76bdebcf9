"""Worker pools on the new side, the autoscaler held meanwhile, and the old groups' end.

Each new Auto Scaling group is its old one's copy: same type, market, zones, user data; other subnets and
security groups, a suffixed name, and the size the old group had when the copy was made.
"""

from __future__ import annotations

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
    """The pools' groups on the new side, and the hold that keeps sizes still while pods move."""

    def __init__(self, name: str, args: NewWorkersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("workers:New", name, args, opts)
        settings, old, new, common = args.scope.settings, args.old, args.new, args.scope.common()
        pools = settings.configuration.pools
        note = GroupNote(
            f"{old.name}-worker-groups",
            GroupNoteInputs(**common, side=old.name, groups={pool.name: pool.group for pool in pools}),
            self.child(),
        )
        self.note = note.outcome
        groups = [self._group(pool, new) for pool in pools]
        self.hold = AutoscalerHold(
            f"{old.name}-autoscaler",
            self.note.apply(
                lambda seen: AutoscalerHoldInputs(
                    **common,
                    wanted="held" if settings.stage.autoscaler_held else "released",
                    old_groups=worker_groups(settings, old.name),
                    new_groups={
                        physical_name(pool.group, "", new.suffix): seen.groups[pool.name].size() for pool in pools
                    },
                )
            ),
            self.child(after=groups),
        )
        names = tuple(physical_name(pool.group, "", new.suffix) for pool in pools)
        WorkerGuard(
            f"{new.name}-workers-guard",
            WorkerGuardInputs(**common, side=new.name, groups=names),
            self.child(after=groups),
        )

    def _group(self, pool: Pool, new: SideView) -> aws.autoscaling.Group:
        assert new.nodes_group is not None
        logical = f"{new.name}-{pool.name}"
        name = physical_name(pool.group, "", new.suffix)
        own = self._scope.tags(new.name, "node", pool=pool.name)
        original = self.note.apply(lambda seen: seen.groups[pool.name])
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
class OldWorkersEndArgs(Args):
    """The old side, and its groups as they were."""

    old: SideView
    note: pulumi.Output[GroupNoteResult]


class OldWorkersEnd(Component):
    """The old groups at zero, once nothing movable is on their nodes."""

    def __init__(self, name: str, args: OldWorkersEndArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("workers:End", name, args, opts)
        settings, old, common = args.scope.settings, args.old, args.scope.common()
        WorkerScale(
            f"{old.name}-workers",
            args.note.apply(
                lambda seen: WorkerScaleInputs(
                    **common,
                    wanted="recorded" if settings.stage.workers.on_old else "zero",
                    side=old.name,
                    sizes=tuple(seen.groups[pool.name].own_size() for pool in settings.configuration.pools),
                    join_seconds=settings.configuration.limits.join_seconds,
                    ended=ended_groups(settings),
                )
            ),
            self.child(),
        )
