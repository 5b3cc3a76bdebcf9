"""The question about names that a program in the cluster writes."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.gates.base import SideRef, carried_names
from migration.settings import Settings
from migration.settings.model import ExternalDns
from migration.stages.table import Stage


class NamesUnclaimed(Contract):
    """Does external-dns claim any of the names, and is it as the configuration says?

    `records`: the names by zone. `first`: the configuration must say how, and it needn't be so yet. `last`: the old
    side goes next, so that nothing may lead names back to it. `carried`: Services of type LoadBalancer that become
    NodePorts then.
    """

    check: Literal["names-unclaimed"] = "names-unclaimed"
    old: SideRef
    records: dict[str, tuple[str, ...]]
    external_dns: ExternalDns
    first: bool = False
    last: bool
    carried: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        traffic = s.configuration.traffic
        return cls(
            old=SideRef.of(s, s.configuration.from_),
            records={zone: tuple(one.name for one in records) for zone, records in traffic.zones().items()},
            external_dns=traffic.external_dns,
            first=row.number == 0,
            last=row.finished,
            carried=carried_names(s),
        )
