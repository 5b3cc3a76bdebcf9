"""What a side's Auto Scaling groups are called. Pure."""

from __future__ import annotations

from migration.names import physical_name
from migration.settings.model import ApiServer, ManagedSide, Member, Pool, ReferencedSide


def pool_group(side: ReferencedSide | ManagedSide, pool: Pool) -> str:
    """The name of a pool's group on a side: what the side says of it, or the old name with the side's suffix."""
    said = side.pool(pool.name).group if isinstance(side, ManagedSide) else None
    return said or physical_name(pool.group, "", side.suffix)


def member_group(side: ReferencedSide | ManagedSide, member: Member | ApiServer) -> str:
    """The name of a member's or an API machine's group on a side: the old name with the side's suffix."""
    return physical_name(member.group, "", side.suffix)
