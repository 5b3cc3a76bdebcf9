"""Worker pools on a side made here, the autoscaler held meanwhile, and the old groups' end.

Each new Auto Scaling group is its old one's copy: same type, market, zones, user data; other subnets and
security groups, a suffixed name, and the size the old group had when the copy was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.base import Args, Component, refusing, tag_list
from components.launch_templates import copied_template, with_versions
from components.scaling import group_arguments, scaled_by
from components.side_view import SideView
from migration.contracts.gates import ended_groups, worker_groups
from migration.contracts.workers import (
    AutoscalerHoldInputs,
    GroupNoteInputs,
    GroupNoteResult,
    RollInputs,
    Size,
    WorkerGuardInputs,
    WorkerScaleInputs,
)
from migration.settings.groups import pool_group
from migration.settings.model import ManagedSide, Pool
from migration.workers.wanted import wanted_group
from providers.operations import AutoscalerHold, GroupNote, Roll, WorkerGuard, WorkerScale

# Whoever scales a group owns these from then on: the autoscaler, the hold, the scale operation.
SCALED_ELSEWHERE = ["minSize", "maxSize", "desiredCapacity", "suspendedProcesses"]


@dataclass(frozen=True, kw_only=True)
class ManagedWorkersArgs(Args):
    """A side that this program makes, with its security groups and balancers, and its configuration.

    `old`: the side that it is copied from, while that is so; None for a side that the cluster lives on, or leaves.
    """

    side: ManagedSide
    view: SideView
    old: SideView | None


class ManagedWorkers(Component):
    """The pools' groups on a side that this program makes, and the hold that keeps sizes still while pods move.

    Before the workers' stage there are none; then only what the old groups had is given back, on a way back. When the
    migration is over nothing is held any more: what the side's keys change is rolled out, node by node.
    """

    def __init__(self, name: str, args: ManagedWorkersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("workers:New", name, args, opts)
        settings, side, view, common = args.scope.settings, args.side, args.view, args.scope.common()
        pools = settings.configuration.pools
        self._moving = args.old is not None and not settings.stage.finished
        self.note: pulumi.Output[GroupNoteResult] | None = None
        self.hold: AutoscalerHold | None = None
        if args.old is not None and not settings.stage.workers.on_new:
            self.hold = self._hold(args.old, {}, [])
            return
        # On a side that is settled nothing is copied any more: what is known of its groups' origins stays known.
        origin = settings.configuration.sides[args.old.name] if args.old is not None else None
        note = GroupNote(
            f"{view.name}-copied-workers",
            GroupNoteInputs(
                **common,
                side=args.old.name if args.old is not None else view.name,
                groups={pool.name: pool_group(origin, pool) if origin else pool.group for pool in pools},
                optional=tuple(pool.name for pool in pools if side.pool(pool.name).own_source),
                without=settings.configuration.copies.without,
            ),
            self.at_once(once=f"{args.old.name}-worker-groups" if args.old is not None else None),
        )
        self.note = note.outcome
        templates: list[aws.ec2.LaunchTemplate] = []
        groups = [self._group(pool, side, view, note, templates) for pool in pools]
        names = {pool.name: pool_group(side, pool) for pool in pools}
        guarded: Sequence[pulumi.Resource] = groups
        if args.old is not None and settings.stage.finished:
            # The old groups are gone, and so is what was held, tainted and drained; new versions are rolled out.
            guarded = [self._roll(view, templates, groups)]
        elif args.old is not None:
            sizes = note.outcome.apply(
                refusing(
                    lambda seen: {
                        names[pool.name]: wanted_group(seen.groups, pool, side, view.name).size() for pool in pools
                    }
                )
            )
            self.hold = self._hold(args.old, sizes, groups)
        WorkerGuard(
            f"{view.name}-workers-guard",
            WorkerGuardInputs(**common, side=view.name, groups=tuple(names.values())),
            self.child(after=guarded),
        )

    def _roll(
        self,
        new: SideView,
        templates: Sequence[aws.ec2.LaunchTemplate],
        groups: Sequence[pulumi.Resource],
    ) -> Roll:
        """After the groups have their versions, and before the guard lets one go that isn't wanted any more."""
        settings, allowed = self._scope.settings, self._scope.settled
        inputs = pulumi.Output.all(
            vpc=new.vpc_id,
            targets=pulumi.Output.all(*new.every_group()),
            templates=with_versions(templates),
        ).apply(
            lambda known: RollInputs.of(
                settings,
                new.name,
                templates=known["templates"],
                target_groups=known["targets"],
                vpc_id=known["vpc"],
                allowed=allowed,
            )
        )
        return Roll(f"{new.name}-roll", inputs, self.child(after=groups))

    def _hold(
        self, old: SideView, sizes: pulumi.Input[dict[str, Size]], groups: Sequence[pulumi.Resource]
    ) -> AutoscalerHold:
        settings, common = self._scope.settings, self._scope.common()
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

    def _group(
        self,
        pool: Pool,
        side: ManagedSide,
        new: SideView,
        note: GroupNote,
        templates: list[aws.ec2.LaunchTemplate],
    ) -> aws.autoscaling.Group:
        assert new.nodes_group is not None
        logical = f"{new.name}-{pool.name}"
        name = pool_group(side, pool)
        own = self._scope.tags(new.name, "node", pool=pool.name)
        # Groups and templates come after the note, and say so once instead of at each property.
        original = note.unnamed.apply(refusing(lambda seen: wanted_group(seen.groups, pool, side, new.name)))
        template = copied_template(
            logical,
            name=name,
            original=original.apply(lambda group: group.template),
            security_groups=[
                new.nodes_group,
                *(
                    new.more_groups[one.name]
                    for one in self._scope.settings.configuration.security_groups
                    if pool.name in one.pools
                ),
            ],
            tags=own,
            user_data=None,
            imdsv2=self._scope.settings.configuration.hardening.imdsv2,
            opts=self.child(after=[note], delete_before_replace=False),
        )
        templates.append(template)
        made = aws.autoscaling.Group(
            logical,
            name=name,
            # What the hold would set: a group that is held from its beginning needn't be changed for it.
            min_size=original.apply(lambda group: group.desired if self._moving else group.min),
            max_size=original.apply(lambda group: group.max),
            desired_capacity=original.apply(lambda group: group.desired),
            vpc_zone_identifiers=[new.subnets[zone] for zone in pool.zones],
            target_group_arns=new.groups_for(pool.name),
            tags=original.apply(lambda group: tag_list({**group.tags, **own}, group.own_tags)),
            **group_arguments(original, template),
            # A group of another name is there before the old one's pods are moved to it.
            # The template comes after all that the group does.
            opts=self.child(after=[template], ignore_changes=SCALED_ELSEWHERE, delete_before_replace=False),
        )
        # A schedule would set the sizes that are held still while pods move.
        schedules = () if self._scope.settings.stage.autoscaler_held else pool.schedules
        scaled_by(logical, made.name, name, pool.scaling, schedules, lambda: self.child(after=[made]))
        return made


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
