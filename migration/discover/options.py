"""What an operator says beyond the cluster and its VPC, and what is assumed where they say nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from migration.settings.model import AcceptedFlows, LayoutName, Strategy


@dataclass(frozen=True, kw_only=True)
class DiscoveryOptions:
    """None or empty means: find out, or take the default. `ingress_service` is ``namespace/name``.

    `accepted_flows`: by ``ingress`` or ``api``, flows that are known to stay on the old balancer. `ask_machines`:
    whether members' machines are asked what runs on them, by a command that only reads. `log` is told how one
    knows.
    """

    cluster: str
    vpc: str
    from_name: str | None = None
    to_name: str = "main"
    to_cidr: str | None = None
    pod_cidr: str | None = None
    service_cidr: str | None = None
    operator_networks: tuple[str, ...] = ()
    ingress_balancer: str | None = None
    ingress_service: str | None = None
    zone: str | None = None
    etcd_certificates: str | None = None
    kubeconfig: str | None = None
    references: str | None = None
    nat: str | None = None
    ttl: int | None = None
    etcd_strategy: Strategy = "learner"
    accepted_flows: Mapping[str, AcceptedFlows] = field(default_factory=dict[str, AcceptedFlows])
    limits: Mapping[str, int] = field(default_factory=dict[str, int])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    layout: LayoutName | None = None
    user_data_file: str | None = None
    ask_machines: bool = False
    log: Callable[[str], None] = lambda _: None
