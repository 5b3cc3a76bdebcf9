"""Questions about the control plane's own state: versions, room in its database, certificates."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from migration.contracts.base import Manner
from migration.contracts.gates.members import OfMembers
from migration.names import api_names, member_name
from migration.settings import Settings
from migration.settings.groups import member_group
from migration.stages.table import Stage


def _server_names(s: Settings, side: str) -> dict[str, str]:
    """Names of a side's API machines by group, where they aren't its members'."""
    c, made = s.configuration, s.configuration.sides[side]
    every = (one for member in c.members for one in member.api_servers)
    return {member_group(made, one): member_name(one.name, made.suffix) for one in every}


class VersionsFit(OfMembers):
    """Do all voters run one safe version of etcd, and all API servers one minor version of Kubernetes that fits it?

    `old_servers` and `new_servers`: where the API servers are, if not on the voters' machines: names by group.
    """

    check: Literal["versions-fit"] = "versions-fit"
    old_servers: dict[str, str] = Field(default_factory=dict)
    new_servers: dict[str, str] = Field(default_factory=dict)
    api_port: int

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls.about(
            s,
            old_servers=_server_names(s, c.from_),
            new_servers=_server_names(s, c.to),
            api_port=c.api.on_members,
        )


class DatabaseFits(OfMembers):
    """Is etcd's database far enough from its quota on every voter?"""

    check: Literal["database-fits"] = "database-fits"

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        return cls.about(s)


class CertificatesLast(OfMembers):
    """Do the control plane's certificates and CAs outlive the migration, and hold the names they are asked by?

    `api_names` are what clients reach the API by: its name, and its Service's first address. `days` is how long.
    `old_servers` and `new_servers`: where the API servers are, if not on the voters' machines: names by group.
    """

    check: Literal["certificates-last"] = "certificates-last"
    old_servers: dict[str, str] = Field(default_factory=dict)
    new_servers: dict[str, str] = Field(default_factory=dict)
    peer_port: int
    api_port: int
    api_names: tuple[str, ...]
    days: Manner[int]

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        name, *_, inside = api_names(c.api.name, c.service_cidr)
        return cls.about(
            s,
            old_servers=_server_names(s, c.from_),
            new_servers=_server_names(s, c.to),
            peer_port=c.etcd.peer_port,
            api_port=c.api.on_members,
            api_names=(name, inside),
            days=c.limits.certificate_days,
        )
