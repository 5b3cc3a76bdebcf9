"""Pods: kept off the old nodes by a taint, then drained from them in tiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components.base import Component, Scope
from components.ingress import IngressTraffic
from components.side_view import SideView
from providers.operations import Drain, Taint


class Workloads(Component):
    """Taint, drain of the ingress tier, policy, drain of the rest: in the order that drops no connection.

    On the way the policy is `Cluster` before the taint; once drained it goes back between the two drains.
    """

    def __init__(
        self,
        scope: Scope,
        old: SideView,
        new: SideView,
        ready: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("workloads:Workloads", "workloads", scope, opts)
        c = scope.settings.configuration
        groups = [pool.group for pool in c.pools]
        here = scope.following(*ready)
        inside = pulumi.ResourceOptions(parent=self)
        drained = not scope.settings.stage.workloads.on_old
        taint_inputs = scope.operation(wanted="tainted", groups=groups)
        self.last: pulumi.Resource
        if not drained:
            policy = IngressTraffic(here, old, new, inside).policy
            self.last = self.taint = Taint(f"{old.name}-taint", taint_inputs, self.child(after=[*ready, policy]))
        else:
            self.taint = Taint(f"{old.name}-taint", taint_inputs, self.child(after=ready))
            first = self._drain(f"{old.name}-drain-ingress", old, groups, "ingress", [self.taint])
            policy = IngressTraffic(here.following(first), old, new, inside).policy
            self.last = self._drain(f"{old.name}-drain", old, groups, "rest", [policy])
        self.register_outputs({})

    def _drain(self, name: str, old: SideView, groups: list[str], tier: str, after: Sequence[pulumi.Resource]) -> Drain:
        c = self._scope.settings.configuration
        inputs: dict[str, Any] = {
            "wanted": "drained",
            "tier": tier,
            "groups": groups,
            "vpcId": old.vpc_id,
            "ingressNamespace": c.ingress.namespace,
            "ingressService": c.ingress.service,
            "ingressSelector": c.drain.ingress_selector,
            "unprotectedMaxUnavailable": c.drain.unprotected_max_unavailable,
            "emptyDir": c.drain.empty_dir,
            "barePods": c.drain.bare_pods,
            "maxEvictionsPerSecond": c.drain.max_evictions_per_second,
        }
        return Drain(name, self._scope.operation(c.drain.timeout_seconds, **inputs), self.child(after=after))
