"""The question about what the old VPC's network has, and the new one must have too."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef, machine_subnets
from migration.settings import Settings
from migration.stages.table import Stage

# Where API servers reach kubelets (Kubernetes documentation, Ports and Protocols).
KUBELET = 10250


class NetworksCarried(Contract):
    """Is everything of the old VPC's network, which the new one must have too, named in the configuration?

    `subnets` are those that the cluster's machines are in; `ipv6` whether addresses of that kind may be left behind.
    `ports`: those at which the sides' machines reach each other, which network ACLs must let through to `new_cidr`.
    """

    check: Literal["networks-carried"] = "networks-carried"
    old: SideRef
    new_cidr: str
    ports: tuple[int, ...]
    subnets: tuple[str, ...]
    ipv6: Literal["refuse", "leave"]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        ports = (c.api.on_members, c.etcd.client_port, c.etcd.peer_port, c.ingress.node_port)
        return cls(
            old=SideRef.of(s, c.from_),
            new_cidr=s.new.cidr,
            ports=tuple(sorted({*ports, KUBELET})),
            subnets=machine_subnets(s),
            ipv6=c.ipv6,
        )
