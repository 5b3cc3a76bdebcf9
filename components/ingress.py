"""The ingress Services' traffic policies: what they were, or `Cluster` while ingress pods are on their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.base import Args, Component
from components.side_view import SideView
from migration.contracts.gates import worker_groups
from migration.contracts.traffic import IngressPolicyInputs
from migration.settings.balancers import ServiceKeys
from migration.settings.forms import services
from providers.operations import IngressPolicy


@dataclass(frozen=True, kw_only=True)
class IngressTrafficArgs(Args):
    """The side whose balancers have the traffic by the end of the stage."""

    side: SideView


class IngressTraffic(Component):
    """Declares each Service's policy: `Cluster` before old nodes are tainted and until ingress pods moved.

    Nodes that can't join the other side's target groups must reach an ingress pod anywhere; with `Local` a node
    without one answers nothing.
    """

    def __init__(self, name: str, args: IngressTrafficArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ingress:Traffic", name, args, opts)
        c = args.scope.settings.configuration
        self.policy: IngressPolicy
        before: list[pulumi.Resource] = []
        for position, service in enumerate(services(c)):
            # One after the other: each stops the groups from adding targets meanwhile, and lets them again.
            logical = "ingress-policy" if position == 0 else f"ingress-policy-{service.namespace}-{service.service}"
            self.policy = self._policy(logical, args.side, service, before)
            before = [self.policy]

    def _policy(
        self, logical: str, side: SideView, service: ServiceKeys, after: Sequence[pulumi.Resource]
    ) -> IngressPolicy:
        scope = self._scope
        settings, common = scope.settings, scope.common()
        return IngressPolicy(
            logical,
            pulumi.Output.all(*side.groups_of(service)).apply(
                lambda target_groups: IngressPolicyInputs(
                    **common,
                    wanted="Cluster" if settings.stage.moving_pods else "recorded",
                    namespace=service.namespace,
                    service=service.service,
                    recorded=service.external_traffic_policy,
                    target_groups=tuple(target_groups),
                    groups=worker_groups(settings, side.name),
                    returning=scope.returning,
                )
            ),
            self.child(after=after),
        )
