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
from migration.contracts.workers import DrainInputs, TaintInputs, drain_rules
from providers.operations import Drain, IngressPolicy, Taint

TIERS: tuple[Literal["ingress", "rest"], ...] = ("ingress", "rest")


@dataclass(frozen=True, kw_only=True)
class WorkloadsArgs(Args):
    """Both sides."""

    old: SideView
    new: SideView


class Workloads(Component):
    """Taints, drains and the ingress policy, in the order that drops no connection.

    Going on, the policy is `Cluster` before the taint; once drained it goes back between the two drains. Going back,
    the new side is drained before the policy goes back. What a stage doesn't want, it takes back.
    (`rehearsal.sabotage` exchanges these steps, by the words in their lines, to see that the proof notices.)
    """

    def __init__(self, name: str, args: WorkloadsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("workloads:Workloads", name, args, opts)
        old, new, stage = args.old, args.new, args.scope.settings.stage
        self.last: pulumi.Resource
        if not stage.workers.on_new:
            free = self._taint(old, "clear", [])
            taint = self._taint(new, "tainted", [free])
            first = self._drain(new, "drained", "ingress", [taint])
            rest = self._drain(new, "drained", "rest", [first])
            self.last = self._policy(old, [rest])
            return
        clear = self._taint(new, "clear", [])
        open_again = [self._drain(new, "present", tier, [clear]) for tier in TIERS]
        if stage.drained:
            taint = self._taint(old, "tainted", open_again)
            first = self._drain(old, "drained", "ingress", [taint])
            policy = self._policy(new, [first])
            self.last = self._drain(old, "drained", "rest", [policy])
        else:
            back = [self._drain(old, "present", tier, open_again) for tier in TIERS]
            policy = self._policy(new, back)
            self.last = self._taint(old, "tainted", [policy])

    def _policy(self, side: SideView, after: Sequence[pulumi.Resource]) -> IngressPolicy:
        args = IngressTrafficArgs(scope=self._scope.following(*after), side=side)
        return IngressTraffic("ingress-traffic", args, self.inside()).policy

    def _taint(self, side: SideView, wanted: Literal["tainted", "clear"], after: Sequence[pulumi.Resource]) -> Taint:
        return Taint(
            f"{side.name}-taint",
            TaintInputs(
                **self._scope.common(),
                wanted=wanted,
                side=side.name,
                groups=worker_groups(self._scope.settings, side.name),
                join_seconds=self._scope.settings.configuration.limits.join_seconds,
                ended=self._may_be_gone(side),
                returning=self._scope.returning,
            ),
            self.child(after=after),
        )

    def _may_be_gone(self, side: SideView) -> tuple[str, ...]:
        """Groups that needn't exist: those to be deleted at the end, and a new side's where it has no workers."""
        settings = self._scope.settings
        if side.name == settings.configuration.to and not settings.stage.workers.on_new:
            return worker_groups(settings, side.name)
        return ended_groups(settings)

    def _drain(
        self,
        side: SideView,
        wanted: Literal["drained", "present"],
        tier: Literal["ingress", "rest"],
        after: Sequence[pulumi.Resource],
    ) -> Drain:
        c = self._scope.settings.configuration
        common = self._scope.common(c.drain.timeout_seconds)
        inputs = pulumi.Output.from_input(side.vpc_id).apply(
            lambda vpc: DrainInputs(
                **common,
                wanted=wanted,
                tier=tier,
                side=side.name,
                groups=worker_groups(self._scope.settings, side.name),
                vpc_id=vpc,
                rules=drain_rules(c),
                join_seconds=c.limits.join_seconds,
                ended=self._may_be_gone(side),
                returning=self._scope.returning,
            )
        )
        name = f"{side.name}-drain-ingress" if tier == "ingress" else f"{side.name}-drain"
        return Drain(name, inputs, self.child(after=after))
