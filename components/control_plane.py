"""The control plane's new members: they boot side by side, and are swapped in one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.base import Args, Component, tag_list
from components.launch_templates import copied_template
from components.load_balancers import SideLoadBalancers
from components.side_view import SideView
from components.workers import SCALED_ELSEWHERE
from migration.contracts.members import (
    EtcdAccess,
    MemberGuardInputs,
    MemberPair,
    MemberSwapInputs,
    ReturnPlace,
    member_pairs,
)
from migration.contracts.workers import Group, GroupNoteInputs
from migration.etcd.userdata import NEW_VOLUME, MemberIdentity, clone_user_data
from migration.names import api_names, member_name, physical_name, ticket_parameter
from migration.runtime.deadline import Permanent
from migration.settings.model import Member
from providers.operations import GroupNote, MemberGuard, MemberSwap


@dataclass(frozen=True, kw_only=True)
class NewMembersArgs(Args):
    """Both sides, and the new one's load balancers."""

    old: SideView
    new: SideView
    balancers: SideLoadBalancers


class NewMembers(Component):
    """Volume, launch template and a group of size 1 for each member, and the chain of swaps.

    No volume is ever shared between an old and a new member: two writers on one etcd volume corrupt it. At the stage
    before there are only the swaps, all back: their groups go only when none of their members votes.
    """

    def __init__(self, name: str, args: NewMembersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("control_plane:Members", name, args, opts)
        self._old, self._new, self._balancers = args.old, args.new, args.balancers
        settings = args.scope.settings
        members = settings.configuration.members
        after: Sequence[pulumi.Resource] = []
        if settings.stage.control_plane.on_new:
            after = self._groups(members)
        pairs, moved = member_pairs(settings), settings.moved_members
        # On in order, back in the reverse: a swap that was begun last is taken back first, and leaves no learner.
        for pair in (*pairs[:moved], *reversed(pairs[moved:])):
            after = [self._swap(pair, moved=pair in pairs[:moved], after=after)]

    def _groups(self, members: Sequence[Member]) -> list[pulumi.Resource]:
        settings, common = self._scope.settings, self._scope.common()
        note = GroupNote(
            f"{self._old.name}-member-groups",
            GroupNoteInputs(**common, side=self._old.name, groups={member.name: member.group for member in members}),
            self.at_once(),
        )
        self._note = note.outcome
        groups: list[pulumi.Resource] = [self._member(member) for member in members]
        pairs = member_pairs(settings)
        MemberGuard(
            f"{self._new.name}-members-guard",
            MemberGuardInputs(
                **common,
                groups=tuple(pair.new.group for pair in pairs),
                old_groups=tuple(pair.old.group for pair in pairs),
                etcd=EtcdAccess.of(settings.configuration.etcd),
            ),
            self.child(after=groups),
        )
        return groups

    def _member(self, member: Member) -> aws.autoscaling.Group:
        new, instances = self._new, self._balancers.api_instances
        assert new.control_plane_group is not None and instances is not None
        c = self._scope.settings.configuration
        name = member_name(member.name, new.suffix)
        group_name = physical_name(member.group, "", new.suffix)
        logical = f"{new.name}-member-{member.name}"
        # `migration:member` is how the machine finds the volume that is its own.
        tags = self._scope.tags(new.name, "control-plane", **{"migration:member": name})
        # Nothing but a volume that says so is ever formatted by a member's boot, and then only while it is blank.
        volume_tags = {**tags, NEW_VOLUME: "true"}
        aws.ebs.Volume(
            logical,
            availability_zone=member.zone,
            size=member.volume_size,
            type=member.volume_type,
            encrypted=True,
            tags=volume_tags,
            opts=self.child(),
        )
        facts = MemberIdentity(
            cluster=c.cluster,
            member=name,
            region=self._scope.settings.region,
            ticket_parameter=ticket_parameter(c.cluster, name),
            api_port=c.api.port,
            client_port=c.etcd.client_port,
            peer_port=c.etcd.peer_port,
            api_names=api_names(c.api.name, c.service_cidr),
        )

        def user_data(group: Group) -> str:
            if group.template.user_data is None:
                raise Permanent(f"the launch template of {group.group} has no user data to make a new member's from")
            return clone_user_data(group.template.user_data.get_secret_value(), facts)

        original = self._note.apply(lambda seen: seen.groups[member.name])
        template = copied_template(
            logical,
            name=group_name,
            original=original.apply(lambda group: group.template),
            security_groups=[new.control_plane_group],
            tags=tags,
            user_data=original.apply(user_data),
            imdsv2=c.hardening.imdsv2,
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
            target_group_arns=[instances.arn],
            tags=original.apply(lambda group: tag_list({**group.tags, **tags})),
            opts=self.child(ignore_changes=SCALED_ELSEWHERE),
        )

    def _swap(self, pair: MemberPair, *, moved: bool, after: Sequence[pulumi.Resource]) -> MemberSwap:
        c, old = self._scope.settings.configuration, self._old
        common = self._scope.common(c.limits.swap_seconds)
        [member] = [one for one in c.members if one.name == pair.old.name]
        volume = {
            **c.tags,
            "Name": f"{c.cluster}-control-plane-{old.name}",
            "KubernetesCluster": c.cluster,
            f"kubernetes.io/cluster/{c.cluster}": "owned",
        }
        place = ReturnPlace.of(self._scope.settings, member, volume)
        inputs = pulumi.Output.all(
            old=pulumi.Output.all(*old.balancer("api").target_groups), new=self._balancers.api_members.arn
        ).apply(
            lambda groups: MemberSwapInputs(
                **common,
                wanted="new" if moved else "old",
                old=pair.old,
                new=pair.new,
                members=member_pairs(self._scope.settings),
                ticket_parameter=ticket_parameter(c.cluster, pair.new.name),
                etcd=EtcdAccess.of(c.etcd),
                peer_port=c.etcd.peer_port,
                snapshots=c.etcd.snapshots,
                api_port=c.api.port,
                old_api_target_groups=tuple(groups["old"]),
                new_api_target_group=groups["new"],
                place=place,
                returning=self._scope.returning,
            )
        )
        return MemberSwap(f"swap-{pair.old.name}", inputs, self.child(after=after))
