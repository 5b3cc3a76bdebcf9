"""The question about copies: can all of the old groups be taken over?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field

from migration.contracts.base import Contract
from migration.settings import Settings
from migration.settings.groups import member_group, pool_group
from migration.settings.model import Model, ReferencedSide, ScalingPolicy, ScheduledAction
from migration.stages.table import Stage


class PoolCopied(Contract):
    """A pool's old group, and what the configuration says that its copy is scaled by: JSON by its place and name."""

    pool: str
    group: str
    scaled: dict[str, str] = Field(default_factory=dict)


def scaled_texts(policies: Sequence[ScalingPolicy], schedules: Sequence[ScheduledAction]) -> dict[str, str]:
    """What a group is scaled by, each part as JSON, by the name that it has in `migration:copies.without`."""
    named: list[tuple[str, Model]] = [(f"scalingPolicies.{one.name}", one) for one in policies]
    named += [(f"scheduledActions.{one.name}", one) for one in schedules]
    return {path: one.model_dump_json(by_alias=True, exclude_defaults=True) for path, one in named}


def _control_plane(s: Settings, side: str) -> tuple[str, ...]:
    c = s.configuration
    return tuple(member_group(c.sides[side], one) for member in c.members for one in (member, *member.api_servers))


class MachinesCopied(Contract):
    """Can the old groups be copied: templates, policies, attributes, hooks, what they are scaled by?

    `without`: what copies may lack. `security_groups`: those that each group's machines may be in; empty where the old
    side is this program's own.
    """

    check: Literal["machines-copied"] = "machines-copied"
    pools: tuple[PoolCopied, ...]
    control_plane: tuple[str, ...]
    security_groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    without: tuple[str, ...] = ()

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c, old = s.configuration, s.old
        known: dict[str, tuple[str, ...]] = {}
        if isinstance(old, ReferencedSide):
            own = old.security_groups
            for pool in c.pools:
                more = (one.id for one in c.security_groups if pool.name in one.pools)
                known[pool_group(old, pool)] = (own.nodes, *more)
            masters = (own.control_plane, *((own.etcd,) if own.etcd is not None else ()))
            more = tuple(one.id for one in c.security_groups if one.control_plane)
            known |= dict.fromkeys(_control_plane(s, c.from_), (*masters, *more))
        return cls(
            pools=tuple(
                PoolCopied(
                    pool=pool.name,
                    group=pool_group(old, pool),
                    scaled=scaled_texts(pool.scaling, pool.schedules),
                )
                for pool in c.pools
            ),
            control_plane=_control_plane(s, c.from_),
            security_groups=known,
            without=c.copies.without,
        )
