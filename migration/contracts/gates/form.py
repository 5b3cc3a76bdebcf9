"""The question about the control plane's form."""

from __future__ import annotations

from typing import Literal, Self

from migration.contracts.base import Contract
from migration.contracts.groups import member_groups, server_groups
from migration.contracts.members import MemberForm
from migration.settings import Settings
from migration.settings.model import MemberFiles
from migration.stages.table import Stage


class ControlPlaneForm(Contract):
    """Is the control plane's form as configured, and could each new member's user data be made from it?

    `servers` are groups of API machines, where they aren't the members'.
    """

    check: Literal["control-plane-form"] = "control-plane-form"
    groups: tuple[str, ...]
    servers: tuple[str, ...] = ()
    form: MemberForm
    files: MemberFiles
    api_port: int
    client_port: int
    peer_port: int

    @classmethod
    def of(cls, s: Settings, row: Stage) -> Self:
        """From the settings."""
        c = s.configuration
        return cls(
            groups=member_groups(s, c.from_),
            servers=server_groups(s, c.from_),
            form=MemberForm.of(c.control_plane),
            files=c.control_plane.files,
            api_port=c.api.on_members,
            client_port=c.etcd.client_port,
            peer_port=c.etcd.peer_port,
        )
