"""The whole migration at its stage: which components exist, in which order, between which gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pulumi

from components.access import MemberAccess, MemberAccessArgs
from components.base import Args, Component, Scope
from components.begun import Awaited, begun
from components.cluster_objects import ClusterObjects
from components.control_plane import ManagedMembers, ManagedMembersArgs
from components.dns import ApiMembers, ApiMembersArgs, Names, NamesArgs
from components.load_balancers import ApiServedBy, SideLoadBalancers
from components.managed_side import ManagedSideArgs, ManagedSideComponent
from components.network import (
    ConnectedNetwork,
    ConnectedNetworkArgs,
    Peering,
    PeeringArgs,
    ZoneVisibility,
    ZoneVisibilityArgs,
)
from components.order import Reduced
from components.references import ReferencesElsewhere, ReferencesElsewhereArgs
from components.security_groups import CrossAccess, CrossAccessArgs, SwapAccess, SwapAccessArgs
from components.service_balancers import ServicesApart, ServicesApartArgs
from components.side_view import ReferencedSideArgs, ReferencedSideComponent, SideView, abandoned
from components.workers import ManagedWorkers, ManagedWorkersArgs, OldWorkers, OldWorkersArgs
from components.workloads import Workloads, WorkloadsArgs
from migration.contracts.gates import GateInputs, GateResult, questions
from migration.contracts.record import StackGuardInputs, StageRecordInputs, StageRecordResult
from migration.contracts.retirement import RetirementInputs
from migration.contracts.service_balancers import carried
from migration.settings.model import ManagedSide, ReferencedSide
from migration.stages.fixed import fixed_at, packed
from providers.operations import Gate, Retirement, StackGuard, StageRecord


@dataclass(frozen=True, kw_only=True)
class MigrationArgs(Args):
    """`owner` is the stack that drives the cluster, as its record names it.

    `unsettled`: the stage isn't reached yet, so its gates are asked whatever they said before.
    """

    owner: str
    unsettled: bool


class Migration(Component):
    """Declares everything of one stage, between its record's first and last word."""

    def __init__(self, name: str, args: MigrationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        ordered = pulumi.ResourceOptions(transformations=[Reduced()])
        super().__init__("migration:Migration", name, args, pulumi.ResourceOptions.merge(opts, ordered))
        self._owner, self._outer, self._unsettled = args.owner, args.scope, args.unsettled
        self.settings, self.stage = args.scope.settings, args.scope.settings.stage
        self.steps: list[pulumi.Resource] = []
        begin = self._record("begin", "begin", [])
        self._guard([begin])
        tried = begun(
            begin,
            StageRecordResult,
            lambda seen: seen.record.tried == self.stage.number,
            name="begin",
            stage=self.stage.number,
        )
        self._before = self._gate("before", [begin], [tried])
        self.scope = replace(
            args.scope.following(self._before),
            gate=[self._before],
            passed=[self._passed("before", self._before)],
            settled=not args.unsettled,
        )
        new = self.settings.new
        assert isinstance(new, ManagedSide), "admission lets only a side that this program makes be the new one"
        self.steps.append(ClusterObjects("cluster-objects", Args(scope=self.scope), self._part()))
        self.old = self._old_side()
        if not self.stage.starting:
            self._new_side(new)
        self._finish()

    def _old_side(self) -> SideView:
        """The side that is left: by reference, or as the migration before made it, to its last stage."""
        name, side = self.settings.configuration.from_, self.settings.old
        if isinstance(side, ReferencedSide):
            referenced = ReferencedSideArgs(scope=self.scope, name=name, side=side)
            return ReferencedSideComponent(name, referenced, self._part()).view
        if self.stage.finished:
            return abandoned(name, side)
        new = self.settings.configuration.to
        targets = {new: self.settings.new.cidr} if self.stage.shared.on_new else {}
        component, view = self._network_of(
            name, side, clients={}, targets=targets, shared=True, api=ApiServedBy.INSTANCES
        )
        assert component.load_balancers is not None
        self.steps.append(MemberAccess(f"{name}-access", MemberAccessArgs(scope=self.scope, side=name), self._part()))
        workers = ManagedWorkersArgs(scope=self.scope, side=side, view=view, old=None)
        members = ManagedMembersArgs(
            scope=self.scope, side=side, view=view, balancers=component.load_balancers, old=None
        )
        self.steps += [
            ManagedWorkers(f"{name}-workers", workers, self._part()),
            ManagedMembers(f"{name}-members", members, self._part()),
        ]
        return view

    def _network_of(
        self,
        name: str,
        side: ManagedSide,
        *,
        clients: Mapping[str, str],
        targets: Mapping[str, str],
        shared: bool,
        api: ApiServedBy,
    ) -> tuple[ManagedSideComponent, SideView]:
        """A side made here, the zone's answers in it, and the networks it is connected to."""
        c, scope = self.settings.configuration, self.scope
        made = ManagedSideArgs(
            scope=scope, name=name, side=side, clients=clients, targets=targets, shared=shared, api=api
        )
        component = ManagedSideComponent(name, made, self._part())
        view = component.view
        self.steps.append(component)
        for zone in c.traffic.private_zones():
            logical = f"{name}-zone" if zone == c.traffic.zone_id else f"{name}-zone-{zone}"
            visible = ZoneVisibilityArgs(scope=scope, zone_id=zone, new=view)
            self.steps.append(ZoneVisibility(logical, visible, self._part()))
        for network in c.connected_networks:
            if network.vpc_id:
                connected = ConnectedNetworkArgs(scope=scope, network=network, new=view)
                self.steps.append(ConnectedNetwork(f"{name}-{network.name}-connected", connected, self._part()))
        return component, view

    def _part(self, after: Sequence[pulumi.Resource] = (), passed: Sequence[Awaited] = ()) -> pulumi.ResourceOptions:
        """Options of a direct child; stacks of earlier versions have it at the root."""
        at_the_root = pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)
        return pulumi.ResourceOptions(parent=self, depends_on=[*after, *passed], aliases=[at_the_root])

    def _passed(self, position: Literal["before", "after"], gate: Gate) -> Awaited:
        """That a gate of this stage held, in this `up` or in one before it."""
        name, number = f"gate-{position}", self.stage.number
        return begun(gate, GateResult, lambda seen: seen.stage == number, name=name, stage=number)

    def _new_side(self, side: ManagedSide) -> None:
        stage, c, scope, old = self.stage, self.settings.configuration, self.scope, self.old
        api = ApiServedBy.ADDRESSES
        if stage.control_plane.on_new:
            api = ApiServedBy.INSTANCES if stage.finished else ApiServedBy.ADDRESSES_CHECKED
        other = old.ranges
        component, new = self._network_of(c.to, side, clients=other, targets=other, shared=stage.shared.on_new, api=api)
        if not stage.finished or c.retain_peering:
            peering = PeeringArgs(scope=scope, old=old, new=new)
            self.steps.append(Peering(f"{new.name}-{old.name}-peering", peering, self._part()))
        if c.references == "apply" and not stage.finished:
            elsewhere = ReferencesElsewhereArgs(scope=scope.following(*self.steps), old=old, new=new)
            self.steps.append(ReferencesElsewhere("references", elsewhere, self._part()))
        if component.load_balancers is not None:
            self._shared(side, component.load_balancers, new)
        else:
            # Back from where names were pairs, they lead where they did before the balancers go.
            self.steps.append(
                Names("names", NamesArgs(scope=scope.following(*self.steps), old=old, new=new), self._part())
            )

    def _shared(self, side: ManagedSide, balancers: SideLoadBalancers, new: SideView) -> None:
        stage, c, old = self.stage, self.settings.configuration, self.old
        reach = self.scope.following(*self.steps)
        access = MemberAccessArgs(scope=self.scope, side=new.name)
        self.steps.append(MemberAccess(f"{new.name}-access", access, self._part()))
        if not stage.finished:
            between = CrossAccessArgs(scope=reach, old=old, new=new)
            cross = CrossAccess(f"{new.name}-{old.name}-access", between, self._part())
            self.steps.append(cross)
            reach = reach.following(cross)
        if stage.etcd_open and c.etcd.access.by_port:
            self.steps.append(SwapAccess("swap-access", SwapAccessArgs(scope=reach, sides=(old, new)), self._part()))
        serving = ApiMembersArgs(scope=reach, target_group=balancers.api_members.arn)
        members = ApiMembers("api-members", serving, self._part())
        leading = NamesArgs(scope=reach.following(members.targets), old=old, new=new)
        self.steps += [members, Names("names", leading, self._part())]
        self._workers(reach, side, new)
        if stage.members_move:
            scope = reach.following(*self.steps)
            moving = ManagedMembersArgs(scope=scope, side=side, view=new, balancers=balancers, old=old)
            self.steps.append(ManagedMembers(f"{new.name}-members", moving, self._part()))

    def _workers(self, reach: Scope, side: ManagedSide, new: SideView) -> None:
        old = self.old
        # Before there are new nodes the cloud controller must know that it isn't to take them.
        apart = self._apart("service-balancers", reach)
        copies = ManagedWorkersArgs(scope=reach.following(*apart), side=side, view=new, old=old)
        workers = ManagedWorkers(f"{new.name}-workers", copies, self._part())
        if self.stage.finished:
            # What moved pods off the old side is done and leaves the stack; to delete it changes nothing.
            self.steps.append(workers)
            return
        assert workers.hold is not None
        if self.stage.workers.on_new:
            self._apart("service-balancers-new-nodes", reach.following(*apart, workers.hold), complete=True)
        size, pods = f"{old.name}-workers-end", "workloads"
        if self.stage.workers.on_old:
            # Old machines are there before pods may be sent to them: on a way back they were at zero, or some lost.
            sized = OldWorkersArgs(scope=reach.following(workers.hold), old=old, note=workers.note)
            complete = OldWorkers(size, sized, self._part())
            after = reach.following(workers.hold, complete.size)
            workloads = Workloads(pods, WorkloadsArgs(scope=after, old=old, new=new), self._part())
            self.steps += [workers, complete, workloads]
            return
        workloads = Workloads(pods, WorkloadsArgs(scope=reach.following(workers.hold), old=old, new=new), self._part())
        ending = OldWorkersArgs(scope=reach.following(workloads.last), old=old, note=workers.note)
        self.steps += [workers, workloads, OldWorkers(size, ending, self._part())]

    def _apart(self, name: str, scope: Scope, *, complete: bool = False) -> list[pulumi.Resource]:
        """What the cloud controller's balancers take; nothing where there are none to carry."""
        services = carried(self.settings)
        if not services:
            return []
        args = ServicesApartArgs(scope=scope, services=services, complete=complete)
        made = ServicesApart(name, args, self._part())
        self.steps.append(made)
        return [made.balancers]

    def _finish(self) -> None:
        c = self.settings.configuration
        # What a side that this program made leaves behind, the stack deletes: it isn't declared any more.
        if self.stage.finished and isinstance(self.settings.old, ReferencedSide):
            inputs = RetirementInputs(
                **self._outer.common(c.limits.swap_seconds),
                items=c.retire,
                keep=tuple(item.id for item in c.keep),
                references=c.references,
            )
            self.steps.append(Retirement("retirement", inputs, self._part(self.steps, self.scope.passed)))
        after = self._gate("after", [self._before, *self.steps], self.scope.passed)
        self._record("reached", "finish", [self._before, after], [self._passed("after", after)])

    def _record(
        self,
        name: str,
        phase: Literal["begin", "finish"],
        after: Sequence[pulumi.Resource],
        passed: Sequence[Awaited] = (),
    ) -> StageRecord:
        c = self.settings.configuration
        inputs = StageRecordInputs(
            **self._outer.common(),
            settled=self._settled_side(),
            phase=phase,
            stage=self.stage.number,
            from_side=c.from_,
            to_side=c.to,
            owner=self._owner,
            fixed=packed(fixed_at(c, self.stage)),
            command=self.settings.command,
        )
        return StageRecord(name, inputs, self._part(after, passed))

    def _guard(self, after: Sequence[pulumi.Resource]) -> None:
        """What refuses `destroy`: nothing depends on it, so it is among the first to be deleted."""
        c = self._outer.settings.configuration
        inputs = StackGuardInputs(
            **self._outer.common(), to_side=c.to, settled=self._settled_side(), command=self.settings.command
        )
        StackGuard("guard", inputs, self._part(after))

    def _settled_side(self) -> str | None:
        """A side of this stack that the cluster lives on whatever the stage: no way back leads to less."""
        made = isinstance(self.settings.old, ManagedSide) and not self.stage.finished
        return self.settings.configuration.from_ if made else None

    def _gate(
        self, position: Literal["before", "after"], after: Sequence[pulumi.Resource], passed: Sequence[Awaited]
    ) -> Gate:
        checks = self.stage.gates_before if position == "before" else self.stage.gates_after
        inputs = GateInputs(
            **self._outer.common(),
            stage=self.stage.number,
            position=position,
            questions=questions(self.settings, checks),
            unsettled=self._unsettled,
        )
        return Gate(f"gate-{position}", inputs, self._part(after, passed))
