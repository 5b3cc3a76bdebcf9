"""The question before the first client is sent over: what do machines of the new VPC reach?"""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.groups import member_groups, worker_groups
from migration.settings import Settings
from migration.settings.model import ManagedSide
from migration.stages.table import Stage


class NewMachinesReach(Contract):
    """Do machines of the new VPC reach registries, AWS's APIs, names and the old nodes, and old ones the new nodes?

    `by`: ``ssm`` tries it by commands on machines, ``skip`` doesn't. `names` are those of private zones, `reach` hosts
    with ports, `connected` and `resolver_rules` what can't be tried without being named there.
    """

    check: Literal["new-machines-reach"] = "new-machines-reach"
    by: Literal["ssm", "skip"]
    zones: tuple[str, ...]
    new_groups: tuple[str, ...]
    old_groups: tuple[str, ...]
    member_groups: tuple[str, ...]
    api: str
    names: tuple[str, ...]
    reach: tuple[str, ...]
    connected: tuple[str, ...]
    resolver_rules: tuple[str, ...]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, made = s.configuration, s.new
        assert isinstance(made, ManagedSide), "the new side is this program's"
        private = c.traffic.private_zones()
        records = (one for zone, found in c.traffic.zones().items() if zone in private for one in found)
        return cls(
            by=c.try_from_machines,
            zones=made.zones,
            new_groups=worker_groups(s, c.to),
            old_groups=worker_groups(s, c.from_),
            member_groups=member_groups(s, c.from_),
            api=c.api.name,
            names=tuple(one.name for one in records if one.name != c.api.name),
            reach=made.reach,
            connected=tuple(one.name for one in c.connected_networks),
            resolver_rules=made.resolver_rules,
        )
