"""The question about what the old VPC's network has, and the new one must have too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef, machine_subnets
from migration.settings import Settings
from migration.settings.forms import listener_ports, node_ports
from migration.stages.table import Stage

# Where API servers reach kubelets (Kubernetes documentation, Ports and Protocols).
KUBELET = 10250


class NetworksCarried(Contract):
    """Is everything of the old VPC's network, which the new one must have too, named in the configuration?

    `subnets` are those that the cluster's machines are in; `ipv6` whether addresses of that kind may be left behind.
    Network ACLs must let packets of `new_cidr` through to `ports` and `udp_ports`, at which the sides' machines reach
    each other, and `listeners` and `udp_listeners`, at which balancers are asked.
    """

    check: Literal["networks-carried"] = "networks-carried"
    old: SideRef
    new_cidr: str
    ports: tuple[int, ...]
    udp_ports: tuple[int, ...] = ()
    listeners: tuple[int, ...] = ()
    udp_listeners: tuple[int, ...] = ()
    subnets: tuple[str, ...]
    ipv6: Literal["refuse", "leave"]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        own = (c.api.on_members, c.etcd.client_port, c.etcd.peer_port, KUBELET)
        ports, listeners = (*((port, "tcp") for port in own), *node_ports(c)), listener_ports(c)
        return cls(
            old=SideRef.of(s, c.from_),
            new_cidr=s.new.cidr,
            ports=_of("tcp", ports),
            udp_ports=_of("udp", ports),
            listeners=_of("tcp", listeners),
            udp_listeners=_of("udp", listeners),
            subnets=machine_subnets(s),
            ipv6=c.ipv6,
        )


def _of(protocol: str, doors: Iterable[tuple[int, str]]) -> tuple[int, ...]:
    return tuple(sorted({port for port, way in doors if way == protocol}))
