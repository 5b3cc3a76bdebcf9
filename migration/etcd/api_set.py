"""The API's part of a move where API servers are on other machines than etcd: a set's come with its member, and go.

No API server names a member of etcd that has left. So a server is told its own set's member and those that are where
all go; whoever still names another is told so before that one leaves: out of the balancers, restarted, and in again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from migration.clients.aws import Aws, Instance
from migration.clients.documents import mapping
from migration.contracts.members import (
    ApiMachine,
    MemberForm,
    MemberPair,
    NewMember,
    OldMember,
    ReturnPlace,
    ServerPair,
    SwapNote,
)
from migration.etcd import machine
from migration.etcd.api_handover import ApiHandover
from migration.etcd.machine import Kept
from migration.etcd.returning import Returning, forget, note_of
from migration.layouts.contract import Commands, MemberIdentity
from migration.names import ticket_parameter
from migration.runtime.deadline import Deadline, Permanent, Retryable


@dataclass(frozen=True, kw_only=True)
class ApiSet:
    """The API machines that go with `old` and come with `new`, and what all others are told meanwhile.

    `handover` makes the hand-over from one machine's server to another's, by their names and groups. Every step
    observes first and may be made again.
    """

    cluster: str
    old: OldMember
    new: NewMember
    members: Sequence[MemberPair]
    servers: Sequence[ServerPair]
    back: bool
    place: ReturnPlace | None
    form: MemberForm
    commands: Commands
    ports: tuple[int, int, int]
    """The API's, and etcd's for clients and peers."""
    target_group: str
    handover: Callable[[OldMember, str | None, str], ApiHandover]
    aws: Aws
    deadline: Deadline
    log: Callable[[str], None]
    alive: Callable[[], None]

    # Steps

    def come(self) -> None:
        """Each that comes has a machine, which waits to be told etcd's members; what the other way began ends."""
        for going, coming in self._places():
            turned = self._kept(going, coming, other_way=True)
            if self.back:
                # One that the way on hasn't ended yet is still there, as it was.
                if not machine.described(self.aws, coming.group)["MaxSize"] or note_of(self.aws, coming.group):
                    self._returning(coming).prepare()
                continue
            note = turned.read(self.aws)
            if note is not None:
                machine.give_back_replacement(self.aws, coming.group, note, self.alive, turned)
            if machine.scale_to_one(self.aws, coming.group, self.alive):
                self.log(f"{coming.group} launches a machine for {coming.name}")

    def serve(self, urls: Mapping[str, str], there: Sequence[str], *, again: bool) -> None:
        """Those that come answer for the cluster's name. `again`: they may have been stopped before.

        `urls` are the members of etcd that stay, by their pairs' old names; `there` the pairs that are where all go.
        """
        pair = self._pair
        for _, coming in self._places():
            self._write(coming, _told(pair, urls, there))
            here = self._running(coming)
            handover = self.handover(OldMember(name=coming.name, group=coming.group), here.ip, coming.name)
            if again and not handover.ready(here.ip):
                machine.shell(self.aws, here.id, self.commands.enable_servers, self.deadline, self.alive)
            handover.serve(here.ip, here.id if self.back else None)

    def tell(self, urls: Mapping[str, str], there: Sequence[str], *, of: Sequence[str] = (), own: bool = True) -> None:
        """No API server names a member that doesn't stay, and in the end each names all.

        `of`: of which pairs' members each is told besides its own, by default those that are `there`. Not `own`: but
        those of this set.
        """
        whole, lasting = len(there) == len(self.members), of or there
        pairs = [pair for pair in self.members if own or pair != self._pair]
        every = [(pair, one) for pair in pairs for one in self._now(pair, there)]
        for pair, one in every:
            moved, wanted = pair.old.name in there, _told(pair, urls, lasting)
            if moved or self.back:
                # This program's own machines have no other list than this, whenever they are launched.
                self._write(one, wanted)
            here = machine.running(self.aws, one.group)
            if here is None:
                self.log(f"warning: {one.group} runs no machine; what its API server is told can't be seen")
                continue
            handover = self.handover(OldMember(name=one.name, group=one.group), here.ip, one.name)
            names = self._names(one, here)
            gone = sorted(names - set(urls.values()))
            if gone or (whole and names != set(wanted) and len(every) > 1):
                why = f"{', '.join(gone)} is about to leave" if gone else "all members are there"
                self._must_not_be_alone(here, one)
                handover.drain(here)
                tell = self.commands.tell_servers
                assert tell is not None
                machine.shell(self.aws, here.id, tell(",".join(wanted)), self.deadline, self.alive)
                self.log(f"{one.name}'s API server asks {', '.join(wanted)} now: {why}")
            # One that was told, and then not taken in again, by a run that was killed, is taken in here.
            handover.serve(here.ip, here.id if moved == self.back else None)

    def stop(self, member: str, *, served: bool) -> None:
        """Those that go stop, one by one; `member` is the id of their set's. `served`: what comes serves."""
        total = len(self.servers) + (len(self._places()) if served else 0)
        for number, (going, coming) in enumerate(self._places(), 1):
            kept = self._kept(going, coming)
            here = machine.running(self.aws, going.group)
            if here is None and not machine.described(self.aws, going.group)["MaxSize"]:
                continue  # it was ended by a run before, after it had stopped
            address = here.ip if here else None
            note = SwapNote(member=member, suspended=(), address=address)
            held = machine.suspend_replacement(self.aws, going.group, note, self.alive, kept)
            handover = self.handover(OldMember(name=going.name, group=going.group), held.address, coming.name)
            handover.stop_old(here, lambda number=number: total - number)

    def end(self) -> None:
        """The machines of those that go end; none is launched any more, nor has a list to go by."""
        for going, _ in self._places():
            machine.scale_to_zero(self.aws, going.group, self.deadline, self.alive)
            self._unwrite(going)
            self.log(f"{going.name}'s machine is gone")

    def finish(self) -> None:
        """Back, groups are as they were before; on, an old one's launch template is its own again."""
        for going, coming in self._places():
            if not self.back:
                forget(self.aws, going.group, self.cluster, going.name, self.log, self.alive)
                continue
            for kept, group in (
                (self._kept(going, coming, other_way=True), coming.group),
                (self._kept(going, coming), going.group),
            ):
                note = kept.read(self.aws)
                if note is not None:
                    machine.give_back_replacement(self.aws, group, note, self.alive, kept)

    def restore(self) -> None:
        """The move is given up: those that were to go serve again, and their groups are as they were."""
        for going, coming in self._places():
            here, kept = self._running(going), self._kept(going, coming)
            handover = self.handover(OldMember(name=going.name, group=going.group), here.ip, going.name)
            if not handover.ready(here.ip):
                machine.shell(self.aws, here.id, self.commands.enable_servers, self.deadline, self.alive)
            handover.serve(here.ip, None if self.back else here.id)
            note = kept.read(self.aws)
            if note is not None:
                machine.give_back_replacement(self.aws, going.group, note, self.alive, kept)

    def leave(self) -> None:
        """The move is given up: what came back goes again. What the way on had not ended stays."""
        if not self.back:
            return
        for _, coming in self._places():
            if note_of(self.aws, coming.group) is not None:
                machine.scale_to_zero(self.aws, coming.group, self.deadline, self.alive)
                self._unwrite(coming)
                forget(self.aws, coming.group, self.cluster, coming.name, self.log, self.alive)

    # Observation

    @property
    def _pair(self) -> MemberPair:
        home = self.new.group if self.back else self.old.group
        [pair] = [one for one in self.members if one.old.group == home]
        return pair

    def _places(self) -> list[tuple[ApiMachine, ApiMachine]]:
        """Each that goes with the one that comes for it."""
        own = [one for one in self.servers if one.member == self._pair.old.name]
        return [(one.new, one.old) if self.back else (one.old, one.new) for one in own]

    def _kept(self, going: ApiMachine, coming: ApiMachine, *, other_way: bool = False) -> Kept:
        """As for members: on the old side's group, whichever way."""
        home = (coming if self.back else going).group
        return Kept(group=home, key=machine.BACK_TAG if self.back != other_way else machine.NOTE_TAG)

    def _now(self, pair: MemberPair, there: Sequence[str]) -> list[ApiMachine]:
        """The machines that serve for a pair."""
        own = [one for one in self.servers if one.member == pair.old.name]
        return [one.new if (one.member in there) != self.back else one.old for one in own]

    def _running(self, one: ApiMachine) -> Instance:
        def found() -> Instance | None:
            return machine.running(self.aws, one.group)

        return self.deadline.until(found, f"a running machine in {one.group}", alive=self.alive)

    def _names(self, one: ApiMachine, here: Instance) -> set[str]:
        """The members of etcd that its server was told last. Raises `Permanent` where that can't be seen."""
        said = machine.shell(self.aws, here.id, self.commands.told_servers, self.deadline, self.alive).strip()
        found = {url.rstrip("/") for url in said.split(",") if url}
        if not found:
            raise Permanent(
                f"which members of etcd {one.name}'s API server asks can't be seen on {here.id}: no file below /etc "
                f"sets ETCD_SERVERS; let its user data write that into a file that its unit reads"
            )
        return found

    def _must_not_be_alone(self, here: Instance, one: ApiMachine) -> None:
        def another() -> bool:
            targets = self.aws.target_health(self.target_group)
            if not any(target.state == "healthy" and target.id != here.ip for target in targets):
                raise Retryable("no other API server is a healthy target")
            return True

        self.deadline.until_true(another, f"another API server than {one.name}'s to serve", alive=self.alive)

    def _write(self, one: ApiMachine, urls: Sequence[str]) -> None:
        """What a machine's boot waits for, and reads again whenever the machine is replaced."""
        text = json.dumps({"etcd_servers": ",".join(urls)})
        name = ticket_parameter(self.cluster, one.name)
        try:
            before = mapping(self.aws.ssm.get_parameter(Name=name), "Parameter")["Value"]
        except self.aws.ssm.exceptions.ParameterNotFound:
            before = None
        if before != text:
            self.alive()
            self.aws.ssm.put_parameter(Name=name, Type="String", Value=text, Overwrite=True)
            self.log(f"wrote etcd's members for {one.name}")

    def _unwrite(self, one: ApiMachine) -> None:
        try:
            self.aws.ssm.delete_parameter(Name=ticket_parameter(self.cluster, one.name))
        except self.aws.ssm.exceptions.ParameterNotFound:
            return

    def _returning(self, one: ApiMachine) -> Returning:
        if self.place is None:
            raise Permanent(f"{one.name} has no place to come back to: run this version's program first")
        api, clients, peers = self.ports
        return Returning(
            group=one.group,
            identity=MemberIdentity(
                cluster=self.cluster,
                member=one.name,
                region=self.aws.region,
                ticket_parameter=ticket_parameter(self.cluster, one.name),
                api_port=api,
                client_port=clients,
                peer_port=peers,
                api_names=self.place.api_names,
            ),
            blank=False,
            form=self.form,
            place=self.place,
            aws=self.aws,
            deadline=self.deadline,
            log=self.log,
            alive=self.alive,
        )


def _told(pair: MemberPair, urls: Mapping[str, str], of: Sequence[str]) -> list[str]:
    """What a pair's API servers are told: its own member first, then those `of` other pairs."""
    return [urls[name] for name in (pair.old.name, *(one for one in of if one != pair.old.name))]
