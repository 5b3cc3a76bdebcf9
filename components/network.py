"""The new VPC, and the peerings that make it reachable from where the old one is."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.base import Args, Component
from components.side_view import SideView
from migration.networks import subnet_plan
from migration.settings.model import ManagedSide, Network


@dataclass(frozen=True, kw_only=True)
class SideNetworkArgs(Args):
    """The side by name and configuration."""

    name: str
    side: ManagedSide


class SideNetwork(Component):
    """A side's VPC: private subnets and a route table a zone, gateway endpoint, and NAT where it is wanted."""

    def __init__(self, name: str, args: SideNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("network:Side", name, args, opts)
        scope, name, side = args.scope, args.name, args.side
        self.vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=side.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=scope.tags(name, "vpc"),
            opts=self.child(),
        )
        plan = subnet_plan(side.cidr, side.zones, side.subnet_prefix)
        self.subnets: dict[str, aws.ec2.Subnet] = {}
        self.route_tables: dict[str, aws.ec2.RouteTable] = {}
        for zone in side.zones:
            self.subnets[zone] = aws.ec2.Subnet(
                f"{name}-private-{zone}",
                vpc_id=self.vpc.id,
                availability_zone=zone,
                cidr_block=plan[zone].private,
                tags=scope.tags(name, f"private-{zone}", **{"kubernetes.io/role/internal-elb": "1"}),
                opts=self.child(),
            )
            self.route_tables[zone] = aws.ec2.RouteTable(
                f"{name}-private-{zone}",
                vpc_id=self.vpc.id,
                tags=scope.tags(name, f"private-{zone}"),
                opts=self.child(),
            )
            aws.ec2.RouteTableAssociation(
                f"{name}-private-{zone}",
                subnet_id=self.subnets[zone].id,
                route_table_id=self.route_tables[zone].id,
                opts=self.child(),
            )
        aws.ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=self.vpc.id,
            # In every partition: what begins otherwise elsewhere (cn.com.amazonaws) are interface endpoints.
            service_name=f"com.amazonaws.{scope.settings.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in self.route_tables.values()],
            tags=scope.tags(name, "s3"),
            opts=self.child(),
        )
        if side.nat == "per-zone":
            self._internet(name, side, {zone: plan[zone].public for zone in side.zones})

    def _internet(self, name: str, side: ManagedSide, public_cidrs: dict[str, str]) -> None:
        """A NAT gateway a zone, so that one zone's failure leaves the others their way out."""
        gateway = aws.ec2.InternetGateway(
            f"{name}-internet", vpc_id=self.vpc.id, tags=self._scope.tags(name, "internet"), opts=self.child()
        )
        public = aws.ec2.RouteTable(
            f"{name}-public", vpc_id=self.vpc.id, tags=self._scope.tags(name, "public"), opts=self.child()
        )
        aws.ec2.Route(
            f"{name}-public-internet",
            route_table_id=public.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=self.child(),
        )
        self.route_tables["public"] = public
        for zone in side.zones:
            subnet = aws.ec2.Subnet(
                f"{name}-public-{zone}",
                vpc_id=self.vpc.id,
                availability_zone=zone,
                cidr_block=public_cidrs[zone],
                tags=self._scope.tags(name, f"public-{zone}"),
                opts=self.child(),
            )
            aws.ec2.RouteTableAssociation(
                f"{name}-public-{zone}", subnet_id=subnet.id, route_table_id=public.id, opts=self.child()
            )
            address = aws.ec2.Eip(
                f"{name}-nat-{zone}",
                domain="vpc",
                tags=self._scope.tags(name, f"nat-{zone}"),
                opts=self.child(),
            )
            nat = aws.ec2.NatGateway(
                f"{name}-nat-{zone}",
                allocation_id=address.id,
                subnet_id=subnet.id,
                tags=self._scope.tags(name, f"nat-{zone}"),
                opts=self.child(after=[gateway]),
            )
            aws.ec2.Route(
                f"{name}-nat-{zone}",
                route_table_id=self.route_tables[zone].id,
                destination_cidr_block="0.0.0.0/0",
                nat_gateway_id=nat.id,
                opts=self.child(),
            )


@dataclass(frozen=True, kw_only=True)
class PeeringArgs(Args):
    """Both sides."""

    old: SideView
    new: SideView


class Peering(Component):
    """The old and the new VPC reach each other privately, by address and by name, from every route table."""

    def __init__(self, name: str, args: PeeringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("network:Peering", name, args, opts)
        scope, old, new = args.scope, args.old, args.new
        pair = f"{new.name}-{old.name}"
        connection = aws.ec2.VpcPeeringConnection(
            pair,
            vpc_id=new.vpc_id,
            peer_vpc_id=old.vpc_id,
            auto_accept=True,
            tags=scope.tags(new.name, f"peering-{old.name}"),
            opts=self.child(),
        )
        aws.ec2.PeeringConnectionOptions(
            pair,
            vpc_peering_connection_id=connection.id,
            requester={"allow_remote_vpc_dns_resolution": True},
            accepter={"allow_remote_vpc_dns_resolution": True},
            opts=self.child(),
        )
        for here, there in ((old, new), (new, old)):
            for key, table in here.route_tables.items():
                for destination, cidr in there.ranges.items():
                    aws.ec2.Route(
                        f"{here.name}-{key}-to-{destination}",
                        route_table_id=table,
                        destination_cidr_block=cidr,
                        vpc_peering_connection_id=connection.id,
                        opts=self.child(),
                    )


@dataclass(frozen=True, kw_only=True)
class ConnectedNetworkArgs(Args):
    """The network to connect, and the side it is connected to."""

    network: Network
    new: SideView


class ConnectedNetwork(Component):
    """Somebody else's VPC that talks to the cluster, peered with the new VPC as it is with the old one.

    Peering is not transitive: what reaches the old VPC doesn't reach the new one through it.
    """

    def __init__(self, name: str, args: ConnectedNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("network:Connected", name, args, opts)
        scope, network, new = args.scope, args.network, args.new
        pair = f"{new.name}-{network.name}"
        connection = aws.ec2.VpcPeeringConnection(
            pair,
            vpc_id=new.vpc_id,
            peer_vpc_id=network.vpc_id or "",
            auto_accept=True,
            tags=scope.tags(new.name, f"peering-{network.name}"),
            opts=self.child(),
        )
        routes = [(f"{network.name}-{table}-to-{new.name}", table, new.cidr) for table in network.route_tables]
        routes += [
            (f"{new.name}-{key}-to-{destination}", table, cidr)
            for key, table in new.route_tables.items()
            for destination, cidr in network.ranges.items()
        ]
        for name, table, cidr in routes:
            aws.ec2.Route(
                name,
                route_table_id=table,
                destination_cidr_block=cidr,
                vpc_peering_connection_id=connection.id,
                opts=self.child(),
            )


@dataclass(frozen=True, kw_only=True)
class ZoneVisibilityArgs(Args):
    """The hosted zone, and the side in which it shall answer."""

    zone_id: str
    new: SideView


class ZoneVisibility(Component):
    """The cluster's private hosted zone answers in the new VPC too."""

    def __init__(self, name: str, args: ZoneVisibilityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("network:ZoneVisibility", name, args, opts)
        zone_id, new = args.zone_id, args.new
        aws.route53.ZoneAssociation(f"{new.name}-{zone_id}", zone_id=zone_id, vpc_id=new.vpc_id, opts=self.child())
