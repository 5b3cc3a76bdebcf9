"""Questions whether a balancer is quiet, so that nobody is cut off when it goes."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract, Manner
from migration.contracts.gates.base import SideRef
from migration.settings import Settings
from migration.settings.model import AcceptedFlows
from migration.stages.table import Stage


class Quiet(Contract):
    """Has a side's balancer had no new flow for long enough, and has it none open? Times in seconds.

    `accepted` says how many of either are known and may stay, and why.
    """

    side: SideRef
    ttl: int
    metric_period_seconds: Manner[int]
    quiet_periods: Manner[int]
    accepted: AcceptedFlows

    @classmethod
    def about(cls, s: Settings, side: str, accepted: AcceptedFlows) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(
            side=SideRef.of(s, side),
            ttl=c.traffic.kept(c.limits.alias_ttl_seconds),
            metric_period_seconds=c.limits.metric_period_seconds,
            quiet_periods=c.limits.quiet_periods,
            accepted=accepted,
        )


class IngressQuiet(Quiet):
    """Is the old ingress balancer quiet?"""

    check: Literal["ingress-quiet"] = "ingress-quiet"

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls.about(s, s.configuration.from_, s.configuration.traffic.accepted_flows.ingress)


class ApiQuiet(Quiet):
    """Is the old API balancer quiet?"""

    check: Literal["api-quiet"] = "api-quiet"

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls.about(s, s.configuration.from_, s.configuration.traffic.accepted_flows.api)


class NewIngressUnused(Quiet):
    """Is the new side's ingress balancer quiet, or without any target? Its targets go with the new workers."""

    check: Literal["new-ingress-unused"] = "new-ingress-unused"

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls.about(s, s.configuration.to, s.configuration.traffic.accepted_flows.ingress)


class NewApiUnused(Quiet):
    """Is the new side's API balancer quiet, or not there? It goes where the stage has no balancers on that side."""

    check: Literal["new-api-unused"] = "new-api-unused"

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls.about(s, s.configuration.to, s.configuration.traffic.accepted_flows.api)
