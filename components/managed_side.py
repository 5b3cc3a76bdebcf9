"""A side that this program makes: network first, then what a cluster needs in it, as the stage says."""

from __future__ import annotations

import pulumi

from components.base import Component, Scope
from components.load_balancers import SideLoadBalancers
from components.network import SideNetwork
from components.security_groups import SideSecurityGroups
from components.side_view import SideView
from migration.settings.model import ManagedSide


class ManagedSideComponent(Component):
    """Network, security groups and load balancers of one side; `view` is what consumers get.

    `shared` says whether the parts both sides share (security groups, balancers) exist yet.
    """

    def __init__(
        self,
        name: str,
        scope: Scope,
        side: ManagedSide,
        other_cidr: str,
        shared: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("side:Managed", name, scope, opts)
        inside = pulumi.ResourceOptions(parent=self)
        network = SideNetwork(name, scope, side, inside)
        subnets: dict[str, pulumi.Output[str]] = {zone: subnet.id for zone, subnet in network.subnets.items()}
        groups = SideSecurityGroups(name, scope, network.vpc.id, side.cidr, other_cidr, inside) if shared else None
        self.load_balancers = SideLoadBalancers(name, scope, network.vpc.id, subnets, inside) if shared else None
        self.view = SideView(
            name=name,
            suffix=side.suffix,
            cidr=side.cidr,
            vpc_id=network.vpc.id,
            subnets=subnets,
            route_tables={key: table.id for key, table in network.route_tables.items()},
            nodes_group=groups.nodes.id if groups else None,
            control_plane_group=groups.control_plane.id if groups else None,
            ingress=self.load_balancers.ingress if self.load_balancers else None,
            api=self.load_balancers.api if self.load_balancers else None,
        )
        self.register_outputs({"vpcId": network.vpc.id})
