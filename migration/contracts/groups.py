"""Names of the Auto Scaling groups that a side has, taken from the settings."""

from __future__ import annotations

from migration.settings import Settings
from migration.settings.groups import member_group, pool_group
from migration.settings.model import ReferencedSide


def worker_groups(s: Settings, side: str) -> tuple[str, ...]:
    """Names of a side's worker groups, pool by pool."""
    c = s.configuration
    return tuple(pool_group(c.sides[side], pool) for pool in c.pools)


def member_groups(s: Settings, side: str) -> tuple[str, ...]:
    """Names of a side's member groups, member by member."""
    c = s.configuration
    return tuple(member_group(c.sides[side], member) for member in c.members)


def server_groups(s: Settings, side: str) -> tuple[str, ...]:
    """Names of a side's groups of API machines, where they aren't its members'."""
    c = s.configuration
    return tuple(member_group(c.sides[side], one) for member in c.members for one in member.api_servers)


def control_plane_groups(s: Settings, side: str) -> tuple[str, ...]:
    """Names of a side's member groups, then of its groups of API machines."""
    return (*member_groups(s, side), *server_groups(s, side))


def ended_groups(s: Settings) -> tuple[str, ...]:
    """Auto Scaling groups that may be gone: at the stage that ends the old side, those of it that are to go."""
    if not s.stage.finished:
        return ()
    if not isinstance(s.old, ReferencedSide):
        name = s.configuration.from_
        return (*worker_groups(s, name), *control_plane_groups(s, name))
    return tuple(item.id for item in s.configuration.retire if item.type == "autoscaling-group")
