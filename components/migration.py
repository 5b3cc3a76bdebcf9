"""The whole migration at its stage: which components exist, in which order, between which gates."""

from __future__ import annotations

import pulumi

from components.access import MemberAccess
from components.base import Scope
from components.cluster_objects import ClusterObjects
from components.control_plane import NewMembers
from components.dns import ApiMembers, Names
from components.managed_side import ManagedSideComponent
from components.network import ConnectedNetwork, Peering, ZoneVisibility
from components.security_groups import CrossAccess, SwapAccess
from components.side_view import ReferencedSideComponent, SideView
from components.workers import NewWorkers, OldWorkersEnd
from components.workloads import Workloads
from migration.facts import gate_facts
from migration.settings import Settings
from migration.settings.model import ManagedSide, ReferencedSide
from providers.operations import Gate, Retirement, StageRecord


class Migration:
    """Declares everything of one stage. Attributes hold what a later step of the same stage builds on."""

    def __init__(self, settings: Settings, owner: str) -> None:
        self.settings, self.stage, c = settings, settings.stage, settings.configuration
        outer = Scope(settings=settings)
        self._record = {
            "stage": self.stage.number,
            "from": c.from_,
            "to": c.to,
            "owner": owner,
            "command": settings.command,
        }
        begin = StageRecord("begin", outer.operation(phase="begin", **self._record))
        self.steps: list[pulumi.Resource] = []
        self._before = self._gate("before", outer, self.stage.gates_before, [begin])
        self.scope = outer.following(self._before)
        if not isinstance(settings.old, ReferencedSide) or not isinstance(settings.new, ManagedSide):
            raise NotImplementedError(
                "migrations from a side made by this program come with the next issue; sides.<from> is referenced"
            )
        self.steps.append(ClusterObjects(self.scope))
        self.old = ReferencedSideComponent(c.from_, self.scope, settings.old).view
        if not self.stage.starting:
            self._new_side(settings.new)
        self._finish(outer)

    def _new_side(self, side: ManagedSide) -> None:
        stage, c = self.stage, self.settings.configuration
        component = ManagedSideComponent(c.to, self.scope, side, self.old.cidr, stage.shared.on_new)
        new = component.view
        self.steps.append(component)
        self.steps.append(ZoneVisibility(self.scope, c.traffic.zone_id, new))
        for network in c.connected_networks:
            if network.vpc_id:
                self.steps.append(ConnectedNetwork(self.scope, network, new))
        if not stage.finished or c.retain_peering:
            self.steps.append(Peering(self.scope, self.old, new))
        if stage.shared.on_new:
            self._shared(component, new)

    def _shared(self, component: ManagedSideComponent, new: SideView) -> None:
        stage, c, balancers = self.stage, self.settings.configuration, component.load_balancers
        assert balancers is not None
        reach = self.scope.following(*self.steps)
        self.steps.append(MemberAccess(c.to, self.scope))
        if not stage.finished:
            cross = CrossAccess(reach, self.old, new)
            self.steps.append(cross)
            reach = reach.following(cross)
            if not stage.workers.on_old and c.etcd.access == "direct":
                # One stage before the swaps: the gate before them asks etcd itself.
                self.steps.append(SwapAccess(reach, (self.old, new)))
        members = ApiMembers(reach, balancers.api_members.arn)
        names = Names(reach.following(members.targets), self.old, new)
        self.steps += [members, names]
        if stage.workers.on_new:
            self._workers(reach, new)
        if stage.control_plane.on_new:
            self._control_plane(reach.following(*self.steps), new, component)

    def _workers(self, reach: Scope, new: SideView) -> None:
        workers = NewWorkers(reach, self.old, new)
        workloads = Workloads(reach, self.old, new, [workers.hold])
        self.steps += [workers, workloads]
        if not self.stage.workers.on_old:
            end = OldWorkersEnd(reach.following(workloads.last), self.old, workers.note)
            self.steps.append(end)

    def _control_plane(self, reach: Scope, new: SideView, component: ManagedSideComponent) -> None:
        balancers = component.load_balancers
        assert balancers is not None
        self.steps.append(NewMembers(reach, self.old, new, balancers))

    def _finish(self, outer: Scope) -> None:
        c = self.settings.configuration
        if self.stage.finished:
            items = [item.model_dump(by_alias=True) for item in c.retire]
            keep = [item.model_dump(by_alias=True) for item in c.keep]
            inputs = outer.operation(
                c.limits.swap_seconds,
                wanted="retired",
                items=items,
                keep=keep,
            )
            opts = pulumi.ResourceOptions(depends_on=[*self.steps])
            self.steps.append(Retirement("retirement", inputs, opts))
        after = self._gate("after", outer, self.stage.gates_after, [self._before, *self.steps])
        StageRecord(
            "reached",
            outer.operation(phase="finish", **self._record),
            pulumi.ResourceOptions(depends_on=[self._before, after]),
        )

    def _gate(self, position: str, scope: Scope, checks: tuple[str, ...], after: list[pulumi.Resource]) -> Gate:
        inputs = scope.operation(
            label=f"{position} stage {self.stage.number}",
            stage=self.stage.number,
            position=position,
            checks=list(checks),
            facts=gate_facts(self.settings),
        )
        return Gate(f"gate-{position}", inputs, pulumi.ResourceOptions(depends_on=after))
