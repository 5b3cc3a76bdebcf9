"""What moving a member needs, however its data comes along: who is where, its machine, its API server's hand-over.

`migration.etcd.swap` copies the data by a learner, `migration.etcd.volume_swap` takes the volume along. Both observe
before they act: after a crash the same move goes on from what etcd, AWS and the cluster say.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from migration.clients.aws import Aws, Instance
from migration.clients.etcd import Etcd, Member
from migration.clients.kubernetes import Kubernetes
from migration.contracts.members import (
    USUAL_FILES,
    MemberForm,
    MemberPair,
    MemberSwapResult,
    NewMember,
    OldMember,
    OnMachine,
    RestoreDrill,
    ReturnPlace,
    ServerPair,
    SnapshotTaken,
    StepTook,
    SwapNote,
)
from migration.etcd import machine
from migration.etcd.api_handover import ApiHandover
from migration.etcd.api_set import ApiSet
from migration.etcd.drill.run import Drill
from migration.etcd.machine import Kept
from migration.etcd.match import Addresses, seats
from migration.etcd.over_ssm import OverSsm
from migration.etcd.preflight import endpoint, near
from migration.etcd.returning import Returning, forget
from migration.etcd.returning import note_of as return_note_of
from migration.etcd.round_trips import RoundTrips
from migration.etcd.served import versions_beside
from migration.etcd.where import address_of, observed
from migration.layouts.contract import Commands, MemberIdentity
from migration.layouts.registry import layout_of
from migration.runtime.deadline import Deadline, Permanent, Retryable
from migration.settings.model import Drilling, Strategy

T = TypeVar("T")

_USUAL_FORM, _USUAL_PLACES = MemberForm(), OnMachine.of(USUAL_FILES)


@dataclass(kw_only=True)
class Moving(ABC):
    """One member's move and what it needs. `advance()` runs all steps; each is a no-op where it is done already.

    `old` goes and `new` comes: on a way `back` that is the new side's member and the old side's. `members` are the
    pairs as configured, whichever way this one goes. `ticket_parameter` is the one that comes's, `other_ticket` the one
    that goes's. `place` is needed for a way back.
    """

    strategy: ClassVar[Strategy]

    cluster: str
    old: OldMember
    new: NewMember
    members: Sequence[MemberPair]
    back: bool = False
    place: ReturnPlace | None = None
    ticket_parameter: str
    other_ticket: str = ""
    client_port: int
    peer_port: int
    api_port: int
    old_api_groups: list[str]
    new_api_group: str
    snapshots: Path
    aws: Aws
    kubernetes: Kubernetes
    etcd: Callable[[Iterable[str]], Etcd]
    deadline: Deadline
    log: Callable[[str], None]
    alive: Callable[[], None]
    form: MemberForm = _USUAL_FORM
    servers: Sequence[ServerPair] = ()
    on_machine: OnMachine = _USUAL_PLACES
    restore_drill: Drilling = "auto"
    tools: str | None = None
    scheme: str = "https"
    observations: int = 1
    """How often each pair's round trip must have been measured; the gate before stage 7 demands more, and what a new
    machine's are is measured from it."""
    _round_trips: RoundTrips = field(init=False, default_factory=RoundTrips)
    _snapshot: SnapshotTaken | None = field(init=False, default=None)
    _drilled: RestoreDrill | None = field(init=False, default=None)
    _leader_changes: int = field(init=False, default=0)
    _old_id: str | None = field(init=False, default=None)
    _taken: list[StepTook] = field(init=False, default_factory=list[StepTook])

    def advance(self, previous: MemberSwapResult | None = None) -> MemberSwapResult:
        """Move the member; returns what was done and seen, with what an earlier run of the same move saw."""
        previous = previous if previous is not None and previous.state == self._state else None
        with self._etcd() as self._cluster:
            self._old_id = self._identified(previous)
            with self._timed("prepare"):
                self._prepare()
        with self._timed("machine"):
            self._machine = self._new_machine()
        with self._etcd(self._machine.ip) as self._cluster:
            # The new side's members are known by literal addresses; where names are used, those are the old side's.
            self._addresses = Addresses(self._machines())
            self._steps()
            self.alive()
            with self._timed("verified"):
                voters = self._verified()
            return MemberSwapResult(
                state=self._state,
                name=self.new.name,
                member_id=self._own().id,
                old_member_id=self._old_id,
                members=tuple(sorted(member.name for member in voters)),
                leader_changes=self._leader_changes + (previous.leader_changes if previous else 0),
                snapshot=self._snapshot or (previous.snapshot if previous else None),
                restore_drill=self._drilled or (previous.restore_drill if previous else None),
                # What found it all done has steps, too, of no time at all.
                steps=(previous.steps if previous else ()) or tuple(self._taken),
            )

    @abstractmethod
    def give_back(self) -> bool:
        """The member stays where it is: undo what an interrupted move began; False where it has gone too far.

        Then it can't be given back, only moved the other way.
        """

    @abstractmethod
    def _prepare(self) -> None:
        """The one that comes has a machine; what the other way began ends."""

    @abstractmethod
    def _steps(self) -> None:
        """From what is to the member on its new machine, and the old machine gone."""

    @abstractmethod
    def _own(self) -> Member:
        """The entry, in etcd's list, of the one that comes; `Retryable` while there is none."""

    @abstractmethod
    def _verified(self) -> list[Member]:
        """The voters at the end, all well; their names are the result's."""

    @property
    def _state(self) -> Literal["old", "new"]:
        return "old" if self.back else "new"

    @property
    def _home(self) -> str:
        """The old side's group: whichever way a member goes, what is kept of its swap is kept there."""
        return self.new.group if self.back else self.old.group

    @property
    def _kept(self) -> Kept:
        return Kept(group=self._home, key=machine.BACK_TAG if self.back else machine.NOTE_TAG)

    @property
    def _kept_of_other_way(self) -> Kept:
        return Kept(group=self._home, key=machine.NOTE_TAG if self.back else machine.BACK_TAG)

    def _walk(self, steps: Iterable[Callable[[], None]]) -> None:
        for step in steps:
            self.alive()
            with self._timed(step.__name__.strip("_").replace("_", " ")):
                step()

    @contextmanager
    def _timed(self, name: str) -> Generator[None]:
        """Note how long a step took, once it is done."""
        began, clock = time.time(), time.monotonic()
        yield
        took = StepTook(name=name, began=round(began, 3), seconds=round(time.monotonic() - clock, 3))
        self._taken.append(took)

    def stays(self) -> MemberSwapResult:
        """The one that would go votes, and nothing of a swap is left. Raises `Permanent` where it doesn't."""
        with self._etcd() as self._cluster:
            self._old_id = self._identified(None)
            voting = [member for member in self._members() if member.id == self._old_id and not member.learner]
        if not voting:
            raise Permanent(f"neither {self.old.name} nor {self.new.name} votes: look at etcd's list before going on")
        return MemberSwapResult(state="new" if self.back else "old")

    def _client_url(self, address: str) -> str:
        return f"{self.scheme}://{address}:{self.client_port}"

    def _etcd(self, *more: str) -> Etcd:
        machines = self._machines()
        before = [address for one in self._old_first() if (address := address_of(one, machines))]
        after = [address for pair in self.members for address in observed(pair.new.group, machines)]
        return self.etcd([self._client_url(address) for address in (*before[:1], *more, *before[1:], *after)])

    def _old_first(self) -> list[OldMember]:
        return [self.old, *(pair.old for pair in self.members if pair.old != self.old)]

    def _old_address(self) -> str | None:
        """Where the one that goes is, or was before its machine went."""
        return address_of(self.old, self._machines(), self._kept.read(self.aws))

    @property
    def _peer_url(self) -> str:
        return f"{self.scheme}://{self._machine.ip}:{self.peer_port}"

    def _members(self) -> list[Member]:
        return self.deadline.until(self._cluster.members, "etcd's member list")

    def _machines(self) -> list[Instance]:
        groups = [group for pair in self.members for group in (pair.old.group, pair.new.group)]
        return self.aws.instances_of_groups(groups)

    def _find(self, address: str) -> Member | None:
        """The member that listens on `address`, whatever it is called."""
        return self._addresses.at(self._members(), address)

    def _identified(self, previous: MemberSwapResult | None) -> str | None:
        """The id, in etcd's list, of the one that goes; None where only the one that comes is there.

        What an earlier run wrote down decides. Without that, every member of the list must be one of the
        configuration's: whatever can't be found there isn't taken for removed.
        """
        note = self._kept.read(self.aws)
        if note is not None:
            return note.member
        again = self.back or return_note_of(self.aws, self._home) is not None
        if previous is not None and previous.old_member_id is not None and not again:
            return previous.old_member_id
        found = seats(self.members, self._members(), self._machines())
        [seat] = [one for one in found if one.pair.old.group == self._home]
        going = seat.new if self.back else seat.old
        return None if going is None else going.id

    def _until(self, attempt: Callable[[], T | None], what: str) -> T:
        return self.deadline.until(attempt, what, alive=self.alive)

    def _until_true(self, condition: Callable[[], bool], what: str) -> None:
        self.deadline.until_true(condition, what, alive=self.alive)

    def _coming_now(self) -> Member | None:
        """The entry of the one that comes, found without the one that goes, which may have left the list."""
        machines, members = self._machines(), self._members()
        addresses = Addresses(machines)
        here = (addresses.at(members, ip) for ip in observed(self.new.group, machines))
        found = next((member for member in here if member is not None), None)
        named = [member for member in members if member.name == self.new.name and member.id != self._old_id]
        return found or (named[0] if named else None)

    @property
    def _commands(self) -> Commands:
        """How etcd and the servers are started and stopped on the members' machines."""
        return layout_of(self.form.layout).commands(self.form.units)

    def _start_servers(self, machine_id: str, *, boots_them: bool) -> None:
        """Where they were stopped; `boots_them`: it starts them itself at every boot."""
        how = self._commands.start_servers if boots_them else self._commands.enable_servers
        machine.shell(self.aws, machine_id, how, self.deadline, self.alive)

    def _new_machine(self) -> Instance:
        def found() -> Instance | None:
            return machine.running(self.aws, self.new.group)

        return self._until(found, f"a running machine in {self.new.group}")

    def _near_the_others(self) -> bool:
        """Round trips from the new machine, over the peering, before it is anybody's peer."""
        machines = {self._machine.ip: self._machine.id}
        there = OverSsm(self.aws, machines, deadline=self.deadline, alive=self.alive, files=self.on_machine)
        voters = [member for member in self._cluster.members() if not member.learner]
        # An image brings certificates once the member is told whom to join, and a boot of somebody's own may make them
        # once it has its volume, which comes later where that moves.
        certified = self.strategy == "learner" and self._api_set is None
        ask = there.round_trip if certified else there.connect_time
        seen = {voter.name: ask(self._machine.id, endpoint(voter)) for voter in voters}
        for name, seconds in seen.items():
            near(seconds, f"{self.new.name} to {name}", self.log)
        self.log(f"round trips: {', '.join(f'{name} {seconds * 1000:.0f} ms' for name, seconds in seen.items())}")
        return True

    def _returning(self, *, blank: bool = True) -> Returning:
        if self.place is None:
            raise Permanent(f"{self.new.name} has no place to come back to: run this version's program first")
        return Returning(
            group=self._home,
            identity=MemberIdentity(
                cluster=self.cluster,
                member=self.new.name,
                region=self.aws.region,
                ticket_parameter=self.ticket_parameter,
                api_port=self.api_port,
                client_port=self.client_port,
                peer_port=self.peer_port,
                api_names=self.place.api_names,
                volume_moves=not blank,
            ),
            blank=blank,
            form=self.form,
            place=self.place,
            aws=self.aws,
            deadline=self.deadline,
            log=self.log,
            alive=self.alive,
        )

    def _end_ticket(self) -> None:
        """A ticket is for one join: with its data a member needs none, and without nobody may come back by it."""
        if self._delete_ticket(self.ticket_parameter):
            self.log(f"{self.new.name}'s join ticket is deleted")

    def _delete_ticket(self, parameter: str) -> bool:
        """False where there is none."""
        try:
            self.aws.ssm.delete_parameter(Name=parameter)
        except self.aws.ssm.exceptions.ParameterNotFound:
            return False
        return True

    @property
    def _api_set(self) -> ApiSet | None:
        """The API machines of this member's set; None where API servers are on members' machines."""
        if not self.servers:
            return None
        return ApiSet(
            cluster=self.cluster,
            old=self.old,
            new=self.new,
            members=self.members,
            servers=self.servers,
            back=self.back,
            place=self.place,
            form=self.form,
            commands=self._commands,
            ports=(self.api_port, self.client_port, self.peer_port),
            target_group=self.new_api_group,
            handover=self._handover,
            aws=self.aws,
            deadline=self.deadline,
            log=self.log,
            alive=self.alive,
        )

    def _staying(self, own: str | None = None) -> tuple[dict[str, str], list[str]]:
        """Client URLs of the members that stay, by their pairs' old names, and the pairs that are where all go.

        `own` is where this one stays, if it does. Raises `Retryable` for a pair without a member that can be told.
        """
        machines, voters = self._machines(), [one for one in self._members() if not one.learner]
        urls: dict[str, str] = {}
        there: list[str] = []
        for pair in self.members:
            name, after = pair.old.name, pair.old.group if self.back else pair.new.group
            if pair.old.group == self._home:
                urls[name] = self._client_url(own or self._machine.ip)
                there += [] if own else [name]
                continue
            here = [
                (ip, group)
                for group in (pair.new.group, pair.old.group)
                for ip in observed(group, machines)
                if self._addresses.at(voters, ip) is not None
            ]
            if not here:
                raise Retryable(f"where {name} votes can't be told: none of its machines is in etcd's list")
            urls[name] = self._client_url(here[0][0])
            there += [name] if here[0][1] == after else []
        return urls, there

    def _tell_servers(self, *, own: bool = True) -> None:
        """No API server elsewhere names the member that leaves, as long as it runs (`migration.etcd.api_set`)."""
        if self._api_set is not None:
            urls, there = self._until(self._staying, "where every member is")
            self._api_set.tell(urls, there, own=own)

    def _api(self) -> ApiHandover:
        return self._handover(self.old, self._old_address(), self.new.name)

    def _handover(self, old: OldMember, old_address: str | None, new: str) -> ApiHandover:
        return ApiHandover(
            old=old,
            old_address=old_address,
            new=new,
            port=self.api_port,
            old_groups=self.old_api_groups,
            new_group=self.new_api_group,
            stop_servers=self._commands.stop_servers,
            aws=self.aws,
            kubernetes=self.kubernetes,
            deadline=self.deadline,
            log=self.log,
            alive=self.alive,
        )

    def _forget_return(self) -> None:
        name = self.new.name if self.back else self.old.name
        forget(self.aws, self._home, self.cluster, name, self.log, self.alive)

    def _give_back_rest(self) -> None:
        """Back, both groups are as they were before; on, the old one's launch template is its own again."""
        if self._api_set is not None:
            self._api_set.finish()
        if not self.back:
            self._forget_return()
            return
        for kept, group in ((self._kept_of_other_way, self._home), (self._kept, self.old.group)):
            note = kept.read(self.aws)
            if note is not None:
                machine.give_back_replacement(self.aws, group, note, self.alive, kept)

    def _hold(self, member: str, volume: str | None = None, device: str | None = None) -> None:
        """The group of the one that goes must not start a second writer; who that is outlives a killed run."""
        note = SwapNote(
            member=member,
            suspended=(),
            address=self._old_address(),
            strategy=self.strategy,
            volume=volume,
            device=device,
        )
        machine.suspend_replacement(self.aws, self.old.group, note, self.alive, self._kept)

    def _take_snapshot(self, member: Member) -> None:
        """From before the first change, read back; up to which index is asked of `member`."""
        self.snapshots.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.snapshots / f"{self.cluster}-before-{self.new.name}-{time.strftime('%Y%m%dT%H%M%S')}.db"
        drill = self._drill()
        self._until_true(lambda: drill.begin(self._cluster), "what the cluster holds, for the restore drill")
        taken = self._until(lambda: self._cluster.snapshot(path), "a snapshot")
        index = self._until(lambda: self._cluster.status(endpoint(member)).raft_index, "etcd's index")
        self._snapshot = SnapshotTaken(path=str(path), bytes=taken.size, sha256=taken.sha256, raft_index=index)
        self.log(f"snapshot: {taken.size} bytes in {path}, read back, up to raft index {index}")
        self._drilled = drill.hold(self._cluster, path, taken)

    def _drill(self) -> Drill:
        """The snapshot's restore drill. It stands before the first change: where it fails, nothing was begun."""
        return Drill(
            mode=self.restore_drill,
            tools=self.tools,
            cluster=self.cluster,
            members=tuple(name for pair in self.members for name in (pair.old.name, pair.new.name)),
            snapshots=self.snapshots,
            deadline=self.deadline,
            log=self.log,
            alive=self.alive,
        )

    def _servers_beside(self, voters: Sequence[Member]) -> dict[str, str]:
        """The versions of the API servers on the voters' machines, by member; or of those that are apart."""
        apart = {one.group: one.name for pair in self.servers for one in (pair.old, pair.new)}
        if apart:
            # The new side's wait to be told, and serve nobody yet; one that serves answers.
            found = {one.ip: apart[one.group] for one in self.aws.instances_of_groups(list(apart)) if one.ip}
            return versions_beside(self.kubernetes, found, self.api_port, lambda _: None)
        at = {one.ip: voter.name for one in self._machines() if (voter := self._addresses.at(voters, one.ip))}
        return versions_beside(self.kubernetes, at, self.api_port, self.log)
