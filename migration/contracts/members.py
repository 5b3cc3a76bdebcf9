"""Members of the control plane: moved one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from migration.contracts.base import Contract, Inputs, Manner, Result, Undoing, Wanted, common
from migration.names import api_names, member_name
from migration.settings import Settings
from migration.settings.groups import member_group
from migration.settings.model import (
    Access,
    ApiServer,
    Configuration,
    ControlPlane,
    Drilling,
    LayoutName,
    ManagedSide,
    Member,
    MemberFiles,
    Pki,
    ReferencedSide,
    Strategy,
    Units,
)


class ApiMachine(Contract):
    """A machine that serves the API and runs no etcd, in a group of its own."""

    name: str
    group: str


class OldMember(Contract):
    """The member that goes. Its address is its machine's, observed (`migration.etcd.where`).

    `address` is what the configuration says of it, if anything: a hint for when no machine of its group runs.
    """

    name: str
    group: str
    address: str | None = None


class NewMember(Contract):
    """The member that comes. Its address is its machine's, observed."""

    name: str
    group: str


class MemberPair(Contract):
    """One configured member: what it is before, and what after its swap."""

    old: OldMember
    new: NewMember


def member_pairs(settings: Settings) -> tuple[MemberPair, ...]:
    """All configured members, old and new. Addresses in the configuration are those of a side that was found."""
    before, after = settings.old.suffix, settings.new.suffix
    found = isinstance(settings.old, ReferencedSide)
    return tuple(
        MemberPair(
            old=OldMember(
                name=member_name(member.name, before),
                group=member_group(settings.old, member),
                address=member.address if found else None,
            ),
            new=NewMember(name=member_name(member.name, after), group=member_group(settings.new, member)),
        )
        for member in settings.configuration.members
    )


class ServerPair(Contract):
    """An API machine that is apart from etcd, before and after; `member` is the old name of the one it moves with."""

    member: str
    old: ApiMachine
    new: ApiMachine


def server_pairs(settings: Settings) -> tuple[ServerPair, ...]:
    """All API machines that are apart, in their members' order; none where members serve the API."""

    def on(side: ReferencedSide | ManagedSide, one: ApiServer) -> ApiMachine:
        return ApiMachine(name=member_name(one.name, side.suffix), group=member_group(side, one))

    old, new = settings.old, settings.new
    return tuple(
        ServerPair(member=member_name(member.name, old.suffix), old=on(old, one), new=on(new, one))
        for member in settings.configuration.members
        for one in member.api_servers
    )


def api_members(settings: Settings) -> tuple[OldMember, ...]:
    """The old side's machines that serve the API: the members, or those that go with them."""
    apart = tuple(OldMember(name=one.old.name, group=one.old.group) for one in server_pairs(settings))
    return apart or tuple(pair.old for pair in member_pairs(settings))


class ReturnPlace(Contract):
    """What an old member that comes back needs to boot on a volume of its own, in its own group.

    `volume_size` is in GiB; `api_names` are what its API server's certificate is for where its own user data doesn't
    say; `tags` are the volume's, and `volume_tags` those by which an image finds it (``{member}``: the member's name).
    """

    zone: str
    volume_size: int
    volume_type: str
    api_names: tuple[str, ...]
    tags: dict[str, str]
    volume_tags: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, member: Member, tags: dict[str, str]) -> ReturnPlace:
        """What the configuration says of the member."""
        c = settings.configuration
        return cls(
            zone=member.zone,
            volume_size=member.volume_size,
            volume_type=member.volume_type,
            api_names=api_names(c.api.name, c.service_cidr),
            tags=tags,
            volume_tags=member.volume_tags,
        )


def image_tags(volume_tags: Mapping[str, str], member: str) -> dict[str, str]:
    """Tags by which a member's image finds its volume; empty where it is found by this program's alone."""
    return {key: value.replace("{member}", member) for key, value in volume_tags.items()}


class OnMachine(Contract):
    """With what etcd is asked on a member's machine: paths there, of its CA and of a client's certificate and key."""

    ca: str
    certificate: str
    key: str

    @classmethod
    def of(cls, files: MemberFiles) -> OnMachine:
        """What the configuration says."""
        return cls(ca=files.etcd_ca, certificate=files.etcd_certificate, key=files.etcd_key)


USUAL_FILES = MemberFiles()
"""For inputs that an earlier version wrote into a stack's state: it knew no others."""


class EtcdAccess(Contract):
    """How etcd is reached: directly or through the members' machines, with which certificate, on which port."""

    access: Manner[Access]
    certificates: Manner[str]
    client_port: Wanted[int]
    on_machine: Manner[OnMachine] = OnMachine.of(USUAL_FILES)

    @classmethod
    def of(cls, c: Configuration) -> EtcdAccess:
        """What the configuration says."""
        return cls(
            access=c.etcd.access,
            certificates=c.etcd.certificates,
            client_port=c.etcd.client_port,
            on_machine=OnMachine.of(c.control_plane.files),
        )


class Services(Contract):
    """The control plane's form as far as its programs are started and stopped: the adapter, and its units' names."""

    layout: LayoutName = "cloud-config"
    units: Units = Units()

    @classmethod
    def of(cls, form: ControlPlane) -> Services:
        """What the configuration says."""
        return cls(layout=form.layout, units=form.units)


class MemberForm(Services):
    """The control plane's form, as far as members are made: with the operator's own file, and where keys are kept."""

    user_data_file: str | None = None
    pki: Pki = Pki()

    @classmethod
    def of(cls, form: ControlPlane) -> MemberForm:
        """What the configuration says."""
        return cls(layout=form.layout, units=form.units, user_data_file=form.user_data_file, pki=form.pki)


class MemberSwapInputs(Undoing):
    """Which side a member shall be on, and what its move needs.

    `members` are all of them, this one too: etcd's list is matched as a whole. `ticket_parameter` is the SSM parameter
    its new machine waits for; `snapshots` a folder on the operator's machine; target groups are ARNs. `place` is what
    its way back needs, and missing only in states of earlier versions, which knew none; they knew one `form` and one
    `strategy`, too. `servers` are all API machines, where those aren't the members'. `restore_drill` is when the
    snapshot is restored to see that it can be, with the programs in the folder `tools`, or else on PATH.
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
    place: Manner[ReturnPlace | None] = None
    form: Manner[MemberForm] = MemberForm()
    strategy: Wanted[Strategy] = "learner"
    servers: Manner[tuple[ServerPair, ...]] = ()
    restore_drill: Manner[Drilling] = "auto"
    tools: Manner[str | None] = None

    @property
    def takes_back(self) -> bool:
        """The member is on the old side."""
        return self.wanted == "old"

    @property
    def label(self) -> str:
        """The old member's name."""
        return self.old.name

    def say(self) -> str:
        """Which member etcd shall have."""
        if self.wanted == "old":
            return f"{self.old.name}, on the old side"
        comes = f"{self.new.name} in place of {self.old.name}"
        with_it = [one.new.name for one in self.servers if one.member == self.old.name]
        if with_it:
            comes += f", {', '.join(with_it)} with it"
        if self.strategy == "learner":
            return comes
        total = len(self.members)
        return f"{comes}, with its volume: {total - 1} of {total} vote meanwhile"


class SwapNote(Contract):
    """What is kept on the old side's group while a member is swapped, either way, as a tag: it outlives a killed run.

    `member` is the id, in etcd's list, of the one that goes, `suspended` what of its group's processes was suspended
    before. `address` is where its machine was: it is asked for after that is gone. Earlier versions kept none, and knew
    one `strategy`. `volume` is the id of the volume that moves along, where it does, `device` the name that it was
    attached by.
    """

    member: str
    suspended: tuple[str, ...]
    address: str | None = None
    strategy: Strategy = "learner"
    volume: str | None = None
    device: str | None = None


class ReturnNote(Contract):
    """What is kept on an old member's group, as a tag, from when it begins to come back until it has gone again.

    `version` is the launch template version that the group had. `generation` marks the version and the volume that
    were made for this return. `over` is the id of the membership that this one follows, where a swap has kept it.
    """

    generation: str
    version: str
    over: str | None


class MemberGuardInputs(Inputs):
    """Groups of new members that may not be deleted while one of them votes. `old_groups` are where etcd is asked."""

    shown: ClassVar[str] = "guarded"

    groups: Wanted[tuple[str, ...]]
    old_groups: Manner[tuple[str, ...]]
    etcd: Wanted[EtcdAccess]

    def say(self) -> str:
        """What is guarded."""
        return f"{len(self.groups)} groups of new members: none is deleted while its member votes"


class MemberGuardResult(Result):
    """`groups`: the groups that are guarded from now on."""

    groups: tuple[str, ...]


class SnapshotTaken(Contract):
    """The snapshot before a swap: where, how large (bytes), its digest, and etcd's raft index at that time."""

    path: str
    bytes: int
    sha256: str
    raft_index: int


class RestoreDrill(Contract):
    """Whether the snapshot before a swap was restored on the operator's machine, and read; `detail` says why not.

    `sha256` is the snapshot's, `revision` what it is of, `key` what was read.
    """

    drilled: bool
    detail: str
    sha256: str = ""
    revision: int | None = None
    key: str = ""


class DrillNote(Contract):
    """What a drill that was passed leaves beside the snapshots: the next swaps of the same members need none.

    `members` are the names of the pairs, `version` is etcd's, `at` the time, in seconds since 1970. `known` is the
    digest of what the cluster held under the drill's key: another cluster of the same name holds something else there.
    """

    members: tuple[str, ...]
    version: str
    at: float
    known: str
    drill: RestoreDrill


class StepTook(Contract):
    """One step of a swap: when it began, in seconds since 1970, and how long it took, in seconds."""

    name: str
    began: float
    seconds: float


class MemberSwapResult(Result):
    """Where the member is, and what its swap did and saw; a swap that went on keeps what its first run saw.

    `restore_drill` is missing in states of earlier versions, which held none, and where no snapshot was taken. `steps`
    are those of the run that brought the member where it is; earlier versions kept none.
    """

    state: Literal["old", "new"]
    name: str | None = None
    member_id: str | None = None
    old_member_id: str | None = None
    members: tuple[str, ...] = ()
    leader_changes: int = 0
    snapshot: SnapshotTaken | None = None
    restore_drill: RestoreDrill | None = None
    steps: tuple[StepTook, ...] = ()


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
    the time; otherwise it only looks and says what it would replace. `snapshots` is a folder on the members' machines.
    `servers` are the API's, where they are on machines of their own.
    """

    shown: ClassVar[str] = "members"

    side: Manner[str]
    members: Wanted[tuple[RolledMember, ...]]
    client_port: Manner[int]
    api_port: Manner[int]
    instances_group: Manner[str]
    addresses_group: Manner[str]
    allowed: Manner[bool] = True
    services: Manner[Services] = Services()
    on_machine: Manner[OnMachine] = OnMachine.of(USUAL_FILES)
    snapshots: Manner[str] = USUAL_FILES.snapshots
    servers: Wanted[tuple[RolledMember, ...]] = ()

    @classmethod
    def of(
        cls,
        settings: Settings,
        side: str,
        *,
        templates: Sequence[tuple[str, str]],
        instances_group: str,
        addresses_group: str,
        allowed: bool = True,
    ) -> MemberRollInputs:
        """What the configuration says of a side of this program's.

        `templates`: each member's, with the version, and after them those of API machines, in the members' order.
        """
        c = settings.configuration
        made = c.sides[side]
        machines = [*c.members, *(one for member in c.members for one in member.api_servers)]
        rolled = tuple(
            RolledMember(
                name=member_name(one.name, made.suffix),
                group=member_group(made, one),
                template=template,
                version=version,
            )
            for one, (template, version) in zip(machines, templates, strict=True)
        )
        return cls(
            # Each member as long as a swap.
            **common(settings, c.limits.swap_seconds * len(c.members)),
            side=side,
            members=rolled[: len(c.members)],
            servers=rolled[len(c.members) :],
            client_port=c.etcd.client_port,
            api_port=c.api.on_members,
            instances_group=instances_group,
            addresses_group=addresses_group,
            allowed=allowed,
            services=Services.of(c.control_plane),
            on_machine=OnMachine.of(c.control_plane.files),
            snapshots=c.control_plane.files.snapshots,
        )

    @property
    def label(self) -> str:
        """The side."""
        return self.side

    def say(self) -> str:
        """What all members' machines shall be of."""
        machines = (*self.members, *self.servers)
        names = ", ".join(one.name if one.version == "1" else f"{one.name} {one.version}" for one in machines)
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
