"""A side's network load balancers: ingress by instances, the API by members' addresses.

The API's target group is of type `ip`, so it serves the *old* members over the peering from the start and the
API's name moves like every other. Auto Scaling can't feed an `ip` group: the member swaps register by hand, and
before the clean-up the listener moves to a group of instances that the members' groups feed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import pulumi
import pulumi_aws as aws

from components.base import Args, Component
from components.side_view import BalancerView
from migration.names import balancer_name

# Only used between the last swap and the clean-up, to have the instance group checked before it takes over.
CHECK_PORT_OFFSET = 1


class ApiServedBy(Enum):
    """What the API's listener leads to."""

    ADDRESSES = "addresses"
    """Members of either side, by address."""
    ADDRESSES_CHECKED = "addresses-checked"
    """The same, while the side's own instances are looked at."""
    INSTANCES = "instances"
    """The side's own instances."""


@dataclass(frozen=True, kw_only=True)
class SideLoadBalancersArgs(Args):
    """The side by name, its VPC, its private subnets' ids by zone, and what serves the API."""

    side: str
    vpc_id: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Output[str]]
    api: ApiServedBy


class SideLoadBalancers(Component):
    """Ingress and API balancers of a side made here."""

    def __init__(self, name: str, args: SideLoadBalancersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("load_balancers:Side", name, args, opts)
        scope, c = args.scope, args.scope.settings.configuration
        name, vpc_id, subnets = args.side, args.vpc_id, args.subnets
        self._suffix = c.sides[name].suffix
        balancers = {
            role: aws.lb.LoadBalancer(
                f"{name}-{role}",
                name=balancer_name(c.cluster, role, self._suffix),
                load_balancer_type="network",
                internal=True,
                subnets=[subnets[zone] for zone in sorted(subnets)],
                enable_cross_zone_load_balancing=True,
                tags=scope.tags(name, role),
                opts=self.child(),
            )
            for role in ("ingress", "api")
        }
        ingress = self._target_group(name, "ingress", vpc_id, c.ingress.node_port, "instance")
        members = self._target_group(name, "api", vpc_id, c.api.on_members, "ip", preserve_client_ip="false")
        # Before the clean-up the API's listener moves to the instances that the members' groups feed.
        instances = (
            self._target_group(name, "apimembers", vpc_id, c.api.on_members, "instance", preserve_client_ip="false")
            if args.api is not ApiServedBy.ADDRESSES
            else None
        )
        self._listener(name, "ingress", balancers["ingress"], c.ingress.listener_port, ingress)
        serving = instances if instances and args.api is ApiServedBy.INSTANCES else members
        self._listener(name, "api", balancers["api"], c.api.port, serving)
        if instances and serving is members:
            # A target group without a listener isn't health-checked, and it is to be healthy before it serves.
            self._listener(name, "api-check", balancers["api"], c.api.port + CHECK_PORT_OFFSET, instances)
        self.api_members = members
        self.api_instances = instances
        self.ingress = self._view(balancers["ingress"], ingress)
        self.api = self._view(balancers["api"], serving)

    @staticmethod
    def _view(balancer: aws.lb.LoadBalancer, group: aws.lb.TargetGroup) -> BalancerView:
        return BalancerView(
            dns_name=balancer.dns_name,
            target_groups=[group.arn],
        )

    def _target_group(
        self,
        side: str,
        role: str,
        vpc_id: pulumi.Input[str],
        port: int,
        target_type: str,
        preserve_client_ip: str | None = None,
    ) -> aws.lb.TargetGroup:
        c = self._scope.settings.configuration
        return aws.lb.TargetGroup(
            f"{side}-{role}",
            name=balancer_name(c.cluster, role, self._suffix),
            vpc_id=vpc_id,
            port=port,
            protocol="TCP",
            target_type=target_type,
            deregistration_delay=c.limits.deregistration_seconds,
            preserve_client_ip=preserve_client_ip,
            health_check={
                "protocol": "TCP",
                "port": "traffic-port",
                "interval": c.limits.health_interval_seconds,
                # 2 to 120 s, and below the interval (CreateTargetGroup, HealthCheckTimeoutSeconds).
                "timeout": max(2, min(10, c.limits.health_interval_seconds // 2)),
                "healthy_threshold": 2,
                "unhealthy_threshold": 2,
            },
            tags=self._scope.tags(side, role),
            opts=self.child(),
        )

    def _listener(
        self, side: str, role: str, balancer: aws.lb.LoadBalancer, port: int, group: aws.lb.TargetGroup
    ) -> None:
        aws.lb.Listener(
            f"{side}-{role}",
            load_balancer_arn=balancer.arn,
            port=port,
            protocol="TCP",
            default_actions=[{"type": "forward", "target_group_arn": group.arn}],
            tags=self._scope.tags(side, role),
            opts=self.child(),
        )
