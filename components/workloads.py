"""Pods: kept off the old nodes by a taint, then drained from them in tiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi

from components.base import Args, Component
from components.ingress import IngressTraffic, IngressTrafficArgs
from components.side_view import SideView
from migration.contracts.gates import ended_groups, worker_groups
from migration.contracts.workers import DrainInputs, DrainRules, TaintInputs
from providers.operations import Drain, IngressPolicy, Taint


@dataclass(frozen=True, kw_only=True)
class WorkloadsArgs(Args):
    """Both sides."""

    old: SideView
    new: SideView


class Workloads(Component):
    """Taint, drain of the ingress tier, policy, drain of the rest: in the order that drops no connection.

    On the way the policy is `Cluster` before the taint; once drained it goes back between the two drains.
    (`rehearsal.sabotage` exchanges these steps, by the words in their lines, to see that the proof notices.)
    """

    def __init__(self, name: str, args: WorkloadsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("workloads:Workloads", name, args, opts)
        self._old, self._new = args.old, args.new
        self._groups = worker_groups(args.scope.settings, args.old.name)
        self.last: pulumi.Resource
        if args.scope.settings.stage.drained:
            taint = self._taint([])
            first = self._drain(f"{args.old.name}-drain-ingress", "ingress", [taint])
            policy = self._policy([first])
            self.last = self._drain(f"{args.old.name}-drain", "rest", [policy])
        else:
            policy = self._policy([])
            self.last = self._taint([policy])

    def _policy(self, after: Sequence[pulumi.Resource]) -> IngressPolicy:
        args = IngressTrafficArgs(scope=self._scope.following(*after), new=self._new)
        return IngressTraffic("ingress-traffic", args, self.inside()).policy

    def _taint(self, after: Sequence[pulumi.Resource]) -> Taint:
        return Taint(
            f"{self._old.name}-taint",
            TaintInputs(
                **self._scope.common(),
                wanted="tainted",
                side=self._old.name,
                groups=self._groups,
                join_seconds=self._scope.settings.configuration.limits.join_seconds,
                ended=ended_groups(self._scope.settings),
            ),
            self.child(after=after),
        )

    def _drain(self, name: str, tier: Literal["ingress", "rest"], after: Sequence[pulumi.Resource]) -> Drain:
        c = self._scope.settings.configuration
        rules = DrainRules(
            ingress_namespace=c.ingress.namespace,
            ingress_service=c.ingress.service,
            ingress_selector=c.drain.ingress_selector,
            unprotected_max_unavailable=c.drain.unprotected_max_unavailable,
            empty_dir=c.drain.empty_dir,
            bare_pods=c.drain.bare_pods,
            max_evictions_per_second=c.drain.max_evictions_per_second,
            rescan_seconds=c.drain.rescan_seconds,
            stall_seconds=c.drain.stall_seconds,
            concurrency=c.drain.concurrency,
            host_path=c.drain.host_path,
            local_volumes=c.drain.local_volumes,
            jobs=c.drain.jobs,
            finished_pods=c.drain.finished_pods,
            require_room=c.drain.require_room,
            pending_seconds=c.drain.pending_seconds,
            max_unplaced_pods=c.drain.max_unplaced_pods,
        )
        common = self._scope.common(c.drain.timeout_seconds)
        inputs = pulumi.Output.from_input(self._old.vpc_id).apply(
            lambda vpc: DrainInputs(
                **common,
                wanted="drained",
                tier=tier,
                side=self._old.name,
                groups=self._groups,
                vpc_id=vpc,
                rules=rules,
                join_seconds=c.limits.join_seconds,
                ended=ended_groups(self._scope.settings),
            )
        )
        return Drain(name, inputs, self.child(after=after))
