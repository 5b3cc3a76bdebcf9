"""A side as its consumers see it, whether it is referenced or made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.base import Component, Scope
from migration.settings.model import ReferencedSide


@dataclass(frozen=True, kw_only=True)
class BalancerView:
    """A network load balancer: where it is, what it listens on, the target groups behind it (ARNs)."""

    arn: pulumi.Input[str]
    dns_name: pulumi.Input[str]
    zone_id: pulumi.Input[str]
    port: int
    target_groups: Sequence[pulumi.Input[str]]


@dataclass(frozen=True, kw_only=True)
class SideView:
    """A side's ids. What a stage hasn't made yet is None or empty; consumers can't tell the kinds of side apart.

    `route_tables` is keyed by something stable (an id or a zone), `subnets` by zone (private subnets).
    """

    name: str
    suffix: str
    cidr: str
    vpc_id: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Input[str]]
    route_tables: Mapping[str, pulumi.Input[str]]
    nodes_group: pulumi.Input[str] | None = None
    control_plane_group: pulumi.Input[str] | None = None
    ingress: BalancerView | None = None
    api: BalancerView | None = None


class ReferencedSideComponent(Component):
    """A side whose ids stand in the configuration; none of its objects are in this program's state."""

    def __init__(
        self, name: str, scope: Scope, side: ReferencedSide, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("side:Referenced", name, scope, opts)
        balancers = side.load_balancers
        self.view = SideView(
            name=name,
            suffix=side.suffix,
            cidr=side.cidr,
            vpc_id=side.vpc_id,
            subnets={zone: subnets.private for zone, subnets in side.zones.items()},
            route_tables={table: table for table in side.route_tables},
            nodes_group=side.security_groups.nodes,
            control_plane_group=side.security_groups.control_plane,
            ingress=BalancerView(**balancers.ingress.model_dump()),
            api=BalancerView(**balancers.api.model_dump()),
        )
        self.register_outputs({"vpcId": side.vpc_id})
