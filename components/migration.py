"""The whole migration at its stage: which components exist, in which order, between which gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pulumi

from components.access import MemberAccess, MemberAccessArgs
from components.base import Args, Component, Scope
from components.begun import Awaited, begun
from components.cluster_objects import ClusterObjects
from components.control_plane import NewMembers, NewMembersArgs
from components.dns import ApiMembers, ApiMembersArgs, Names, NamesArgs
from components.load_balancers import SideLoadBalancers
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
from components.security_groups import CrossAccess, CrossAccessArgs, SwapAccess, SwapAccessArgs
from components.side_view import ReferencedSideArgs, ReferencedSideComponent, SideView
from components.workers import NewWorkers, NewWorkersArgs, OldWorkers, OldWorkersArgs
from components.workloads import Workloads, WorkloadsArgs
from migration.contracts.gates import GateInputs, GateResult, questions
from migration.contracts.record import StackGuardInputs, StageRecordInputs, StageRecordResult
from migration.contracts.retirement import RetirementInputs
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
            args.scope.following(self._before), gate=[self._before], passed=[self._passed("before", self._before)]
        )
        c, old, new = self.settings.configuration, self.settings.old, self.settings.new
        if not isinstance(old, ReferencedSide) or not isinstance(new, ManagedSide):
            raise NotImplementedError(
                "migrations from a side that this program made aren't there yet: sides.<from> must be a referenced one"
            )
        self.steps.append(ClusterObjects("cluster-objects", Args(scope=self.scope), self._part()))
        referenced = ReferencedSideArgs(scope=self.scope, name=c.from_, side=old)
        self.old = ReferencedSideComponent(c.from_, referenced, self._part()).view
        if not self.stage.starting:
            self._new_side(new)
        self._finish()

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
        component = ManagedSideComponent(
            c.to,
            ManagedSideArgs(scope=scope, name=c.to, side=side, other_cidr=old.cidr, shared=stage.shared.on_new),
            self._part(),
        )
        new = component.view
        zone = ZoneVisibilityArgs(scope=scope, zone_id=c.traffic.zone_id, new=new)
        self.steps += [component, ZoneVisibility(f"{new.name}-zone", zone, self._part())]
        for network in c.connected_networks:
            if network.vpc_id:
                connected = ConnectedNetworkArgs(scope=scope, network=network, new=new)
                self.steps.append(ConnectedNetwork(f"{new.name}-{network.name}-connected", connected, self._part()))
        if not stage.finished or c.retain_peering:
            peering = PeeringArgs(scope=scope, old=old, new=new)
            self.steps.append(Peering(f"{new.name}-{old.name}-peering", peering, self._part()))
        if component.load_balancers is not None:
            self._shared(component.load_balancers, new)
        else:
            # Back from where names were pairs, they lead where they did before the balancers go.
            self.steps.append(
                Names("names", NamesArgs(scope=scope.following(*self.steps), old=old, new=new), self._part())
            )

    def _shared(self, balancers: SideLoadBalancers, new: SideView) -> None:
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
        self._workers(reach, new)
        if stage.control_plane.on_new:
            moving = NewMembersArgs(scope=reach.following(*self.steps), old=old, new=new, balancers=balancers)
            self.steps.append(NewMembers(f"{new.name}-members", moving, self._part()))

    def _workers(self, reach: Scope, new: SideView) -> None:
        old = self.old
        workers = NewWorkers(f"{new.name}-workers", NewWorkersArgs(scope=reach, old=old, new=new), self._part())
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

    def _finish(self) -> None:
        c = self.settings.configuration
        if self.stage.finished:
            inputs = RetirementInputs(
                **self._outer.common(c.limits.swap_seconds), items=c.retire, keep=tuple(item.id for item in c.keep)
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
        inputs = StackGuardInputs(**self._outer.common(), to_side=c.to, command=self.settings.command)
        StackGuard("guard", inputs, self._part(after))

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
