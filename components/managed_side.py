"""A side that this program makes: network first, then what a cluster needs in it, as the stage says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.base import Args, Component
from components.copied_groups import CopiedGroups, CopiedGroupsArgs
from components.endpoints import SideOffers, SideOffersArgs
from components.load_balancers import ApiServedBy, SideLoadBalancers, SideLoadBalancersArgs
from components.network import SideNetwork, SideNetworkArgs
from components.security_groups import SideSecurityGroups, SideSecurityGroupsArgs
from components.side_view import SideView
from migration.settings.model import ManagedSide


@dataclass(frozen=True, kw_only=True)
class ManagedSideArgs(Args):
    """The side by name and configuration; `shared`: whether security groups and balancers exist yet.

    `clients` and `targets`: ranges by name that may reach the side, and that it may reach, besides its own and the
    connected networks. `api`: what serves the API.
    """

    name: str
    side: ManagedSide
    clients: Mapping[str, str]
    targets: Mapping[str, str]
    shared: bool
    api: ApiServedBy


class ManagedSideComponent(Component):
    """Network, security groups and load balancers of one side; `view` is what consumers get."""

    def __init__(self, name: str, args: ManagedSideArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("side:Managed", name, args, opts)
        scope, side, inside = args.scope, args.side, self.inside()
        network = SideNetwork(f"{name}-network", SideNetworkArgs(scope=scope, name=args.name, side=side), inside)
        subnets: dict[str, pulumi.Output[str]] = {zone: subnet.id for zone, subnet in network.subnets.items()}
        if side.endpoints or side.dhcp_options or side.resolver_rules or side.private_zones:
            offers = SideOffersArgs(
                scope=scope,
                name=args.name,
                side=side,
                vpc_id=network.vpc.id,
                subnets=subnets,
                route_tables={zone: network.route_tables[zone].id for zone in side.zones},
            )
            SideOffers(f"{name}-offers", offers, inside)
        groups: SideSecurityGroups | None = None
        copied: Mapping[str, pulumi.Input[str]] = {}
        self.load_balancers: SideLoadBalancers | None = None
        if args.shared:
            groups = SideSecurityGroups(
                f"{name}-security-groups",
                SideSecurityGroupsArgs(
                    scope=scope,
                    side=args.name,
                    vpc_id=network.vpc.id,
                    cidr=side.cidr,
                    clients=args.clients,
                    targets=args.targets,
                ),
                inside,
            )
            if scope.settings.configuration.security_groups:
                copied = CopiedGroups(
                    f"{name}-copied-groups",
                    CopiedGroupsArgs(
                        scope=scope,
                        side=args.name,
                        vpc_id=network.vpc.id,
                        nodes=groups.nodes.id,
                        control_plane=groups.control_plane.id,
                    ),
                    inside,
                ).groups
            self.load_balancers = SideLoadBalancers(
                f"{name}-load-balancers",
                SideLoadBalancersArgs(
                    scope=scope,
                    side=args.name,
                    vpc_id=network.vpc.id,
                    cidr=side.cidr,
                    subnets=subnets,
                    clients=args.clients,
                    api=args.api,
                ),
                inside,
            )
        self.view = SideView(
            name=args.name,
            suffix=side.suffix,
            cidr=side.cidr,
            vpc_id=network.vpc.id,
            subnets=subnets,
            route_tables={key: table.id for key, table in network.route_tables.items()},
            nodes_group=groups.nodes.id if groups else None,
            control_plane_group=groups.control_plane.id if groups else None,
            more_groups=copied,
            ingresses=self.load_balancers.ingresses if self.load_balancers else {},
            api=self.load_balancers.api if self.load_balancers else None,
        )
