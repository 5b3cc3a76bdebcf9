"""Members of the control plane: moved one by one."""

from __future__ import annotations

from typing import ClassVar, Literal

from migration.contracts.base import Contract, Inputs, Manner, Result, Wanted
from migration.names import member_name, physical_name
from migration.settings import Settings
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


class MemberPair(Contract):
    """One configured member: what it is before, and what after its swap."""

    old: OldMember
    new: NewMember


def member_pairs(settings: Settings) -> tuple[MemberPair, ...]:
    """All configured members, old and new."""
    suffix = settings.new.suffix
    return tuple(
        MemberPair(
            old=OldMember(name=member.name, group=member.group, address=member.address),
            new=NewMember(name=member_name(member.name, suffix), group=physical_name(member.group, "", suffix)),
        )
        for member in settings.configuration.members
    )


class EtcdAccess(Contract):
    """How etcd is reached: directly or through the members' machines, with which certificate, on which port."""

    access: Manner[Access]
    certificates: Manner[str]
    client_port: Wanted[int]

    @classmethod
    def of(cls, etcd: Etcd) -> EtcdAccess:
        """What the configuration says."""
        return cls(
            access=etcd.access,
            certificates=etcd.certificates,
            client_port=etcd.client_port,
        )


class MemberSwapInputs(Inputs):
    """Which side a member shall be on, and what its move needs.

    `members` are all of them, this one too: etcd's list is matched as a whole. `ticket_parameter` is the SSM parameter
    its new machine waits for; `snapshots` a folder on the operator's machine; target groups are ARNs.
    """

    shown: ClassVar[str] = "member"

    wanted: Wanted[Literal["old", "new"]]
    old: Wanted[OldMember]
    new: Wanted[NewMember]
    members: Manner[tuple[MemberPair, ...]]
    ticket_parameter: Wanted[str]
    etcd: Wanted[EtcdAccess]
    peer_port: Wanted[int]
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


class SwapNote(Contract):
    """What is kept on an old member's group while it is swapped, as a tag: it outlives a killed run.

    `member` is the old member's id in etcd's list, `suspended` what of its group's processes was suspended before.
    """

    member: str
    suspended: tuple[str, ...]


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
    old_member_id: str | None = None
    members: tuple[str, ...] = ()
    leader_changes: int = 0
    snapshot: SnapshotTaken | None = None


class RolledMember(Contract):
    """A member with the launch template (id) and version that its machine shall be of."""

    name: str
    group: str
    template: str
    version: str


class MemberRollInputs(Inputs):
    """Members of a side whose machines shall be of their group's version, replaced one at a time; etcd's list stays.

    `client_port` is etcd's, asked through Systems Manager: it isn't open to operators any more.
    `target_groups` are ARNs: of the API's instances, which the groups feed, and by address. `allowed`: whether this is
    the time; otherwise it only looks and says what it would replace.
    """

    shown: ClassVar[str] = "members"

    side: Manner[str]
    members: Wanted[tuple[RolledMember, ...]]
    client_port: Manner[int]
    api_port: Manner[int]
    instances_group: Manner[str]
    addresses_group: Manner[str]
    allowed: Manner[bool] = True

    @property
    def label(self) -> str:
        """The side."""
        return self.side

    def say(self) -> str:
        """What all members' machines shall be of."""
        names = ", ".join(one.name if one.version == "1" else f"{one.name} {one.version}" for one in self.members)
        return f"members of {self.side}, each of its template's version: {names}"


class MemberRollNote(Contract):
    """What is kept on a member's group while its machine is replaced, as a tag: the ids of both.

    `added`: whether the group adds what it launches to its balancer by itself, as before.
    """

    member: str
    machine: str
    added: bool = True


class MemberRollResult(Result):
    """Members whose machines the last run replaced, and machines that are still of another version."""

    rolled: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    snapshot: str = ""
    seconds: float = 0.0
