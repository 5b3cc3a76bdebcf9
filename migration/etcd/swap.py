"""One member moved: a learner added, caught up and promoted, its servers taken in, the old one let go.

3 → 4 → 3 voters, so one member's failure is tolerated all along. Every step first observes: after a crash the
same swap goes on from what etcd, AWS and the cluster say, never from what was planned. No volume is shared.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from migration import target_groups
from migration.clients.aws import Aws, Instance
from migration.clients.documents import listed, mapping
from migration.clients.etcd import Etcd, Member
from migration.clients.kubernetes import ENDPOINT_SLICES, Kubernetes
from migration.contracts.members import MemberSwapResult, NewMember, OldMember, SnapshotTaken
from migration.etcd import machine
from migration.etcd.api_server import verify_api_server
from migration.etcd.preflight import endpoint, healthy_voters, preflight
from migration.runtime.deadline import Deadline, Permanent, Retryable

T = TypeVar("T")


@dataclass(kw_only=True)
class Swap:
    """One swap and what it needs. `advance()` runs all steps; each is a no-op where it is done already."""

    cluster: str
    old: OldMember
    new: NewMember
    ticket_parameter: str
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
    scheme: str = "https"
    _snapshot: SnapshotTaken | None = field(init=False, default=None)
    _leader_changes: int = field(init=False, default=0)

    def advance(self, previous: MemberSwapResult | None = None) -> MemberSwapResult:
        """Move the member; returns what was done and seen, with what an earlier run of the same swap saw."""
        self._machine = self._new_machine()
        self._cluster = self.etcd([self._client_url(self.old.address), self._client_url(self._machine.ip)])
        try:
            for step in (
                self._ready,
                self._keep_old_from_replacing,
                self._learner,
                self._ticket,
                self._started,
                self._promoted,
                self._serve_api,
                self._leadership,
                self._stop_old_api,
                self._remove_old,
                self._end_old_machine,
            ):
                self.alive()
                step()
            self.alive()
            voters = self._verified()
            return MemberSwapResult(
                state="new",
                name=self.new.name,
                member_id=self._own().id,
                members=tuple(sorted(member.name for member in voters)),
                leader_changes=self._leader_changes + (previous.leader_changes if previous else 0),
                snapshot=self._snapshot or (previous.snapshot if previous else None),
            )
        finally:
            self._cluster.close()

    # Observation

    def _client_url(self, address: str) -> str:
        return f"{self.scheme}://{address}:{self.client_port}"

    @property
    def _peer_url(self) -> str:
        return f"{self.scheme}://{self._machine.ip}:{self.peer_port}"

    def _members(self) -> list[Member]:
        return self.deadline.until(self._cluster.members, "etcd's member list")

    def _find(self, address: str) -> Member | None:
        """The member that listens on `address`, whatever it is called."""
        url = f"{self.scheme}://{address}:{self.peer_port}"
        return next((member for member in self._members() if url in member.peer_urls), None)

    @property
    def _old_member(self) -> Member | None:
        """By its address, or by its name where its machine was replaced after discovery."""
        return self._find(self.old.address) or next(
            (member for member in self._members() if member.name == self.old.name), None
        )

    def _own(self) -> Member:
        own = self._find(self._machine.ip)
        if own is None:
            raise Retryable(f"{self.new.name} isn't in etcd's list")
        return own

    def _until(self, attempt: Callable[[], T | None], what: str) -> T:
        def watched() -> T | None:
            self.alive()
            return attempt()

        return self.deadline.until(watched, what)

    def _until_true(self, condition: Callable[[], bool], what: str) -> None:
        def watched() -> bool:
            self.alive()
            return condition()

        self.deadline.until_true(watched, what)

    # Steps

    def _new_machine(self) -> Instance:
        def found() -> Instance | None:
            return machine.running(self.aws, self.new.group)

        return self._until(found, f"a running machine in {self.new.group}")

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
            lambda: preflight(self._cluster, ours=lambda one: self._ours(one, added), log=self.log),
            "etcd to be healthy",
        )
        self.log(f"preflight: {seen}")
        if own is None:
            self.snapshots.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self.snapshots / f"{self.cluster}-before-{self.new.name}-{time.strftime('%Y%m%dT%H%M%S')}.db"
            taken = self._until(lambda: self._cluster.snapshot(path), "a snapshot")
            index = self._until(lambda: self._cluster.status(endpoint(old)).raft_index, "etcd's index")
            self._snapshot = SnapshotTaken(path=str(path), bytes=taken.size, sha256=taken.sha256, raft_index=index)
            self.log(f"snapshot: {taken.size} bytes in {path}, read back, up to raft index {index}")

    def _ours(self, member: Member, added: set[str]) -> bool:
        return member.name == self.new.name or bool(added & set(member.peer_urls))

    def _healthy_without(self, gone: Member) -> list[Member]:
        """The voters besides `gone`, all healthy and one of them leading; else `Retryable`."""
        return healthy_voters(self._cluster, [member for member in self._cluster.members() if member.id != gone.id])

    def _keep_old_from_replacing(self) -> None:
        """Before anything else: the old group must not start a second writer."""
        if machine.suspend_replacement(self.aws, self.old.group):
            self.log(f"{self.old.group}: {', '.join(machine.REPLACING_PROCESSES)} suspended")

    def _learner(self) -> None:
        """Exactly one learner, ours, at this machine's address; a dead one of ours blocks the next and goes first."""
        added = {self._peer_url, *self._ticket_urls()}
        for member in self._members():
            if self._peer_url in member.peer_urls or not self._ours(member, added):
                continue
            if not member.learner:
                raise Permanent(
                    f"{self.new.name} votes at {', '.join(member.peer_urls)}, but its machine is {self._machine.ip}: "
                    f"it was replaced after its promotion; give that voter its new peer URL (etcdctl member update "
                    f"{int(member.id):x} --peer-urls={self._peer_url}), then run the same up again"
                )
            self.log(f"removing the learner {member.id} of a machine that is gone")
            self._until_true(lambda member=member: self._remove(member), "the removal of a dead learner")
        if self._find(self._machine.ip) is None:
            # etcd refuses a change within 5 s of connections coming up ("unhealthy cluster"): that passes.
            added = self._until(lambda: self._cluster.add_learner(self._peer_url), f"{self.new.name} to be added")
            self.log(f"added learner {self.new.name} ({added.id}) at {self._peer_url}")

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
        self._until_true(lambda: bool(self._own().name), f"{self.new.name}'s etcd to start")

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
        self._until_true(
            lambda: verify_api_server(self.kubernetes, self._machine.ip, self.api_port, self.log),
            f"{self.new.name}'s API server",
        )
        known = {target.id for target in self.aws.target_health(self.new_api_group) if target.state != "draining"}
        if self._machine.ip not in known:
            target_groups.register(self.aws, self.new_api_group, self._machine.ip, self.api_port)
            self.log(f"registered {self._machine.ip} with the API's balancer")
        self._until_true(
            lambda: target_groups.healthy(self.aws, self.new_api_group, self._machine.ip),
            f"{self.new.name}'s API server",
        )

    def _leadership(self) -> None:
        """The leader is handed over, never lost: a transfer costs milliseconds, a removed leader an election."""
        old = self._old_member
        if old is None:
            return

        def led_elsewhere() -> bool:
            leader = self._cluster.status(endpoint(self._own())).leader
            if leader != old.id:
                return True
            self._cluster.transfer_leadership(endpoint(old), self._own().id)
            self._leader_changes += 1
            self.log(f"leadership handed to {self.new.name}")
            return False

        self._until_true(led_elsewhere, f"leadership to leave {self.old.name}")

    def _stop_old_api(self) -> None:
        """Balancers first, then the server itself; in-cluster clients lose it from the `kubernetes` endpoints."""
        old_machine = machine.running(self.aws, self.old.group)
        targets = [(self.new_api_group, self.old.address)]
        if old_machine is not None:
            targets += [(group, old_machine.id) for group in self.old_api_groups]
        # Out of all of them first: their deregistration delays, minutes each, pass side by side.
        leaving = [pair for pair in targets if target_groups.deregister(self.aws, *pair, self.alive)]
        for pair in leaving:
            target_groups.drained(self.aws, *pair, self.deadline)
        if old_machine is None:
            return
        if leaving:
            self.log(f"{self.old.name} drained from the API's balancers")
        machine.shell(
            self.aws,
            old_machine.id,
            "systemctl disable --now kube-scheduler kube-controller-manager kube-apiserver",
            self.deadline,
            self.alive,
        )
        self.log(f"{self.old.name}'s API server stopped")
        self._until_true(self._endpoint_lost, f"the kubernetes endpoints to lose {self.old.address}")

    def _endpoint_lost(self) -> bool:
        """Neither its address nor, where servers advertise other addresses than their machines', one too many."""
        slices = self.kubernetes.list(ENDPOINT_SLICES, "default", labels="kubernetes.io/service-name=kubernetes")
        addresses: set[str] = {
            address for item in slices for point in listed(item, "endpoints") for address in point["addresses"]
        }
        old = self._old_member
        serving = [member for member in self._members() if not member.learner and (old is None or member.id != old.id)]
        if self.old.address in addresses or len(addresses) > len(serving):
            raise Retryable(f"still there: {', '.join(sorted(addresses))}")
        return True

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
            self._cluster.remove(old.id, endpoint(self._own()))
            self.log(f"removed {self.old.name} ({old.id}) from etcd")
            return True

        self._until_true(removed, f"{self.old.name} to leave etcd")

    def _end_old_machine(self) -> None:
        old_machine = machine.running(self.aws, self.old.group)
        if old_machine is not None:
            machine.shell(self.aws, old_machine.id, "systemctl disable --now etcd", self.deadline, self.alive)
        machine.scale_to_zero(self.aws, self.old.group, self.deadline, self.alive)
        self.log(f"{self.old.name}'s machine is gone; its volume stays until the clean-up")

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
