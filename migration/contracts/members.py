"""Members of the control plane: moved one by one."""

from __future__ import annotations

from typing import ClassVar, Literal

from migration.contracts.base import Contract, Inputs, Manner, Result, Wanted
from migration.settings.model import Access, Etcd


class OldMember(Contract):
    """The member that goes. `address` is its machine's private address, before and during the swap."""

    name: str
    group: str
    address: str


class NewMember(Contract):
    """The member that comes. Its address is its machine's, observed."""

    name: str
    group: str


class EtcdAccess(Contract):
    """How etcd is reached: directly or through the members' machines, with which certificate, on which ports."""

    access: Manner[Access]
    certificates: Manner[str]
    client_port: Wanted[int]
    peer_port: Wanted[int]

    @classmethod
    def of(cls, etcd: Etcd) -> EtcdAccess:
        """What the configuration says."""
        return cls(
            access=etcd.access,
            certificates=etcd.certificates,
            client_port=etcd.client_port,
            peer_port=etcd.peer_port,
        )


class MemberSwapInputs(Inputs):
    """Which side a member shall be on, and what its move needs.

    `ticket_parameter` is the SSM parameter its new machine waits for; `snapshots` a folder on the operator's machine;
    target groups are ARNs.
    """

    shown: ClassVar[str] = "member"

    wanted: Wanted[Literal["old", "new"]]
    old: Wanted[OldMember]
    new: Wanted[NewMember]
    ticket_parameter: Wanted[str]
    etcd: Wanted[EtcdAccess]
    snapshots: Manner[str]
    api_port: Wanted[int]
    old_api_target_groups: Wanted[tuple[str, ...]]
    new_api_target_group: Wanted[str]

    @property
    def label(self) -> str:
        """The old member's name."""
        return self.old.name

    def say(self) -> str:
        """Which member etcd shall have."""
        if self.wanted == "old":
            return f"{self.old.name}, not moved yet"
        return f"{self.new.name} in place of {self.old.name}"


class SnapshotTaken(Contract):
    """The snapshot before a swap: where, how large (bytes), its digest, and etcd's raft index at that time."""

    path: str
    bytes: int
    sha256: str
    raft_index: int


class MemberSwapResult(Result):
    """Where the member is, and what its swap did and saw; a swap that went on keeps what its first run saw."""

    state: Literal["old", "new"]
    name: str | None = None
    member_id: str | None = None
    members: tuple[str, ...] = ()
    leader_changes: int = 0
    snapshot: SnapshotTaken | None = None
