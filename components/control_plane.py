"""The control plane's members on a side made here: they boot side by side, and are swapped in one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.base import Args, Component, refusing, tag_list
from components.launch_templates import copied_template, with_versions
from components.load_balancers import SideLoadBalancers
from components.side_view import SideView
from components.workers import SCALED_ELSEWHERE
from migration.contracts.gates import member_groups
from migration.contracts.members import (
    EtcdAccess,
    MemberForm,
    MemberGuardInputs,
    MemberPair,
    MemberRollInputs,
    MemberSwapInputs,
    ReturnPlace,
    image_tags,
    member_pairs,
    server_pairs,
)
from migration.contracts.workers import Group, GroupNoteInputs, GroupNoteResult
from migration.etcd.userdata import NEW_VOLUME
from migration.layouts.contract import MemberIdentity, NewMachine
from migration.layouts.registry import layout_of, template_text
from migration.names import api_names, member_name, ticket_parameter
from migration.settings.groups import member_group
from migration.settings.model import ApiServer, ManagedSide, Member, MemberKeys
from migration.workers.wanted import wanted_template
from providers.operations import GroupNote, MemberGuard, MemberRoll, MemberSwap


@dataclass(frozen=True, kw_only=True)
class ManagedMembersArgs(Args):
    """A side that this program makes, its configuration and its load balancers.

    `old`: the side that it is copied from, while that is so; None for a side that the members are on, or leave.
    """

    side: ManagedSide
    view: SideView
    balancers: SideLoadBalancers
    old: SideView | None


class ManagedMembers(Component):
    """Volume, launch template and a group of size 1 for each member, and the chain of swaps.

    No volume is ever shared between an old and a new member: two writers on one etcd volume corrupt it. Where members
    move with their volumes (`etcd.strategy`) none is declared: what came along is nobody's to delete. At the stage
    before there are only the swaps, all back: their groups go only when none of their members votes.
    """

    def __init__(self, name: str, args: ManagedMembersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("control_plane:Members", name, args, opts)
        self._side, self._new, self._balancers = args.side, args.view, args.balancers
        settings, old = args.scope.settings, args.old
        members = settings.configuration.members
        self._templates: list[aws.ec2.LaunchTemplate] = []
        after: Sequence[pulumi.Resource] = []
        if old is None or settings.stage.control_plane.on_new:
            after = self._groups(members, old)
        if old is None:
            return
        if settings.stage.finished:
            # All members were swapped; what did it leaves the stack, and new versions are rolled out.
            self._roll(after)
            return
        pairs, moved = member_pairs(settings), settings.moved_members
        of = dict(zip((pair.old.name for pair in pairs), members, strict=True))
        # On in order, back in the reverse: a swap that was begun last is taken back first, and leaves no learner.
        for pair in (*pairs[:moved], *reversed(pairs[moved:])):
            after = [self._swap(pair, of[pair.old.name], old, moved=pair in pairs[:moved], after=after)]

    def _groups(self, members: Sequence[Member], old: SideView | None) -> list[pulumi.Resource]:
        settings, common, view = self._scope.settings, self._scope.common(), self._new
        c = settings.configuration
        # On a side that is settled nothing is copied any more: what is known of its groups' origins stays known.
        origin = c.sides[old.name] if old is not None else None
        note = GroupNote(
            f"{view.name}-copied-members",
            GroupNoteInputs(
                **common,
                side=old.name if old is not None else view.name,
                groups={
                    one.name: member_group(origin, one) if origin else one.group
                    for member in members
                    for one in (member, *member.api_servers)
                },
                without=c.copies.without,
            ),
            self.at_once(once=f"{old.name}-member-groups" if old is not None else None),
        )
        self._note = note.outcome
        groups: list[pulumi.Resource] = [self._member(member) for member in members]
        groups += [self._server(one) for member in members for one in member.api_servers]
        MemberGuard(
            f"{view.name}-members-guard",
            MemberGuardInputs(
                **common,
                groups=member_groups(settings, view.name),
                old_groups=member_groups(settings, c.from_ if old is not None else c.to),
                etcd=EtcdAccess.of(c),
            ),
            self.child(after=groups),
        )
        return groups

    def _member(self, member: Member) -> aws.autoscaling.Group:
        new, c = self._new, self._scope.settings.configuration
        name = member_name(member.name, new.suffix)
        logical = f"{new.name}-member-{member.name}"
        # `migration:member` is how the machine finds the volume that is its own.
        tags = self._scope.tags(new.name, "control-plane", **{"migration:member": name})
        moves = c.etcd.strategy == "volume"
        if not moves:
            # Nothing but a volume that says so is ever formatted by a member's boot, and then only while it is blank.
            aws.ebs.Volume(
                logical,
                availability_zone=member.zone,
                size=member.volume_size,
                type=member.volume_type,
                encrypted=True,
                tags={**tags, **image_tags(member.volume_tags, name), NEW_VOLUME: "true"},
                opts=self.child(),
            )
        return self._machine(logical, member, name, tags, self._side.member(member.name), "members", moves=moves)

    def _server(self, one: ApiServer) -> aws.autoscaling.Group:
        """An API machine that is apart from etcd's: it has no volume, and waits to be told etcd's members."""
        name = member_name(one.name, self._new.suffix)
        # Another role's tag than a member's: whoever looks for members by it finds no etcd on this machine.
        tags = self._scope.tags(self._new.name, "api-server", **{"migration:member": name})
        keys = self._side.api_server(one.name)
        return self._machine(f"{self._new.name}-server-{one.name}", one, name, tags, keys, "apiServers", moves=False)

    def _machine(
        self,
        logical: str,
        member: Member | ApiServer,
        name: str,
        tags: dict[str, str],
        keys: MemberKeys,
        part: str,
        *,
        moves: bool,
    ) -> aws.autoscaling.Group:
        """Template and group; `keys` stand under `part` of the side. Who serves the API is the balancer's target."""
        new, instances = self._new, self._balancers.api_instances
        assert new.control_plane_group is not None and instances is not None
        c, group_name = self._scope.settings.configuration, member_group(self._side, member)
        facts = MemberIdentity(
            cluster=c.cluster,
            member=name,
            region=self._scope.settings.region,
            ticket_parameter=ticket_parameter(c.cluster, name),
            api_port=c.api.on_members,
            client_port=c.etcd.client_port,
            peer_port=c.etcd.peer_port,
            api_names=api_names(c.api.name, c.service_cidr),
            volume_moves=moves,
        )
        form = c.control_plane
        apart = isinstance(member, Member) and any(one.api_servers for one in c.members)

        def user_data(group: Group) -> str:
            original = group.template.user_data
            machine = NewMachine(
                original=original.get_secret_value() if original is not None else None,
                identity=facts,
                units=form.units,
                pki=form.pki,
                template=template_text(form.user_data_file),
            )
            return layout_of(form.layout).user_data(machine)

        where = f"migration:sides.{new.name}.{part}"

        def wanted(seen: GroupNoteResult) -> Group:
            group = seen.groups[member.name]
            return group.model_copy(update={"template": wanted_template(group.one_type(), keys, where)})

        original = self._note.apply(refusing(wanted))
        template = copied_template(
            logical,
            name=group_name,
            original=original.apply(lambda group: group.template),
            security_groups=[
                new.control_plane_group,
                *(new.more_groups[one.name] for one in c.security_groups if one.control_plane),
            ],
            tags=tags,
            user_data=original.apply(refusing(user_data)),
            imdsv2=c.hardening.imdsv2,
            opts=self.child(),
        )
        self._templates.append(template)
        return aws.autoscaling.Group(
            logical,
            name=group_name,
            min_size=1,
            max_size=1,
            desired_capacity=1,
            vpc_zone_identifiers=[new.subnets[member.zone]],
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            target_group_arns=[] if apart else [instances.arn],
            tags=original.apply(lambda group: tag_list({**group.tags, **tags})),
            opts=self.child(ignore_changes=SCALED_ELSEWHERE),
        )

    def _roll(self, after: Sequence[pulumi.Resource]) -> MemberRoll:
        settings, side, allowed = self._scope.settings, self._new.name, self._scope.settled
        instances = self._balancers.api_instances
        assert instances is not None
        inputs = pulumi.Output.all(
            templates=with_versions(self._templates),
            instances=instances.arn,
            addresses=self._balancers.api_members.arn,
        ).apply(
            lambda known: MemberRollInputs.of(
                settings,
                side,
                templates=known["templates"],
                instances_group=known["instances"],
                addresses_group=known["addresses"],
                allowed=allowed,
            )
        )
        return MemberRoll(f"{side}-member-roll", inputs, self.child(after=after))

    def _swap(
        self, pair: MemberPair, member: Member, old: SideView, *, moved: bool, after: Sequence[pulumi.Resource]
    ) -> MemberSwap:
        c = self._scope.settings.configuration
        common = self._scope.common(c.limits.swap_seconds)
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
                etcd=EtcdAccess.of(c),
                peer_port=c.etcd.peer_port,
                snapshots=c.etcd.snapshots,
                restore_drill=c.etcd.restore_drill,
                tools=c.etcd.tools,
                api_port=c.api.on_members,
                old_api_target_groups=tuple(groups["old"]),
                new_api_target_group=groups["new"],
                place=place,
                form=MemberForm.of(c.control_plane),
                strategy=c.etcd.strategy,
                servers=server_pairs(self._scope.settings),
                returning=self._scope.returning,
            )
        )
        return MemberSwap(f"swap-{pair.old.name}", inputs, self.child(after=after))
