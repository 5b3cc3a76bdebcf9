"""One member moved with its volume: same id, same data, another machine at another address.

For databases too large to copy, or members that must keep their identity. Meanwhile the others vote, of three two: none
of them may be unwell when it begins, and before each step that takes something away they are asked again. The volume
leaves a machine by the machine's end, so nobody writes to it any more when the next one gets it; and a new machine's
boot starts etcd only by a ticket that names it, its volume and the member, written when all of that is so.

Back it is the same with the sides exchanged. As long as the machine that goes still has the volume, a move that is
turned round is undone there; afterwards it is a move the other way, wherever the volume is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from migration.clients.aws import Instance
from migration.clients.documents import mapping
from migration.clients.etcd import Etcd, Member
from migration.contracts.members import MemberSwapResult, image_tags
from migration.etcd import machine, room, volumes
from migration.etcd.api_handover import ApiHandover
from migration.etcd.match import Addresses, seats, told
from migration.etcd.moving import Moving
from migration.etcd.preflight import endpoint, healthy_voters, preflight, quorum
from migration.etcd.returning import note_of as return_note_of
from migration.etcd.volumes import DataVolume
from migration.etcd.where import address_of, observed
from migration.etcd.without import away, hand_over, others
from migration.runtime.deadline import Permanent, Retryable


@dataclass(kw_only=True)
class VolumeSwap(Moving):
    """One member's move with its volume; `_old_id` is its id before, meanwhile and afterwards."""

    strategy = "volume"

    def give_back(self) -> bool:
        """Undone where the volume hasn't left: the member is started again on the machine that was to go."""
        with self._etcd() as self._cluster:
            self._old_id = self._identified(None)
            self._addresses = Addresses(self._machines())
            here, note = self._old_machine(), self._kept.read(self.aws)
            if here is None or not self._volume().usable_on(here.id):
                return False
            own = self.back or return_note_of(self.aws, self._home) is not None
            if own and self._client_url(here.ip) not in self._own().client_urls:
                # It has the volume, but no ticket was ever taken there: it is started by one or not at all.
                return False
            self._end_ticket()
            if note is not None:
                self._restore(here)
            if self.back:
                machine.scale_to_zero(self.aws, self._home, self.deadline, self.alive)
            if note is not None:
                machine.give_back_replacement(self.aws, self.old.group, note, self.alive, self._kept)
                self.log(f"{self.old.group}: what was suspended there runs again")
            if self.back:
                self._forget_return()
            if self._api_set is not None:
                self._api_set.leave()
        return True

    def _restore(self, here: Instance) -> None:
        """etcd and the API's servers run again where they were stopped, and clients are sent there."""
        if not self._answers(here.ip):
            machine.shell(self.aws, here.id, self._commands.start_etcd, self.deadline, self.alive)
        self._until_true(lambda: self._answers(here.ip), f"{self.old.name}'s etcd to be back on {here.ip}")
        self._until(lambda: self._well(), "every voter to be healthy")
        if self._api_set is not None:
            self._api_set.restore()
            # Others may have been told that it is where it was to go.
            urls, there = self._until(lambda: self._staying(here.ip), "where every member is")
            self._api_set.tell(urls, there, of=list(urls))
            return
        api: ApiHandover = replace(self._api(), new=self.old.name)
        if not api.ready(here.ip):
            # A machine of this program's starts its servers itself, at every boot; others have them enabled.
            own = self.back or return_note_of(self.aws, self._home) is not None
            self._start_servers(here.id, boots_them=own)
        api.serve(here.ip, None if self.back else here.id)

    # Observation

    def _etcd(self, *more: str) -> Etcd:
        """The others first: the one that moves is silent for minutes."""
        machines = self._machines()
        found: list[str] = []
        for pair in self.members:
            if pair.old.group != self._home:
                here = observed(pair.old.group, machines) or observed(pair.new.group, machines)
                hint = address_of(pair.old, machines)
                found += here or ([hint] if hint else [])
        own = [*([address] if (address := self._old_address()) else []), *more]
        return self.etcd([self._client_url(address) for address in (*found, *own)])

    def _identified(self, previous: MemberSwapResult | None) -> str | None:
        """Its id, which a move never changes: as any move of it has noted, or else by where it is listed."""
        members = self._members()
        listed = {member.id for member in members}
        for note in (self._kept.read(self.aws), self._kept_of_other_way.read(self.aws)):
            if note is None:
                continue
            if note.member not in listed:
                raise Permanent(self._lost(note.member, members))
            return note.member
        returned = return_note_of(self.aws, self._home)
        for known in (previous.old_member_id if previous else None, returned.over if returned else None):
            if known in listed:
                return known
        [seat] = [one for one in seats(self.members, members, self._machines()) if one.pair.old.group == self._home]
        entry = seat.new or seat.old
        return None if entry is None else entry.id

    def _lost(self, member: str | None, members: Iterable[Member]) -> str:
        return (
            f"{self.old.name} ({member or 'id unknown'}) isn't in etcd's list any more: {told(members)}. Somebody "
            f"removed it; look before going on"
        )

    def _own(self) -> Member:
        members = self._cluster.members()
        own = next((member for member in members if member.id == self._old_id), None)
        if own is None:
            raise Permanent(self._lost(self._old_id, members))
        return own

    def _others(self) -> list[Member]:
        return others(self._cluster, self._old_id)

    def _well(self) -> list[Member]:
        """All voters, healthy; without another one that is on its way with its volume at this moment."""
        members = self._cluster.members()
        if learners := [member for member in members if member.learner]:
            raise Retryable(f"{told(learners)} is a learner")
        silent = {one.id for one in away(self.aws, self.members, self._cluster, members)} - {self._old_id}
        return healthy_voters(self._cluster, [member for member in members if member.id not in silent])

    def _answers(self, address: str) -> bool:
        """Whether this member's etcd answers there."""
        try:
            return self._cluster.status(self._client_url(address)).id == self._old_id
        except Retryable:
            return False

    def _old_machine(self) -> Instance | None:
        """The machine that goes, unless its end has been asked for."""
        found = self.aws.groups([self.old.group]).get(self.old.group)
        return machine.running(self.aws, self.old.group) if found is not None and found["MaxSize"] else None

    def _volume(self) -> DataVolume:
        [pair] = [one for one in self.members if one.old.group == self._home]
        notes = (self._kept.read(self.aws), self._kept_of_other_way.read(self.aws))
        noted = next((note.volume for note in notes if note is not None and note.volume), None)
        here = machine.running(self.aws, self.old.group)
        return volumes.of_member(
            self.aws,
            self.cluster,
            before=pair.old.name,
            after=pair.new.name,
            instances=[here.id] if here else [],
            noted=noted,
        )

    # Steps

    def _prepare(self) -> None:
        """The one that comes has a machine that waits for the volume, or has it; what the other way began ends."""
        if self._api_set is not None:
            self._api_set.come()
        volume, machines = self._volume(), self.aws.instances_of_groups([self.new.group])
        if volume.holder in {one.id for one in machines if one.state == "running"}:
            return
        turned = self._kept_of_other_way.read(self.aws)
        if turned is not None:
            # Before the other way's note goes: without either, nobody knows where a detached volume belongs.
            self._held()
        if not machine.described(self.aws, self.new.group)["MaxSize"]:
            # One that still ends isn't the one that comes.
            machine.scale_to_zero(self.aws, self.new.group, self.deadline, self.alive)
        if self.back:
            self._returning(blank=False).prepare()
            return
        if turned is not None:
            machine.scale_to_zero(self.aws, self.new.group, self.deadline, self.alive)
            machine.give_back_replacement(self.aws, self.new.group, turned, self.alive, self._kept_of_other_way)
        if machine.scale_to_one(self.aws, self.new.group, self.alive):
            self.log(f"{self.new.group} launches a machine for {self.new.name}")

    def _steps(self) -> None:
        if not self._answers(self._machine.ip):
            self._guarded((self._ready, self._held, self._end_other_ticket, self._leadership, self._stop_old_api))
            self._guarded(
                (
                    self._tell_others,
                    self._stop_old_etcd,
                    self._end_old_machine,
                    self._detached,
                    self._attached,
                    self._address,
                )
            )
            # From here on a voter is only added: nothing waits for the others.
            self._walk((self._ticket,))
        self._walk((self._started, self._end_ticket, self._serve_api, self._tell_servers, self._give_back_rest))

    def _guarded(self, steps: Iterable[Callable[[], None]]) -> None:
        """Each step only while the others are well and enough."""
        for step in steps:
            self._until(self._others, "the other members to be healthy")
            self._walk((step,))

    def _ready(self) -> None:
        """The volume can go where it shall, all is well, and there is a snapshot from before the first change."""
        volume = self._volume()
        if volume.holder == self._machine.id:
            return
        self._must_fit(volume)
        old = self._old_machine()
        begun = (self._kept.read(self.aws), self._kept_of_other_way.read(self.aws))
        if (old is None or not self._answers(old.ip)) and any(begun):
            self.log(f"{self.old.name} is on its way with {volume.id}: going on from there")
            return
        seen = self._until(
            lambda: preflight(
                self._cluster,
                ours=lambda _: False,
                log=self.log,
                observations=self.observations,
                round_trips=self._round_trips,
                servers=self._servers_beside,
            ),
            "etcd to be healthy",
        )
        self.log(f"preflight: {seen}")
        self._until_true(self._near_the_others, f"{self.new.name} to be near the other members")
        self._take_snapshot(self._own())

    def _must_fit(self, volume: DataVolume) -> None:
        """Raises `Permanent` with all that keeps the volume from this machine, while nothing has been stopped."""
        found = volumes.unfit(volume, self._machine.zone, self.new.name)
        room_here = room.room_of(self.aws, self._machine.type)
        if not room_here.known:
            self.log(f"warning: {room.unknown(self._machine.type)}")
        there, interfaces = room.counted(self.aws, self._machine.id)
        lacking = room.lacking(room_here, self._machine.type, volumes=there + 1, interfaces=interfaces)
        if lacking is not None:
            found.append(f"{lacking}: give {self._machine.id} fewer disks, or another type")
        if found:
            raise Permanent("; ".join(found))

    def _held(self) -> None:
        """Before anything is stopped: no second machine, and which member and volume go outlives a killed run."""
        assert self._old_id is not None
        volume = self._volume()
        self._hold(self._old_id, volume.id, self._device(volume))

    def _end_other_ticket(self) -> None:
        """On a way that was turned round the one that goes may have a ticket that it hasn't used."""
        if self.other_ticket:
            self._delete_ticket(self.other_ticket)

    def _leadership(self) -> None:
        """The leader is handed over, never lost: to one that has moved already, so that it is asked for once."""
        machines = self._machines()
        there = {
            ip for pair in self.members for ip in observed(pair.old.group if self.back else pair.new.group, machines)
        }

        def led() -> bool:
            moved = [one.id for one in self._cluster.members() if self._addresses.of(one) & there]
            assert self._old_id is not None
            heir = hand_over(self._cluster, self._old_id, moved)
            if heir is None:
                return True
            self._leader_changes += 1
            self.log(f"leadership handed to {heir.name}")
            raise Retryable("leadership moves")

        self._until_true(led, f"leadership to leave {self.old.name}")

    def _tell_others(self) -> None:
        """API servers elsewhere name the address that the member comes to, before it leaves the one it has."""
        self._tell_servers(own=False)

    def _stop_old_api(self) -> None:
        if self._api_set is not None:
            assert self._old_id is not None
            self._api_set.stop(self._old_id, served=False)
            return
        self._api().stop_old(self._old_machine(), lambda: len(self.members) - 1)

    def _stop_old_etcd(self) -> None:
        """Whole on disk, and said to the others; not disabled: a move that is turned round starts it again."""
        old = self._old_machine()
        if old is None:
            return
        # Minutes may have passed, and an election.
        self._leadership()
        total = len(self.members)
        self.log(
            f"{self.old.name} stops: {total - 1} of {total} vote until it is up on {self._machine.ip}; "
            f"{total - 1 - quorum(total)} more may fail meanwhile"
        )
        machine.shell(self.aws, old.id, self._commands.pause_etcd, self.deadline, self.alive)

    def _end_old_machine(self) -> None:
        """The end of all writing: what a boot there might still start has no machine."""
        machine.scale_to_zero(self.aws, self.old.group, self.deadline, self.alive)
        if self._api_set is not None:
            self._api_set.end()

    def _detached(self) -> None:
        """The volume is free, or on the new machine already. A machine's end frees it; what lingers is asked to."""

        def free() -> bool:
            volume = self._volume()
            if volume.holder in (None, self._machine.id):
                return True
            own = self.aws.instances_of_groups([self.old.group, self.new.group], terminated=True)
            holder = next((one for one in own if one.id == volume.holder), None)
            if holder is None:
                raise Permanent(
                    f"{volume.id}, with the data of {self.old.name}, is attached to {volume.holder}, which is none of "
                    f"the member's machines: it isn't taken from there; look who attached it"
                )
            if holder.state == "terminated":
                self.alive()
                volumes.detach(self.aws, volume.id, holder.id)
            raise Retryable(f"{volume.id} is still attached to {holder.id}, which is {holder.state}")

        self._until_true(free, f"{self.old.name}'s volume to be free")

    def _attached(self) -> None:
        """Marked as the one's that comes, so that its boot takes it after a restart, too; then attached there."""
        volume = self._volume()
        given = volumes.give(
            self.aws,
            volume,
            cluster=self.cluster,
            member=self.new.name,
            instance=self._machine.id,
            alive=self.alive,
            image=image_tags(self.place.volume_tags if self.place else {}, self.new.name),
        )
        if given:
            self.log(f"{volume.id} is {self.new.name}'s, on {self._machine.id}")

        def attached() -> bool:
            now = volumes.look(self.aws, volume.id)
            if now.usable_on(self._machine.id):
                return True
            if now.holder is None:
                self.alive()
                volumes.attach(self.aws, volume.id, self._machine.id, self._device(now))
                self.log(f"{volume.id} goes to {self._machine.id}")
            raise Retryable(f"{volume.id} is {now.state}, at {now.holder or 'no machine'}")

        self._until_true(attached, f"{volume.id} to be attached to {self._machine.id}")

    def _device(self, volume: DataVolume) -> str:
        """As the machine that goes has or had it: what is mounted by that name there is so on the one that comes."""
        notes = (self._kept.read(self.aws), self._kept_of_other_way.read(self.aws))
        noted = next((note.device for note in notes if note is not None and note.device), None)
        return volume.device or noted or volumes.DEVICE

    def _address(self) -> None:
        """Its entry says where it is before it starts: etcd takes peer URLs from the list it keeps, not from flags."""

        def listed() -> bool:
            own = self._own()
            if own.peer_urls == (self._peer_url,):
                return True
            self._cluster.update(own.id, self._peer_url, endpoint(self._others()[0]))
            self.log(f"{self.old.name} ({own.id}) is listed at {self._peer_url}")
            raise Retryable("just written")

        self._until_true(listed, f"{self._peer_url} in etcd's list")

    def _ticket(self) -> None:
        """For this machine, this volume and this member: then its boot may start etcd with the data that is there."""
        names = [
            f"{self.new.name if member.id == self._old_id else member.name}={url}"
            for member in self._members()
            for url in member.peer_urls
        ]
        said = {
            "initial_cluster": ",".join(sorted(names)),
            "state": "existing",
            "member_id": self._own().id,
            "volume": self._volume().id,
            "instance": self._machine.id,
        }
        text = json.dumps(said)
        if text != self._ticket_now():
            self.alive()
            self.aws.ssm.put_parameter(Name=self.ticket_parameter, Type="String", Value=text, Overwrite=True)
            self.log(f"wrote {self.new.name}'s ticket")

    def _ticket_now(self) -> str | None:
        try:
            return mapping(self.aws.ssm.get_parameter(Name=self.ticket_parameter), "Parameter")["Value"]
        except self.aws.ssm.exceptions.ParameterNotFound:
            return None

    def _started(self) -> None:
        """Up on its new machine under its id, as far as the others were when this began, and listed by name."""
        goal = self._until(self._index_of_others, "the other members' index")

        def caught_up() -> bool:
            status = self._cluster.status(self._client_url(self._machine.ip))
            if status.id != self._old_id:
                raise Permanent(
                    f"etcd on {self._machine.ip} is member {status.id}, not {self._old_id}: it runs with other data "
                    f"than {self._volume().id}'s; look before going on"
                )
            if status.leader == "0" or status.raft_index < goal:
                raise Retryable(f"it is at index {status.raft_index} of {goal}")
            own = self._own()
            if own.name != self.new.name:
                raise Retryable(f"it is listed as {own.name}")
            return True

        self._until_true(caught_up, f"{self.new.name}'s etcd to be back with its data on {self._machine.ip}")

    def _index_of_others(self) -> int:
        voters = [one for one in self._cluster.members() if one.id != self._old_id and not one.learner]
        silent = {one.id for one in away(self.aws, self.members, self._cluster, voters)}
        return max(self._cluster.status(endpoint(one)).raft_index for one in voters if one.id not in silent)

    def _serve_api(self) -> None:
        if self._api_set is not None:
            urls, there = self._until(self._staying, "where every member is")
            self._api_set.serve(urls, there, again=True)
            return
        self._api().serve(self._machine.ip, self._machine.id if self.back else None)

    def _give_back_rest(self) -> None:
        """As ever; on, what a way back that was turned round has kept on the new group ends, too."""
        turned = self._kept_of_other_way.read(self.aws)
        if turned is not None and not self.back:
            machine.give_back_replacement(self.aws, self.new.group, turned, self.alive, self._kept_of_other_way)
        super()._give_back_rest()

    def _verified(self) -> list[Member]:
        voters = self._until(self._well, "every voter to be healthy")
        names = ", ".join(sorted(member.name for member in voters))
        self.log(f"{self.new.name} in place of {self.old.name}, with its volume: {names}")
        return voters
