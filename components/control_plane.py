"""The control plane's new members: they boot side by side, and are swapped in one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from components.base import Component, Scope, tag_list
from components.launch_templates import copied_template
from components.load_balancers import SideLoadBalancers
from components.side_view import SideView
from components.workers import SCALED_ELSEWHERE
from migration.etcd.userdata import MemberIdentity, clone_user_data
from migration.names import api_names, member_name, physical_name, ticket_parameter
from migration.settings.model import Member
from providers.operations import GroupNote, MemberSwap


class NewMembers(Component):
    """Volume, launch template and a group of size 1 for each member, and the chain of swaps.

    No volume is ever shared between an old and a new member: two writers on one etcd volume corrupt it.
    """

    def __init__(
        self,
        scope: Scope,
        old: SideView,
        new: SideView,
        balancers: SideLoadBalancers,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("control_plane:Members", f"{new.name}-members", scope, opts)
        c = scope.settings.configuration
        self.note = GroupNote(
            f"{old.name}-member-groups",
            scope.operation(label=old.name, groups={member.name: member.group for member in c.members}),
            self.child(),
        )
        groups = {member.name: self._member(member, new, balancers) for member in c.members}
        self.last: pulumi.Resource | None = None
        for position, member in enumerate(c.members):
            moved = position < scope.settings.moved_members
            before = [*groups.values()] if self.last is None else [self.last]
            self.last = self._swap(member, old, new, balancers, moved, before)
        self.register_outputs({"members": [member_name(member.name, new.suffix) for member in c.members]})

    def _member(self, member: Member, new: SideView, balancers: SideLoadBalancers) -> aws.autoscaling.Group:
        assert new.control_plane_group is not None and balancers.api_instances is not None
        c = self._scope.settings.configuration
        name = member_name(member.name, new.suffix)
        group_name = physical_name(member.group, "", new.suffix)
        logical = f"{new.name}-member-{member.name}"
        # `migration:member` is how the machine finds the volume that is its own.
        tags = self._scope.tags(new.name, "control-plane", **{"migration:member": name})
        # From the first moved member on, what is here is the cluster's only copy of a voter.
        protect = self._scope.settings.moved_members > 0
        aws.ebs.Volume(
            logical,
            availability_zone=member.zone,
            size=member.volume_size,
            type=member.volume_type,
            encrypted=True,
            tags=tags,
            opts=self.child(protect=protect),
        )
        facts = MemberIdentity(
            cluster=c.cluster,
            member=name,
            region=self._scope.settings.region,
            ticket_parameter=ticket_parameter(c.cluster, name),
            api_names=api_names(c.api.name, c.service_cidr),
        )
        template = copied_template(
            logical,
            name=group_name,
            note=self.note.result,
            key=member.name,
            security_groups=[new.control_plane_group],
            tags=tags,
            user_data=self.note.result.apply(
                lambda result: clone_user_data(result["groups"][member.name]["template"]["userData"], facts)
            ),
            opts=self.child(),
        )
        return aws.autoscaling.Group(
            logical,
            name=group_name,
            min_size=1,
            max_size=1,
            desired_capacity=1,
            vpc_zone_identifiers=[new.subnets[member.zone]],
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            target_group_arns=[balancers.api_instances.arn],
            tags=self.note.result.apply(lambda result: tag_list({**result["groups"][member.name]["tags"], **tags})),
            opts=self.child(ignore_changes=SCALED_ELSEWHERE, protect=protect),
        )

    def _swap(
        self,
        member: Member,
        old: SideView,
        new: SideView,
        balancers: SideLoadBalancers,
        moved: bool,
        after: Sequence[pulumi.Resource],
    ) -> MemberSwap:
        c = self._scope.settings.configuration
        assert old.api is not None
        name = member_name(member.name, new.suffix)
        return MemberSwap(
            f"swap-{member.name}",
            self._scope.operation(
                c.limits.swap_seconds,
                label=member.name,
                wanted="new" if moved else "old",
                old={
                    "name": member.name,
                    "group": member.group,
                    "address": member.address,
                    "zone": member.zone,
                    "volumeId": member.volume_id,
                },
                new={"name": name, "group": physical_name(member.group, "", new.suffix), "zone": member.zone},
                ticketParameter=ticket_parameter(c.cluster, name),
                etcd=c.etcd.model_dump(by_alias=True),
                apiPort=c.api.port,
                oldApiTargetGroups=list(old.api.target_groups),
                newApiTargetGroup=balancers.api_members.arn,
                oldVpcId=old.vpc_id,
                newVpcId=new.vpc_id,
            ),
            self.child(after=after),
        )
