"""The ingress Service's traffic policy: what it was, or `Cluster` while ingress pods are on their way."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.base import Args, Component
from components.side_view import SideView
from migration.contracts.gates import worker_groups
from migration.contracts.traffic import IngressPolicyInputs
from providers.operations import IngressPolicy


@dataclass(frozen=True, kw_only=True)
class IngressTrafficArgs(Args):
    """The side whose balancers have the traffic by the end of the stage."""

    side: SideView


class IngressTraffic(Component):
    """Declares the policy for the stage: `Cluster` before old nodes are tainted and until ingress pods moved.

    Nodes that can't join the other side's target groups must reach an ingress pod anywhere; with `Local` a node
    without one answers nothing.
    """

    def __init__(self, name: str, args: IngressTrafficArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ingress:Traffic", name, args, opts)
        settings, common = args.scope.settings, args.scope.common()
        c = settings.configuration
        self.policy = IngressPolicy(
            "ingress-policy",
            pulumi.Output.all(*args.side.balancer("ingress").target_groups).apply(
                lambda target_groups: IngressPolicyInputs(
                    **common,
                    wanted="Cluster" if settings.stage.moving_pods else "recorded",
                    namespace=c.ingress.namespace,
                    service=c.ingress.service,
                    recorded=c.ingress.external_traffic_policy,
                    target_groups=tuple(target_groups),
                    groups=worker_groups(settings, args.side.name),
                    returning=args.scope.returning,
                )
            ),
            self.child(),
        )
