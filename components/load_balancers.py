"""A side's load balancers: ingress by instances, the API by members' addresses.

The API's target group is of type `ip`, so it serves the *old* members over the peering from the start and the
API's name moves like every other. Auto Scaling can't feed an `ip` group: the member swaps register by hand, and
before the clean-up the listener moves to a group of instances that the members' groups feed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network
from typing import Any

import pulumi
import pulumi_aws as aws

from components.base import Args, Component
from components.side_view import BalancerView, IngressGroup
from migration.balancing import attributes
from migration.names import balancer_name
from migration.settings.balancers import (
    ApiBalancerForm,
    BalancerForm,
    Condition,
    Forward,
    HealthCheck,
    ListenerForm,
    Rule,
    ways,
)
from migration.settings.forms import api_form, group_name, ingress_forms, part, service_of

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
    """The side by name, its VPC, its private subnets' ids by zone, and what serves the API.

    `clients`: ranges by name that may come to a balancer with a security group of its own. `cidr`: the side's.
    """

    side: str
    vpc_id: pulumi.Input[str]
    cidr: str
    subnets: Mapping[str, pulumi.Output[str]]
    clients: Mapping[str, str]
    api: ApiServedBy


class SideLoadBalancers(Component):
    """Ingress and API balancers of a side made here."""

    def __init__(self, name: str, args: SideLoadBalancersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("load_balancers:Side", name, args, opts)
        c = args.scope.settings.configuration
        self._args, self._suffix = args, c.sides[args.side].suffix
        self.ingresses = {role: self._ingress(role, form) for role, form in ingress_forms(c).items()}
        form = api_form(c)
        balancer = self._balancer("api", "network", form.attributes)
        members = self._api_group("api", form, "ip")
        # Before the clean-up the API's listener moves to the instances that the members' groups feed.
        instances = self._api_group("apimembers", form, "instance") if args.api is not ApiServedBy.ADDRESSES else None
        serving = instances if instances and args.api is ApiServedBy.INSTANCES else members
        lead = attributes.arguments(attributes.NETWORK_LISTENER, form.listener_attributes)
        self._listener("api", balancer, c.api.port, "TCP", _to(serving), **lead)
        for port in form.ports:
            self._listener(f"api-{port}", balancer, port, "TCP", _to(serving), role="api", **lead)
        if instances and serving is members:
            # A target group without a listener isn't health-checked, and it is to be healthy before it serves.
            self._listener("api-check", balancer, c.api.port + CHECK_PORT_OFFSET, "TCP", _to(instances))
        self.api_members = members
        self.api_instances = instances
        self.api = BalancerView(dns_name=balancer.dns_name, target_groups=[serving.arn], zone_id=balancer.zone_id)

    # Ingress

    def _ingress(self, role: str, form: BalancerForm) -> BalancerView:
        c, side = self._scope.settings.configuration, self._args.side
        group = self._security_group(role, form) if form.type == "application" or form.clients else None
        more = {"security_groups": [group.id]} if group else {}
        balancer = self._balancer(role, form.type, form.attributes, **more)
        groups: dict[str, aws.lb.TargetGroup] = {}
        for key, one in form.groups.items():
            groups[key] = self._target_group(
                f"{side}-{part(role, form, key)}",
                name=group_name(c, self._suffix, role, form, key),
                role=part(role, form, key),
                port=one.port,
                protocol=one.protocol,
                protocol_version=one.protocol_version,
                target_type="instance",
                check=one.health_check,
                **attributes.arguments(attributes.of_group(one.protocol), one.attributes),
            )
        for position, listener in enumerate(form.listeners):
            self._form_listener(role, role if position == 0 else f"{role}-{listener.port}", balancer, listener, groups)
        return BalancerView(
            dns_name=balancer.dns_name,
            target_groups=[one.arn for one in groups.values()],
            zone_id=balancer.zone_id,
            groups=[
                IngressGroup(arn=groups[key].arn, service=service_of(c, role, one), pools=one.pools)
                for key, one in form.groups.items()
            ],
        )

    def _form_listener(
        self,
        role: str,
        name: str,
        balancer: aws.lb.LoadBalancer,
        form: ListenerForm,
        groups: Mapping[str, aws.lb.TargetGroup],
    ) -> None:
        side = self._args.side
        tls: dict[str, Any] = {"ssl_policy": form.policy, "alpn_policy": form.alpn}
        first, *others = form.certificates or (None,)
        listener = self._listener(
            name,
            balancer,
            form.port,
            form.protocol,
            _action(form.forward, form.sticky_seconds, groups),
            role=role,
            certificate_arn=first,
            **{key: value for key, value in tls.items() if value is not None},
            **attributes.arguments(attributes.of_listener(form.protocol), form.attributes),
        )
        for certificate in others:
            aws.lb.ListenerCertificate(
                # An ARN ends in the certificate's id: whichever is taken out of the list, the others stay.
                f"{side}-{name}-{str(certificate).rpartition('/')[2]}",
                listener_arn=listener.arn,
                certificate_arn=str(certificate),
                opts=self.child(),
            )
        for rule in form.rules:
            self._rule(role, f"{name}-{rule.priority}", listener, rule, groups)

    def _rule(
        self,
        role: str,
        name: str,
        listener: aws.lb.Listener,
        rule: Rule,
        groups: Mapping[str, aws.lb.TargetGroup],
    ) -> None:
        aws.lb.ListenerRule(
            f"{self._args.side}-{name}",
            listener_arn=listener.arn,
            priority=rule.priority,
            conditions=[_condition(one) for one in rule.conditions],
            actions=[_action(rule.forward, rule.sticky_seconds, groups)],
            tags=self._scope.tags(self._args.side, role),
            opts=self.child(),
        )

    def _security_group(self, role: str, form: BalancerForm) -> aws.ec2.SecurityGroup:
        """A group of the balancer's own, with what its form lets in, and a way to the side's nodes."""
        c, side = self._scope.settings.configuration, self._args.side
        name = f"{role}-balancer"
        group = aws.ec2.SecurityGroup(
            f"{side}-{name}",
            name=f"{c.cluster}-{name}{self._suffix}",
            description=f"{name} of {c.cluster} in {side}",
            vpc_id=self._args.vpc_id,
            tags=self._scope.tags(side, name),
            opts=self.child(),
        )
        clients = self._clients(form)
        for listener in form.listeners:
            for protocol in ways(listener.protocol):
                for origin, cidr in clients.items():
                    rule = f"{side}-{name}-{protocol}-{listener.port}-from-{origin}"
                    aws.vpc.SecurityGroupIngressRule(
                        rule,
                        security_group_id=group.id,
                        ip_protocol=protocol,
                        from_port=listener.port,
                        to_port=listener.port,
                        cidr_ipv4=cidr,
                        description=rule,
                        tags=self._scope.tags(side, rule),
                        opts=self.child(),
                    )
        rule = f"{side}-{name}-to-{side}"
        aws.vpc.SecurityGroupEgressRule(
            rule,
            security_group_id=group.id,
            ip_protocol="-1",
            cidr_ipv4=self._args.cidr,
            description=rule,
            tags=self._scope.tags(side, rule),
            opts=self.child(),
        )
        return group

    def _clients(self, form: BalancerForm) -> Mapping[str, str]:
        """Ranges that may come, by name: those of the old balancer, and where it lets in its own VPC, this one, too."""
        c, own = self._scope.settings.configuration, {self._args.side: self._args.cidr}
        if not form.clients:
            connected = {name: cidr for network in c.connected_networks for name, cidr in network.ranges.items()}
            return {**own, **self._args.clients, **connected}
        said = {cidr: cidr for cidr in form.clients}
        inside = [IPv4Network(cidr) for cidr in self._args.clients.values()]
        if not any(IPv4Network(cidr).overlaps(one) for cidr in said for one in inside):
            return said
        covered = any(IPv4Network(self._args.cidr).subnet_of(IPv4Network(cidr)) for cidr in said)
        return said if covered else {**said, **own}

    # What both have

    def _balancer(self, role: str, kind: str, said: Mapping[str, str], **more: Any) -> aws.lb.LoadBalancer:
        c, subnets = self._scope.settings.configuration, self._args.subnets
        return aws.lb.LoadBalancer(
            f"{self._args.side}-{role}",
            name=balancer_name(c.cluster, role, self._suffix),
            load_balancer_type=kind,
            internal=True,
            subnets=[subnets[zone] for zone in sorted(subnets)],
            tags=self._scope.tags(self._args.side, role),
            opts=self.child(),
            **attributes.arguments(attributes.of_balancer(kind), said),
            **more,
        )

    def _api_group(self, role: str, form: ApiBalancerForm, target_type: str) -> aws.lb.TargetGroup:
        c = self._scope.settings.configuration
        assert form.health_check is not None, "api_form fills it in"
        said = attributes.arguments(attributes.NETWORK_GROUP, form.target_attributes)
        return self._target_group(
            f"{self._args.side}-{role}",
            name=balancer_name(c.cluster, role, self._suffix),
            role=role,
            port=c.api.on_members,
            protocol="TCP",
            protocol_version=None,
            target_type=target_type,
            check=form.health_check,
            # Whatever the original does: members reach the API through it, and so themselves.
            **{**said, "preserve_client_ip": "false"},
        )

    def _target_group(
        self,
        logical: str,
        *,
        name: str,
        role: str,
        port: int,
        protocol: str,
        protocol_version: str | None,
        target_type: str,
        check: HealthCheck,
        **more: Any,
    ) -> aws.lb.TargetGroup:
        looked = {
            "protocol": check.protocol,
            "port": check.port,
            "interval": check.interval,
            "timeout": check.timeout,
            "healthy_threshold": check.healthy_threshold,
            "unhealthy_threshold": check.unhealthy_threshold,
            "path": check.path,
            "matcher": check.matcher,
        }
        return aws.lb.TargetGroup(
            logical,
            name=name,
            vpc_id=self._args.vpc_id,
            port=port,
            protocol=protocol,
            protocol_version=protocol_version,
            target_type=target_type,
            health_check={key: value for key, value in looked.items() if value is not None},  # pyright: ignore
            tags=self._scope.tags(self._args.side, role),
            opts=self.child(),
            **more,
        )

    def _listener(
        self,
        name: str,
        balancer: aws.lb.LoadBalancer,
        port: int,
        protocol: str,
        action: aws.lb.ListenerDefaultActionArgsDict,
        role: str | None = None,
        **more: Any,
    ) -> aws.lb.Listener:
        side = self._args.side
        return aws.lb.Listener(
            f"{side}-{name}",
            load_balancer_arn=balancer.arn,
            port=port,
            protocol=protocol,
            default_actions=[action],
            tags=self._scope.tags(side, role or name),
            opts=self.child(),
            **more,
        )


def _to(group: aws.lb.TargetGroup) -> Any:
    return {"type": "forward", "target_group_arn": group.arn}


def _action(forward: Sequence[Forward], sticky: int | None, groups: Mapping[str, aws.lb.TargetGroup]) -> Any:
    """The action of a listener or a rule: one group, or several by weight."""
    if len(forward) == 1:
        return _to(groups[forward[0].group])
    several: dict[str, Any] = {
        "target_groups": [{"arn": groups[one.group].arn, "weight": one.weight} for one in forward]
    }
    if sticky is not None:
        several["stickiness"] = {"enabled": True, "duration": sticky}
    return {"type": "forward", "forward": several}


def _condition(condition: Condition) -> Any:
    values = list(condition.values)
    if condition.field == "query-string":
        pairs = [one.partition("=") for one in values]
        return {"query_strings": [{**({"key": key} if key else {}), "value": value} for key, _, value in pairs]}
    if condition.field == "http-header":
        return {"http_header": {"http_header_name": condition.name, "values": values}}
    return {condition.field.replace("-", "_"): {"values": values}}
