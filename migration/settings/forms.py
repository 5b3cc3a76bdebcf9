"""The balancers of a side, by role: as the configuration says, or as they are made where it says nothing. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from migration.names import balancer_name
from migration.settings.balancers import (
    ApiBalancerForm,
    BalancerForm,
    Forward,
    HealthCheck,
    ListenerForm,
    ServiceKeys,
    TargetGroupForm,
    ways,
)
from migration.settings.model import Configuration, Limits

FIRST = "ingress"
"""The role of the balancer that `migration:ingress` describes."""


def health_check(limits: Limits) -> HealthCheck:
    """How targets are looked at where nothing else is said."""
    seconds = limits.health_interval_seconds
    return HealthCheck(
        interval=seconds,
        # 2 to 120 s, and below the interval (CreateTargetGroup, HealthCheckTimeoutSeconds).
        timeout=max(2, min(10, seconds // 2)),
        healthy_threshold=2,
        unhealthy_threshold=2,
    )


def plain_form(listener_port: int, node_port: int, limits: Limits) -> BalancerForm:
    """One TCP listener on the ingress Service's node port: what is made where `ingress.balancer` isn't said."""
    key = str(node_port)
    group = TargetGroupForm(
        port=node_port,
        health_check=health_check(limits),
        attributes={"deregistration_delay.timeout_seconds": str(limits.deregistration_seconds)},
    )
    return BalancerForm(
        attributes={"load_balancing.cross_zone.enabled": "true"},
        groups={key: group},
        listeners=(ListenerForm(port=listener_port, forward=(Forward(group=key),)),),
    )


def plain_api(limits: Limits) -> ApiBalancerForm:
    """The API's balancer where `api.balancer` isn't said."""
    return ApiBalancerForm(
        attributes={"load_balancing.cross_zone.enabled": "true"},
        target_attributes={"deregistration_delay.timeout_seconds": str(limits.deregistration_seconds)},
        health_check=health_check(limits),
    )


def api_form(c: Configuration) -> ApiBalancerForm:
    """The API's balancer, whole: what isn't said of it is as it was always made."""
    said = c.api.balancer
    if said is None:
        return plain_api(c.limits)
    return said if said.health_check else said.model_copy(update={"health_check": health_check(c.limits)})


def ingress_forms(c: Configuration) -> dict[str, BalancerForm]:
    """Every ingress balancer by its role, the first one first."""
    more = {one.name: one.balancer for one in c.more_ingress}
    first = c.ingress.balancer or plain_form(c.ingress.listener_port, c.ingress.node_port, c.limits)
    return {FIRST: first, **more}


def service_of(c: Configuration, role: str, group: TargetGroupForm) -> ServiceKeys:
    """The Service behind a target group of a balancer."""
    if group.service is not None:
        return group.service
    for one in c.more_ingress:
        if one.name == role:
            return one.service
    said = c.ingress
    return ServiceKeys(
        namespace=said.namespace, service=said.service, external_traffic_policy=said.external_traffic_policy
    )


def part(role: str, form: BalancerForm, key: str) -> str:
    """What a target group is called after its cluster: the balancer's role, and its key unless it is the first."""
    return role if key == form.primary else f"{role}-{key}"


def group_name(c: Configuration, suffix: str, role: str, form: BalancerForm, key: str) -> str:
    """The name of a target group on a side with that suffix."""
    return balancer_name(c.cluster, part(role, form, key), suffix)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A target group of a side: the balancer's role, its key there, its form and the Service behind it."""

    role: str
    key: str
    form: TargetGroupForm
    service: ServiceKeys


def placed(c: Configuration) -> tuple[Placed, ...]:
    """Every target group of the ingress balancers, balancer by balancer, in the order of the configuration."""
    return tuple(
        Placed(role=role, key=key, form=group, service=service_of(c, role, group))
        for role, form in ingress_forms(c).items()
        for key, group in form.groups.items()
    )


def services(c: Configuration) -> tuple[ServiceKeys, ...]:
    """The Services behind the ingress balancers, each once, that of `migration:ingress` first."""
    said = c.ingress
    first = ServiceKeys(
        namespace=said.namespace, service=said.service, external_traffic_policy=said.external_traffic_policy
    )
    found = {(one.namespace, one.service): one for one in (first, *(each.service for each in placed(c)))}
    return tuple(found.values())


def carried_services(c: Configuration) -> dict[str, ServiceKeys]:
    """The Services of type LoadBalancer whose balancers are carried, by those balancers' roles."""
    if c.traffic.load_balancer_services != "carried":
        return {}
    forms = ingress_forms(c)
    known = (role for role in c.traffic.service_balancers if role in forms)
    return {role: service_of(c, role, forms[role].groups[forms[role].primary]) for role in known}


def serves_pool(group: TargetGroupForm, pool: str) -> bool:
    """Whether a pool's nodes are targets of a group."""
    return not group.pools or pool in group.pools


def node_ports(c: Configuration) -> tuple[tuple[int, str], ...]:
    """Ports of nodes that clients reach through the ingress balancers, with their protocol; the Service's own first."""
    first = (c.ingress.node_port, "tcp")
    found = {first: None} | {pair: None for form in ingress_forms(c).values() for pair in form.node_ports}
    return tuple(found)


def listener_ports(c: Configuration) -> tuple[tuple[int, str], ...]:
    """Ports at which balancers are asked, with their protocol, each once: the API's first."""
    api = ((port, "tcp") for port in (c.api.port, *api_form(c).ports))
    listeners = (one for form in ingress_forms(c).values() for one in form.listeners)
    doors = (*api, *((one.port, way) for one in listeners for way in ways(one.protocol)))
    return tuple(dict.fromkeys(doors))
