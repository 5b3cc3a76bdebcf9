"""Members' machines replaced one at a time by ones of their group's version; etcd's list of members stays as it is.

A member's volume goes from its old machine to its new one, so it comes back under its id with its data, and catches up.
Meanwhile the others vote: of three, two, and one more failure would stop the cluster until it is back. What was begun
stands on the member's group as a tag, so a killed run goes on with that member before any other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from migration import target_groups
from migration.clients.aws import Aws, Instance
from migration.clients.documents import listed
from migration.clients.etcd import Etcd, Member
from migration.clients.kubernetes import Kubernetes
from migration.contracts.members import MemberRollNote, OldMember, RolledMember
from migration.etcd import machine
from migration.etcd.api_handover import ApiHandover
from migration.etcd.api_server import verify_api_server
from migration.etcd.match import Addresses, told
from migration.etcd.preflight import endpoint, healthy_voters, preflight, quorum
from migration.etcd.without import hand_over, others
from migration.layouts.contract import Commands
from migration.runtime.deadline import Deadline, Permanent, Retryable
from migration.workers.hold import suspended
from migration.workers.roll import refuse_other_version, standing

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.type_defs import TagTypeDef

T = TypeVar("T")

NOTE_TAG = "migration:member-roll"
ADDING = "AddToLoadBalancer"


class Reach(Protocol):
    """How etcd is asked through machines, and a snapshot kept on one."""

    def etcd(self, machines: Sequence[Instance]) -> Etcd:
        """A client of the members on these machines, to be closed."""
        ...

    def keep_snapshot(self, on: Instance, endpoint: str, path: str) -> str:
        """A snapshot kept on a machine; what it is, as a sentence."""
        ...


@dataclass(kw_only=True)
class MemberRoller:
    """One roll of a side's members. Target groups are ARNs; `addresses_group` is the one by address. Where API
    `servers` are on other machines, it only says what is due.

    `snapshots` is a folder on the members' volumes: nothing of etcd's data passes through the operator's machine.
    """

    cluster: str
    members: Sequence[RolledMember]
    api_port: int
    instances_group: str
    addresses_group: str
    aws: Aws
    kubernetes: Kubernetes
    reach: Reach
    commands: Commands
    snapshots: str
    deadline: Deadline
    log: Callable[[str], None]
    alive: Callable[[], None]
    servers: Sequence[RolledMember] = ()
    snapshot: str = ""

    def due(self) -> list[RolledMember]:
        """Members whose machine is of another version than their group's, one that was begun with first.

        Raises `Permanent` where a group isn't there, or two were begun with.
        """
        every = [*self.members, *self.servers]
        groups = self.aws.groups([one.group for one in every])
        absent = [one.group for one in every if one.group not in groups]
        if absent:
            raise Permanent(f"Auto Scaling groups {', '.join(absent)} don't exist; run pulumi up first")
        for one in every:
            refuse_other_version(self.aws, groups[one.group], one.template, one.version)
        begun = [one for one in self.members if self._note(one) is not None]
        if len(begun) > 1:
            names = ", ".join(one.group for one in begun)
            raise Permanent(
                f"the groups {names} all say that their member's machine is being replaced (tag {NOTE_TAG}); that is "
                f"never done with two: look at etcd's members, and take the tag off those that vote"
            )
        stale = [one for one in every if one not in begun and standing(self.aws, groups[one.group]).stale]
        return [*begun, *stale]

    def run(self) -> list[str]:
        """Replace what is due, one after the other; the members' names.

        Raises `Permanent` for machines of a control plane whose API servers are apart from etcd, where any is due.
        """
        done, due = list[str](), self.due()
        if self.servers and due:
            raise Permanent(
                f"the machines of {', '.join(one.group for one in due)} are of another version than their groups, and "
                f"a control plane of the layout separate-etcd isn't rolled by this version: take the key back that "
                f"changed their templates; or replace them by hand, one at a time and members of etcd first, each "
                f"drained from the API's balancer or its etcd stopped (docs/control-plane.md)"
            )
        for one in due:
            self._replace(one)
            done.append(one.name)
        return done

    def _replace(self, one: RolledMember) -> None:
        note = self._note(one) or self._begin(one)
        old = self._old(one, note)
        if old is not None and old.state == "running":
            self._leave(one, note, old)
        self._end(one, note)
        new = self._until(lambda: self._new(one, note), f"a new machine in {one.group}")
        self._until(lambda: self._back(one, note, new), f"{one.name} to be back in etcd on {new.ip}")
        self._serve(one, new)
        if note.added:
            self.alive()
            self.aws.autoscaling.resume_processes(AutoScalingGroupName=one.group, ScalingProcesses=[ADDING])
        self.alive()
        self.aws.autoscaling.delete_tags(Tags=[_tag(one.group)])
        self.log(f"{one.name} runs on {new.id} ({new.ip}), all {len(self.members)} vote")

    # Observation

    def _note(self, one: RolledMember) -> MemberRollNote | None:
        for tag in listed(self.aws.groups([one.group]).get(one.group) or {}, "Tags"):
            if tag["Key"] == NOTE_TAG:
                return MemberRollNote.model_validate_json(tag["Value"])
        return None

    def _machines(self) -> list[Instance]:
        found = self.aws.instances_of_groups([one.group for one in self.members])
        return [item for item in found if item.state == "running"]

    def _old(self, one: RolledMember, note: MemberRollNote) -> Instance | None:
        found = self.aws.instances_of_groups([one.group])
        return next((item for item in found if item.id == note.machine), None)

    def _new(self, one: RolledMember, note: MemberRollNote) -> Instance:
        found = self.aws.instances_of_groups([one.group])
        if any(item.id == note.machine for item in found):
            raise Retryable(f"{note.machine} still ends")
        running = [item for item in found if item.state == "running" and item.lifecycle == "InService"]
        if not running:
            raise Retryable("the group has launched none that runs")
        return running[0]

    def _etcd(self, machines: Sequence[Instance]) -> closing[Etcd]:
        if not machines:
            raise Retryable("no member's machine is running")
        return closing(self.reach.etcd(machines))

    # Steps

    def _begin(self, one: RolledMember) -> MemberRollNote:
        """All is well, a snapshot is kept on another member's machine, and the group says what is begun."""
        own = machine.running(self.aws, one.group)
        if own is None:
            raise Permanent(f"{one.group} runs no machine; see why (its activities), and let it be healthy first")
        machines = self._machines()

        def looked() -> str:
            with self._etcd(machines) as etcd:
                # Once each: a member that was replaced a moment ago has begun to measure anew.
                seen = preflight(etcd, ours=lambda _: False, log=self.log, observations=1, upgrading=True)
                self.log(f"preflight: {seen}")
                member = Addresses(machines).at(etcd.members(), own.ip)
                if member is None:
                    raise Permanent(f"no member of etcd is at {own.ip}, the machine of {one.name}")
                rest = others(etcd, member.id)
                keeper = next(item for item in machines if item.id != own.id)
                path = f"{self.snapshots}/before-{one.name}-{time.strftime('%Y%m%dT%H%M%S')}.db"
                kept = self.reach.keep_snapshot(keeper, endpoint(rest[0]), path)
                self.snapshot = f"{kept}, in {path} on {keeper.id}"
                self.log(f"snapshot: {self.snapshot}")
                return member.id

        described = self.aws.groups([one.group])[one.group]
        note = MemberRollNote(
            member=self._until(looked, "etcd to be healthy"), machine=own.id, added=ADDING not in suspended(described)
        )
        self.alive()
        self.aws.autoscaling.create_or_update_tags(Tags=[{**_tag(one.group), "Value": note.model_dump_json()}])
        return note

    def _leave(self, one: RolledMember, note: MemberRollNote, old: Instance) -> None:
        """Leadership, then the API's clients, then the API server, then etcd; at each step the others are enough."""
        machines = [item for item in self._machines() if item.id != old.id]

        def led() -> bool:
            with self._etcd([*machines, old]) as etcd:
                heir = hand_over(etcd, note.member)
                if heir is not None:
                    self.log(f"leadership handed to {heir.name}")
                    raise Retryable("leadership moves")
                return True

        self._until_true(led, f"leadership to leave {one.name}")
        ApiHandover(
            old=OldMember(name=one.name, group=one.group),
            old_address=old.ip,
            new=one.name,
            port=self.api_port,
            old_groups=[self.instances_group],
            new_group=self.addresses_group,
            stop_servers=self.commands.stop_servers,
            aws=self.aws,
            kubernetes=self.kubernetes,
            deadline=self.deadline,
            log=self.log,
            alive=self.alive,
        ).stop_old(old, lambda: len(self.members) - 1)
        # Minutes may have passed, and an election.
        self._until_true(led, f"leadership to leave {one.name}")
        rest = len(self.members) - 1
        self.log(
            f"{one.name} stops: {rest} of {len(self.members)} vote until its new machine is up; "
            f"{rest - quorum(len(self.members))} more may fail meanwhile"
        )
        machine.shell(self.aws, old.id, self.commands.stop_etcd, self.deadline, self.alive)

    def _end(self, one: RolledMember, note: MemberRollNote) -> None:
        """The machine ends once the others are seen to vote without it; its group launches the next."""
        old = self._old(one, note)
        if old is None or old.state not in ("running", "pending", "stopped") or old.lifecycle.startswith("Terminat"):
            return

        def enough() -> bool:
            with self._etcd([item for item in self._machines() if item.id != old.id]) as etcd:
                return bool(others(etcd, note.member))

        self._until_true(enough, "the other members to vote")
        # A listening API server passes a balancer's check before it answers: the next machine is added once it does.
        self.alive()
        self.aws.autoscaling.suspend_processes(AutoScalingGroupName=one.group, ScalingProcesses=[ADDING])
        self.alive()
        if old.lifecycle:
            self.aws.autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=old.id, ShouldDecrementDesiredCapacity=False
            )
        self.log(f"{old.id} ends; {one.group} launches the next, which takes {one.name}'s volume over")

    def _back(self, one: RolledMember, note: MemberRollNote, new: Instance) -> Member:
        """The member under the id it had, at its new machine's address, healthy with all others."""
        machines = self._machines()
        with self._etcd([item for item in machines if item.id != new.id]) as etcd:
            members = etcd.members()
            own = next((member for member in members if member.id == note.member), None)
            if own is None:
                raise Permanent(
                    f"{one.name} ({note.member}) isn't in etcd's list any more: {told(members)}. Somebody removed it; "
                    f"look before going on"
                )
            if new.ip not in Addresses(machines).of(own):
                raise Retryable(f"{one.name} is still listed at {', '.join(own.peer_urls)}")
            healthy_voters(etcd, members)
            return own

    def _serve(self, one: RolledMember, new: Instance) -> None:
        """Its API server is fit, and the balancer sends clients to it."""
        what = f"{one.name}'s API server on {new.ip}"
        self._until_true(lambda: verify_api_server(self.kubernetes, new.ip, self.api_port, self.log), what)
        known = {target.id for target in self.aws.target_health(self.addresses_group) if target.state != "draining"}
        if new.ip not in known:
            self.alive()
            target_groups.register(self.aws, self.addresses_group, new.ip, self.api_port)
        if new.id not in {target.id for target in self.aws.target_health(self.instances_group)}:
            self.alive()
            target_groups.register_instance(self.aws, self.instances_group, new.id, self.api_port)
        self._until_true(lambda: target_groups.healthy(self.aws, self.instances_group, new.id), what)

    def _until(self, attempt: Callable[[], T | None], what: str) -> T:
        return self.deadline.until(attempt, what, alive=self.alive)

    def _until_true(self, condition: Callable[[], bool], what: str) -> None:
        self.deadline.until_true(condition, what, alive=self.alive)


def _tag(group: str) -> TagTypeDef:
    return {"ResourceId": group, "ResourceType": "auto-scaling-group", "Key": NOTE_TAG, "PropagateAtLaunch": False}
