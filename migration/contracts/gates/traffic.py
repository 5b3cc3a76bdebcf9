"""The question before anything begins: what clients come by is carried whole."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef
from migration.contracts.groups import worker_groups
from migration.settings import Settings
from migration.settings.balancers import ApiBalancerForm, BalancerForm
from migration.settings.forms import api_form, ingress_forms
from migration.settings.model import LoadBalancerServices
from migration.stages.table import Stage


class TrafficCarried(Contract):
    """Is everything in front of the old side carried: balancers, listeners, names, Services of type LoadBalancer?

    `ingress` and `api`: what is made; `described`: roles whose balancer is written out. `retired`: ARNs of balancers
    that the last stage deletes. `records`: names that move, by zone; `aliases`: those of them that are aliases, and
    whether each has its balancer's health evaluated.
    """

    check: Literal["traffic-carried"] = "traffic-carried"
    old: SideRef
    worker_groups: tuple[str, ...]
    ingress: dict[str, BalancerForm]
    api: ApiBalancerForm
    described: tuple[str, ...]
    retired: tuple[str, ...]
    records: dict[str, tuple[str, ...]]
    aliases: dict[str, dict[str, bool]] = Field(default_factory=dict)
    services: LoadBalancerServices

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        described = [one.name for one in c.more_ingress]
        described += ["ingress"] if c.ingress.balancer is not None else []
        described += ["api"] if c.api.balancer is not None else []
        return cls(
            old=SideRef.of(s, c.from_),
            worker_groups=worker_groups(s, c.from_),
            ingress=ingress_forms(c),
            api=api_form(c),
            described=tuple(described),
            retired=tuple(item.id for item in c.retire if item.type == "load-balancer"),
            records={zone: tuple(one.name for one in records) for zone, records in c.traffic.zones().items()},
            aliases={
                zone: {one.name: one.evaluate_target_health for one in aliases}
                for zone, records in c.traffic.zones().items()
                if (aliases := [one for one in records if one.is_alias])
            },
            services=c.traffic.load_balancer_services,
        )
