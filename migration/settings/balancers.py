"""What a load balancer is, as its copy shall be: listeners, certificates, rules, target groups, attributes.

AWS's own words: attributes are called and written as its API has them; what isn't said is AWS's default. Which
attributes are carried, and what they are called elsewhere, stands in `migration.balancing.attributes`.
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from migration.settings.base import Cidr, Model, number_as_text

Protocol = Literal["TCP", "UDP", "TCP_UDP", "TLS", "HTTP", "HTTPS"]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
Text = Annotated[str, BeforeValidator(number_as_text)]


class HealthCheck(Model):
    """How targets are looked at. Times in seconds. `port`: a number, or ``traffic-port``."""

    protocol: Literal["TCP", "HTTP", "HTTPS"] = "TCP"
    port: Text = "traffic-port"
    path: str | None = None
    matcher: Text | None = None
    interval: Annotated[int, Field(ge=5, le=300)] = 30
    timeout: Annotated[int, Field(ge=2, le=120)] | None = None
    healthy_threshold: Annotated[int, Field(ge=2, le=10)] = 5
    unhealthy_threshold: Annotated[int, Field(ge=2, le=10)] = 2


class ServiceKeys(Model):
    """The Service behind a target group, and its traffic policy as it was before the migration."""

    namespace: str
    service: str
    external_traffic_policy: Literal["Local", "Cluster"] = "Local"


class TargetGroupForm(Model):
    """A target group of instances: `port` is the node port.

    `service`: whose that is, where it isn't the one of `migration:ingress`. `pools`: those whose nodes are targets;
    none said: all.
    """

    port: PortNumber
    protocol: Protocol = "TCP"
    protocol_version: Literal["HTTP1", "HTTP2", "GRPC"] | None = None
    health_check: HealthCheck = HealthCheck()
    attributes: dict[str, Text] = Field(default_factory=dict)
    service: ServiceKeys | None = None
    pools: tuple[str, ...] = ()


class Forward(Model):
    """A target group by its key, and its share where several are named."""

    group: str
    weight: Annotated[int, Field(ge=0, le=999)] = 1


class Condition(Model):
    """One condition of a rule: `field` as AWS calls it; `name` is a header's; a query string is ``key=value``."""

    field: Literal["host-header", "path-pattern", "http-header", "http-request-method", "query-string", "source-ip"]
    name: str | None = None
    values: tuple[str, ...]


class Rule(Model):
    """One rule of an application balancer's listener: where requests go that meet all conditions."""

    priority: Annotated[int, Field(ge=1, le=50000)]
    conditions: tuple[Condition, ...]
    forward: tuple[Forward, ...]
    sticky_seconds: Annotated[int, Field(ge=1, le=604800)] | None = None


class ListenerForm(Model):
    """One listener. `certificates` are ARNs, the default one first; `policy` is TLS's, `alpn` the ALPN policy.

    `sticky_seconds`: how long a client stays with one of several groups (application balancers).
    """

    port: PortNumber
    protocol: Protocol = "TCP"
    forward: tuple[Forward, ...]
    sticky_seconds: Annotated[int, Field(ge=1, le=604800)] | None = None
    certificates: tuple[str, ...] = ()
    policy: str | None = None
    alpn: str | None = None
    attributes: dict[str, Text] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()


class BalancerForm(Model):
    """A load balancer as its copy is made. The first listener's first group is the one that keeps the balancer's name.

    `clients`: ranges that its own security group lets in; none said: none of its own for a network balancer, and for
    an application balancer whoever may reach the side.
    """

    type: Literal["network", "application"] = "network"
    attributes: dict[str, Text] = Field(default_factory=dict)
    clients: tuple[Cidr, ...] = ()
    groups: dict[str, TargetGroupForm]
    listeners: tuple[ListenerForm, ...]

    @property
    def primary(self) -> str:
        """The key of the group that keeps the balancer's name."""
        return self.listeners[0].forward[0].group

    @property
    def node_ports(self) -> tuple[tuple[int, str], ...]:
        """Ports of nodes that it sends to, with ``tcp`` or ``udp``, each once, in order."""
        found = {
            (port, way): None
            for group in self.groups.values()
            for port, way in (*((group.port, way) for way in ways(group.protocol)), *_checked(group.health_check))
        }
        return tuple(found)


class IngressForm(Model):
    """One more ingress balancer, by the name that its records serve and its objects get. `service` is behind it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=16)]
    service: ServiceKeys
    balancer: BalancerForm


class ApiBalancerForm(Model):
    """What the API's balancer has beyond one TCP listener on `api.port`: more ports that lead to the same servers,
    attributes of the balancer, of its target groups and of its listeners, and how servers are looked at.
    """

    ports: tuple[PortNumber, ...] = ()
    attributes: dict[str, Text] = Field(default_factory=dict)
    target_attributes: dict[str, Text] = Field(default_factory=dict)
    listener_attributes: dict[str, Text] = Field(default_factory=dict)
    health_check: HealthCheck | None = None


def ways(protocol: str) -> tuple[str, ...]:
    """Transport protocols that a balancer's protocol needs let in."""
    return {"UDP": ("udp",), "TCP_UDP": ("tcp", "udp")}.get(protocol, ("tcp",))


def _checked(check: HealthCheck) -> tuple[tuple[int, str], ...]:
    """A health check's own port."""
    return ((int(check.port), "tcp"),) if check.port.isdecimal() else ()
