"""Worker pools on the new side, the autoscaler held meanwhile, and the old groups' end.

Each new Auto Scaling group is its old one's copy: same type, market, zones, user data; other subnets and
security groups, a suffixed name, and the size the old group had when the copy was made.
"""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws

from components.base import Component, Scope, tag_list
from components.launch_templates import copied_template
from components.side_view import SideView
from migration.names import physical_name
from migration.settings.model import Pool
from migration.stages import Placement
from providers.operations import AutoscalerHold, GroupNote, WorkerScale

# Whoever scales a group owns these from then on: the autoscaler, the hold, the scale operation.
SCALED_ELSEWHERE = ["minSize", "maxSize", "desiredCapacity", "suspendedProcesses"]


class NewWorkers(Component):
    """The pools' groups on the new side, and the hold that keeps sizes still while pods move."""

    def __init__(self, scope: Scope, old: SideView, new: SideView, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("workers:New", f"{new.name}-workers", scope, opts)
        c = scope.settings.configuration
        self.note = GroupNote(
            f"{old.name}-worker-groups",
            scope.operation(label=old.name, groups={pool.name: pool.group for pool in c.pools}),
            self.child(),
        )
        self.groups = {pool.name: self._group(pool, new) for pool in c.pools}
        stage = scope.settings.stage
        held = stage.workloads is Placement.BOTH or not stage.control_plane.on_new
        self.hold = AutoscalerHold(
            f"{old.name}-autoscaler",
            scope.operation(
                wanted="held" if held else "released",
                oldGroups=[pool.group for pool in c.pools],
                newGroups={physical_name(pool.group, "", new.suffix): pool.name for pool in c.pools},
                sizes=self.note.result.apply(lambda result: result["groups"]),
            ),
            self.child(after=[*self.groups.values()]),
        )
        self.register_outputs({"groups": [group.name for group in self.groups.values()]})

    def _group(self, pool: Pool, new: SideView) -> aws.autoscaling.Group:
        assert new.nodes_group is not None and new.ingress is not None
        logical = f"{new.name}-{pool.name}"
        name = physical_name(pool.group, "", new.suffix)
        own = self._scope.tags(new.name, "node", pool=pool.name)
        template = copied_template(
            logical,
            name=name,
            note=self.note.result,
            key=pool.name,
            security_groups=[new.nodes_group],
            tags=own,
            user_data=None,
            opts=self.child(),
        )

        def size(field: str) -> pulumi.Output[int]:
            return self.note.result.apply(lambda result: int(result["groups"][pool.name][field]))

        def tags(result: dict[str, Any]) -> list[aws.autoscaling.GroupTagArgs]:
            return tag_list({**result["groups"][pool.name]["tags"], **own})

        return aws.autoscaling.Group(
            logical,
            name=name,
            min_size=size("min"),
            max_size=size("max"),
            desired_capacity=size("desired"),
            vpc_zone_identifiers=[new.subnets[zone] for zone in pool.zones],
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            target_group_arns=list(new.ingress.target_groups),
            tags=self.note.result.apply(tags),
            opts=self.child(ignore_changes=SCALED_ELSEWHERE),
        )


class OldWorkersEnd(Component):
    """The old groups at zero, once nothing movable is on their nodes."""

    def __init__(
        self,
        scope: Scope,
        old: SideView,
        note: GroupNote,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("workers:End", f"{old.name}-workers-end", scope, opts)
        c = scope.settings.configuration
        self.scale = WorkerScale(
            f"{old.name}-workers",
            scope.operation(
                wanted="recorded" if scope.settings.stage.workers.on_old else "zero",
                groups=[pool.group for pool in c.pools],
                sizes=note.result.apply(lambda result: result["groups"]),
            ),
            self.child(),
        )
        self.register_outputs({})
