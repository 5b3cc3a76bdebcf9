"""The ingress Service's traffic policy: what it was, or `Cluster` while ingress pods are on their way."""

from __future__ import annotations

import pulumi

from components.base import Component, Scope
from components.side_view import SideView
from migration.names import physical_name
from migration.stages import Placement
from providers.operations import IngressPolicy


class IngressTraffic(Component):
    """Declares the policy for the stage: `Cluster` before old nodes are tainted and until ingress pods moved.

    Nodes that can't join the other side's target groups must reach an ingress pod anywhere; with `Local` a node
    without one answers nothing.
    """

    def __init__(self, scope: Scope, old: SideView, new: SideView, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ingress:Traffic", "ingress-traffic", scope, opts)
        c = scope.settings.configuration
        assert new.ingress is not None
        moving = scope.settings.stage.workloads is Placement.BOTH
        self.policy = IngressPolicy(
            "ingress-policy",
            scope.operation(
                wanted="Cluster" if moving else "recorded",
                namespace=c.ingress.namespace,
                service=c.ingress.service,
                recorded=c.ingress.external_traffic_policy,
                nodePort=c.ingress.node_port,
                targetGroups=list(new.ingress.target_groups),
                groups=[physical_name(pool.group, "", new.suffix) for pool in c.pools],
            ),
            self.child(),
        )
        self.register_outputs({})
