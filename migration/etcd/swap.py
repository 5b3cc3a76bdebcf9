"""One member moved: a learner added, caught up and promoted, its servers taken in, the old one let go.

3 → 4 → 3 voters, so one member's failure is tolerated all along. Every step first observes: after a crash the
same swap goes on from what etcd, AWS and the cluster say, never from what was planned. No volume is shared.

Back it is the same with the sides exchanged: the new side's member goes, the old side's comes, on a machine of its
old group that starts as blank as a new one's (`migration.etcd.returning`). Either way can be turned round at any time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TypeVar

from botocore.exceptions import ClientError

from migration.clients.aws import Instance
from migration.clients.documents import mapping
from migration.clients.etcd import Member
from migration.contracts.members import SwapNote
from migration.etcd import machine
from migration.etcd.match import Addresses, told
from migration.etcd.moving import Moving
from migration.etcd.preflight import endpoint, healthy_voters, preflight, same_version
from migration.etcd.returning import note_of as return_note_of
from migration.etcd.where import observed
from migration.layouts.ready import refuse_other_member
from migration.runtime.deadline import Permanent, Retryable
from migration.runtime.engine import Orphaned

T = TypeVar("T")


@dataclass(kw_only=True)
class Swap(Moving):
    """One swap by a learner; on a way back the same with the sides exchanged."""

    strategy = "learner"

    _voted: bool = field(init=False, default=False)
    """Whether the one that comes voted before this run: then its servers may have been stopped."""

    def _steps(self) -> None:
        try:
            self._walk((self._ready, self._keep_old_from_replacing, self._learner, self._ticket, self._started))
            self._walk((self._promoted,))
        except Orphaned:
            raise
        except Permanent:
            self._give_up()
            raise
        self._walk(
            (
                self._end_ticket,
                self._serve_api,
                self._tell_servers,
                self._leadership,
                self._stop_old_api,
                self._remove_old,
                self._end_old_machine,
                self._give_back_rest,
            )
        )

    def give_back(self) -> bool:
        """The member stays where it is: undo what an interrupted swap began; False where the one that came votes.

        Then it can't be given back, only swapped the other way.
        """
        note, returned = self._kept.read(self.aws), self.back and return_note_of(self.aws, self._home) is not None
        with self._etcd() as self._cluster:
            self._addresses = Addresses(self._machines())
            coming = self._coming_now()
            if coming is not None and not coming.learner:
                return False
            if note is not None or returned or coming is not None:
                self._without_new(note)
        return True

    def _give_up(self) -> None:
        """A swap that ends before the new member votes leaves the old one's group as it was."""
        try:
            own, note = self._find(self._machine.ip), self._kept.read(self.aws)
            if note is not None and (own is None or own.learner):
                machine.give_back_replacement(self.aws, self.old.group, note, self.alive, self._kept)
                self.log(f"{self.old.group}: what was suspended there runs again; the same up begins anew")
        except (Permanent, Retryable, ClientError) as reason:
            self.log(f"{self.old.group}: whether the swap went too far to be given up can't be told: {reason}")

    def _without_new(self, note: SwapNote | None) -> None:
        """No learner, no ticket, and the group of the one that stays as it was: the one that came never votes."""

        def gone() -> bool:
            here = observed(self.new.group, self._machines())
            added = {*self._ticket_urls(), *(f"{self.scheme}://{ip}:{self.peer_port}" for ip in here)}
            mine = [member for member in self._cluster.members() if self._ours(member, added)]
            voting = [member for member in mine if not member.learner]
            if voting:
                raise Permanent(f"{told(voting)} votes by now: run the same up again")
            for member in mine:
                self._cluster.remove(member.id, self._cluster.endpoints[0])
                self.log(f"removed the learner {member.name or member.id}")
            return not mine

        self._until_true(gone, f"{self.new.name}'s learner to leave etcd")
        self._end_ticket()
        if note is not None:
            machine.give_back_replacement(self.aws, self.old.group, note, self.alive, self._kept)
            self.log(f"{self.old.group}: what was suspended there runs again")
        if self.back:
            machine.scale_to_zero(self.aws, self._home, self.deadline, self.alive)
            self._forget_return()
        if self._api_set is not None:
            self._api_set.leave()

    # Observation

    @property
    def _old_member(self) -> Member | None:
        """The old member's entry; None only where it is proven to be gone.

        That is: its id isn't in the list, the new member votes, and there are as many voters as members. Raises
        `Permanent` where its id is missing and the rest doesn't say that this swap removed it.
        """
        members = self._members()
        found = next((member for member in members if member.id == self._old_id), None)
        if found is not None:
            return found
        voters = [member for member in members if not member.learner]
        own = self._addresses.at(voters, self._machine.ip)
        if own is None or len(voters) != len(self.members):
            raise Permanent(
                f"{self.old.name} ({self._old_id or 'id unknown'}) isn't in etcd's list, and not by this swap: "
                f"{self.new.name} {'has no vote' if own is None else 'votes'}, and {len(voters)} vote where "
                f"{len(self.members)} should: {told(members)}. Look who removed or added a member before going on"
            )
        return None

    def _own(self) -> Member:
        own = self._find(self._machine.ip)
        if own is None:
            raise Retryable(f"{self.new.name} isn't in etcd's list")
        return own

    # Steps

    def _prepare(self) -> None:
        """The one that comes has a machine, and none of a membership that is over; what the other way began ends."""
        coming = self._coming_now()
        self._voted = coming is not None and not coming.learner
        if self._api_set is not None:
            self._api_set.come()
        if self.back:
            if coming is None or coming.learner:
                self._returning().prepare()
            return
        turned = self._kept_of_other_way.read(self.aws)
        if turned is not None:
            if coming is None:
                # On its way back it was removed: its machine's etcd can't join again.
                machine.scale_to_zero(self.aws, self.new.group, self.deadline, self.alive)
            machine.give_back_replacement(self.aws, self.new.group, turned, self.alive, self._kept_of_other_way)
        if machine.scale_to_one(self.aws, self.new.group, self.alive):
            self.log(f"{self.new.group} launches a machine for {self.new.name}")

    def _ticket_urls(self) -> list[str]:
        """Peer URLs in the ticket last written: what this program added for this member."""
        try:
            found: str = mapping(self.aws.ssm.get_parameter(Name=self.ticket_parameter), "Parameter")["Value"]
        except self.aws.ssm.exceptions.ParameterNotFound:
            return []
        pairs = (part.partition("=") for part in json.loads(found)["initial_cluster"].split(","))
        return [url for name, _, url in pairs if name == self.new.name]

    def _ready(self) -> None:
        """All is well, and there is a snapshot from before the first change."""
        own, old = self._find(self._machine.ip), self._old_member
        if old is None:
            return
        if own is not None and not own.learner:
            # What remains is to let the old member go, and that may be what doesn't answer any more.
            self._until(lambda: self._healthy_without(old), "the remaining voters to be healthy")
            return
        added = {self._peer_url, *self._ticket_urls()}
        seen = self._until(
            lambda: preflight(
                self._cluster,
                ours=lambda one: self._ours(one, added),
                log=self.log,
                observations=self.observations,
                round_trips=self._round_trips,
                servers=self._servers_beside,
            ),
            "etcd to be healthy",
        )
        self.log(f"preflight: {seen}")
        if own is None:
            self._until_true(self._near_the_others, f"{self.new.name} to be near the other members")
            self._take_snapshot(old)

    def _ours(self, member: Member, added: set[str]) -> bool:
        return member.name == self.new.name or bool(added & set(member.peer_urls))

    def _healthy_without(self, gone: Member) -> list[Member]:
        """The voters besides `gone`, all healthy and one of them leading; else `Retryable`."""
        return healthy_voters(self._cluster, [member for member in self._cluster.members() if member.id != gone.id])

    def _keep_old_from_replacing(self) -> None:
        """Before any change in etcd: the group of the one that goes must not start a second writer."""
        old = self._old_member
        if old is not None:
            self._hold(old.id)

    def _learner(self) -> None:
        """Exactly one learner, ours, at this machine's address; a dead one of ours blocks the next and goes first."""
        added = {self._peer_url, *self._ticket_urls()}
        for member in self._members():
            if self._machine.ip in self._addresses.of(member) or not self._ours(member, added):
                continue
            if not member.learner:
                # Its machine was replaced after the promotion; the new one writes its address as it boots.
                self._until_true(
                    lambda: self._find(self._machine.ip) is not None,
                    f"{self.new.name}, which votes at {', '.join(member.peer_urls)}, to write its machine's address "
                    f"{self._machine.ip} into etcd's list ({self._commands.logs} there says why it doesn't; by "
                    f"hand: etcdctl member update {int(member.id):x} --peer-urls={self._peer_url})",
                )
                continue
            self.log(f"removing the learner {member.id} of a machine that is gone")
            self._until_true(lambda member=member: self._remove(member), "the removal of a dead learner")

        def added_to_the_list() -> Member:
            # Looked for each time: the answer to an addition may be lost, and it is made once.
            own = self._find(self._machine.ip)
            return own or self._cluster.add_learner(self._peer_url)

        if self._find(self._machine.ip) is None:
            # etcd refuses a change within 5 s of connections coming up ("unhealthy cluster"): that passes.
            member = self._until(added_to_the_list, f"{self.new.name} to be added")
            self.log(f"added learner {self.new.name} ({member.id}) at {self._peer_url}")

    def _remove(self, member: Member) -> bool:
        self._cluster.remove(member.id, self._cluster.endpoints[0])
        return True

    def _ticket(self) -> None:
        """The exact initial cluster, for this machine alone, only now that etcd has it in its list."""
        own = self._own()
        if own.name:
            return
        names = [f"{member.name or self.new.name}={url}" for member in self._members() for url in member.peer_urls]
        # The id lets the machine tell a new membership from the one its data directory is of.
        ticket = json.dumps({"initial_cluster": ",".join(sorted(names)), "state": "existing", "member_id": own.id})
        self.aws.ssm.put_parameter(Name=self.ticket_parameter, Type="String", Value=ticket, Overwrite=True)
        self.log(f"wrote {self.new.name}'s join ticket")

    def _started(self) -> None:
        """It is listed by its name, and what answers on its machine is that very member: `migration.layouts.ready`."""
        self._until_true(
            lambda: bool(self._own().name),
            f"{self.new.name}'s etcd to start ({self._commands.logs} on {self._machine.id} says why it doesn't)",
        )
        url = self._client_url(self._machine.ip)
        self._until_true(
            lambda: refuse_other_member(self._cluster, url, self._own(), self.new.name),
            f"{self.new.name}'s etcd at {url}",
        )
        self._until_true(
            lambda: same_version(self._cluster, self._own(), url), f"the version of {self.new.name}'s etcd"
        )

    def _promoted(self) -> None:
        def voter() -> bool:
            own = self._own()
            if own.learner:
                # "can only promote a learner member which is in sync with leader" until it has caught up.
                self._cluster.promote(own.id)
                self.log(f"promoted {self.new.name}")
            return True

        self._until_true(voter, f"{self.new.name}'s vote")
        self._until(lambda: healthy_voters(self._cluster, self._cluster.members()), "all voters healthy")

    def _serve_api(self) -> None:
        """The new API server answers for the cluster's name before the old one stops doing so."""
        if self._api_set is not None:
            urls, there = self._until(self._staying, "where every member is")
            self._api_set.serve(urls, there, again=self._voted)
            return
        if self._voted and not self._api().ready(self._machine.ip):
            # Stopped when the swap went the other way. One that boots starts its servers itself, at every boot.
            boots_them = not self.back or return_note_of(self.aws, self._home) is not None
            self._start_servers(self._machine.id, boots_them=boots_them)
        self._api().serve(self._machine.ip, self._machine.id if self.back else None)

    def _leadership(self) -> None:
        """The leader is handed over, never lost: a transfer costs milliseconds, a removed leader an election."""
        old = self._old_member
        if old is not None:
            self._until_true(lambda: self._led_elsewhere(old), f"leadership to leave {self.old.name}")

    def _led_elsewhere(self, old: Member) -> bool:
        """Whether somebody else leads; if the old member does, it is asked to hand over first."""
        leader = self._cluster.status(endpoint(self._own())).leader
        if leader == "0":
            raise Retryable("an election is on")
        if leader != old.id:
            return True
        self._cluster.transfer_leadership(endpoint(old), self._own().id)
        self._leader_changes += 1
        self.log(f"leadership handed to {self.new.name}")
        return False

    def _stop_old_api(self) -> None:
        def serving() -> int:
            return sum(not member.learner and member.id != self._old_id for member in self._members())

        if self._api_set is not None:
            if self._old_id is not None:
                self._api_set.stop(self._old_id, served=True)
            return
        self._api().stop_old(machine.running(self.aws, self.old.group), serving)

    def _remove_old(self) -> None:
        """Through an endpoint that remains, and only while that leaves a quorum."""

        def removed() -> bool:
            old = self._old_member
            if old is None:
                return True
            # Only those that remain count: the one that goes may be down already.
            voters = self._healthy_without(old)
            if self._own().learner or not voters:
                raise Permanent(f"{self.new.name} has no vote: {self.old.name} can't be removed")
            # Looked at minutes ago, before the old API server went; an election since may have made it leader again.
            if not self._led_elsewhere(old):
                return False
            self._cluster.remove(old.id, endpoint(self._own()))
            self.log(f"removed {self.old.name} ({old.id}) from etcd")
            return True

        self._until_true(removed, f"{self.old.name} to leave etcd")

    def _end_old_machine(self) -> None:
        old_machine = machine.running(self.aws, self.old.group)
        self._must_not_be_listed(old_machine)
        if old_machine is not None:
            machine.shell(self.aws, old_machine.id, self._commands.stop_etcd, self.deadline, self.alive)
        machine.scale_to_zero(self.aws, self.old.group, self.deadline, self.alive)
        self.log(f"{self.old.name}'s machine is gone; its volume stays")
        if self._api_set is not None:
            self._api_set.end()

    def _must_not_be_listed(self, old_machine: Instance | None) -> None:
        """The last look before a machine ends: neither its member nor its address is in etcd's list."""
        members = self._members()
        names = Addresses([old_machine] if old_machine else [])
        here = {address for address in (self._old_address(), old_machine.ip if old_machine else None) if address}
        listed_here = [one for one in members if one.id == self._old_id or names.of(one) & here]
        if listed_here:
            raise Permanent(f"{self.old.name}'s machine stays: etcd still lists {told(listed_here)}")

    def _verified(self) -> list[Member]:
        def settled() -> list[Member]:
            members = self._cluster.members()
            learners = [member for member in members if member.learner]
            if learners:
                raise Retryable(f"{learners[0].name or learners[0].id} is still a learner")
            return healthy_voters(self._cluster, members)

        voters = self._until(settled, "every voter to be healthy")
        names = ", ".join(sorted(member.name for member in voters))
        self.log(f"{self.new.name} in place of {self.old.name}: {names}")
        return voters
