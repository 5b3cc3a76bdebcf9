"""What a side's VPC offers beside its network, as the one it was made after does: endpoints and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.base import Args, Component
from migration.settings.model import ManagedSide

# What machines ask an interface endpoint by.
_HTTPS = 443


@dataclass(frozen=True, kw_only=True)
class SideOffersArgs(Args):
    """The side by name and configuration, its VPC, private subnets by zone and route tables."""

    name: str
    side: ManagedSide
    vpc_id: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Input[str]]
    route_tables: Mapping[str, pulumi.Input[str]]


class SideOffers(Component):
    """Endpoints of services, DHCP options, resolver rules and private zones; only what the configuration names."""

    def __init__(self, name: str, args: SideOffersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("network:Offers", name, args, opts)
        side, who = args.side, args.name
        group = self._door(args) if any(one.type == "Interface" for one in side.endpoints) else None
        for one in side.endpoints:
            label = one.service.rsplit("amazonaws.", 1)[-1]
            gateway = one.type == "Gateway"
            aws.ec2.VpcEndpoint(
                f"{who}-endpoint-{label}",
                vpc_id=args.vpc_id,
                service_name=one.service,
                vpc_endpoint_type=one.type,
                route_table_ids=list(args.route_tables.values()) if gateway else None,
                subnet_ids=None if gateway else list(args.subnets.values()),
                security_group_ids=None if gateway or group is None else [group.id],
                private_dns_enabled=None if gateway else one.private_dns,
                policy=one.policy,
                tags=args.scope.tags(who, f"endpoint-{label}"),
                opts=self.child(),
            )
        if side.dhcp_options is not None:
            # The same set as the old VPC's: a set belongs to no VPC.
            aws.ec2.VpcDhcpOptionsAssociation(
                f"{who}-dhcp", vpc_id=args.vpc_id, dhcp_options_id=side.dhcp_options, opts=self.child()
            )
        for rule in side.resolver_rules:
            aws.route53.ResolverRuleAssociation(
                f"{who}-{rule}", name=f"{who}-{rule}", resolver_rule_id=rule, vpc_id=args.vpc_id, opts=self.child()
            )
        for zone in side.private_zones:
            aws.route53.ZoneAssociation(f"{who}-{zone}", zone_id=zone, vpc_id=args.vpc_id, opts=self.child())

    def _door(self, args: SideOffersArgs) -> aws.ec2.SecurityGroup:
        """What lets the side's machines in to interface endpoints."""
        c, who = args.scope.settings.configuration, args.name
        group = aws.ec2.SecurityGroup(
            f"{who}-endpoints",
            name=f"{c.cluster}-endpoints{args.side.suffix}",
            description=f"endpoints of {c.cluster} in {who}",
            vpc_id=args.vpc_id,
            tags=args.scope.tags(who, "endpoints"),
            opts=self.child(),
        )
        rule = f"{who}-endpoints-from-{who}"
        aws.vpc.SecurityGroupIngressRule(
            rule,
            security_group_id=group.id,
            ip_protocol="tcp",
            from_port=_HTTPS,
            to_port=_HTTPS,
            cidr_ipv4=args.side.cidr,
            description=rule,
            tags=args.scope.tags(who, rule),
            opts=self.child(),
        )
        return group
