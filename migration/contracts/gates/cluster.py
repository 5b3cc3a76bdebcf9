"""Questions about the cluster itself: its health, and who would write back what is changed."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef, carried_names
from migration.settings import Settings
from migration.settings.forms import services
from migration.stages.table import Stage


class ClusterHealthy(Contract):
    """Are nodes ready, budgets met, and targets healthy behind the old balancers?"""

    check: Literal["cluster-healthy"] = "cluster-healthy"
    old: SideRef

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls(old=SideRef.of(s, s.configuration.from_))


class WritersKnown(Contract):
    """Would anybody write the ingress policy back, and has any Service a balancer of its own?

    `more`: further ingress Services, ``namespace/name``; `carried`: those of type LoadBalancer that are carried.
    """

    check: Literal["writers-known"] = "writers-known"
    old: SideRef
    namespace: str
    service: str
    more: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        more = tuple(f"{one.namespace}/{one.service}" for one in services(c)[1:])
        return cls(
            old=SideRef.of(s, c.from_),
            namespace=c.ingress.namespace,
            service=c.ingress.service,
            more=more,
            carried=carried_names(s),
        )
