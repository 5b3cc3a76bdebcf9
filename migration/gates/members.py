"""Gates of the control plane's members: etcd is whole before a swap, and new when all are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar
from urllib.parse import urlsplit

from migration.clients.etcd import Etcd, Member
from migration.contracts.gates import EtcdPreflight, MembersAllNew
from migration.etcd.preflight import healthy_voters
from migration.etcd.preflight import preflight as etcd_preflight
from migration.etcd.reach import reach
from migration.gates.live import Live
from migration.runtime.deadline import Permanent, Retryable

T = TypeVar("T")


def address_of(member: Member) -> str:
    """The address in a member's first peer URL."""
    return urlsplit(member.peer_urls[0]).hostname or "" if member.peer_urls else ""


def within(members: Iterable[Member], cidr: str) -> list[Member]:
    """Those of the members whose address lies in a range."""
    network = IPv4Network(cidr)
    return [member for member in members if IPv4Address(address_of(member)) in network]


def ask(q: EtcdPreflight | MembersAllNew, live: Live, question: Callable[[Etcd], T]) -> T:
    """What etcd answers, by whichever way it can be reached (`migration.etcd.reach`)."""
    with reach(
        live.aws,
        [*q.old_groups, *q.new_groups],
        access=q.etcd.access,
        client_port=q.etcd.client_port,
        certificates=q.etcd.certificates,
        deadline=live.context.deadline,
        alive=live.context.alive,
    ) as client:
        return question(client)


def preflight(q: EtcdPreflight, live: Live) -> str:
    """All voters healthy, no foreign learner, no alarm, short round trips."""
    new = live.aws.instances_of_groups(q.new_groups)
    urls = {f"https://{one.ip}:{q.etcd.peer_port}" for one in new}

    def ours(member: Member) -> bool:
        """A learner of this program's own is what an interrupted swap left, and the swap goes on from there."""
        return member.name in q.new_names or bool(urls & set(member.peer_urls))

    def question(etcd: Etcd) -> str:
        return etcd_preflight(etcd, ours=ours, log=live.context.log)

    return ask(q, live, question)


def all_new(q: MembersAllNew, live: Live) -> str:
    """As many voters as ever, all healthy, `moved` of them on the new side, and no learner."""
    wanted, moved = len(q.old_groups), q.moved

    def question(etcd: Etcd) -> str:
        members = etcd.members()
        learners = [member.name or member.id for member in members if member.learner]
        if learners:
            raise Retryable(f"{', '.join(learners)} is still a learner")
        voters = healthy_voters(etcd, members)
        if len(voters) != wanted:
            raise Retryable(f"etcd has {len(voters)} voters, {wanted} are wanted")
        new = within(voters, q.new.cidr)
        if len(new) != moved:
            raise Permanent(
                f"{len(new)} of {len(voters)} voters are in side {q.new.name} "
                f"({', '.join(sorted(member.name for member in new))}), {moved} should be"
            )
        return f"{len(voters)} voters healthy, {len(new)} on side {q.new.name}"

    return ask(q, live, question)


def voters_on_new_side(q: MembersAllNew, live: Live) -> int:
    """How many voters of etcd are on the new side. Raises `Permanent` when etcd can't be asked."""

    def question(etcd: Etcd) -> int:
        return len(within([one for one in etcd.members() if not one.learner], q.new.cidr))

    try:
        return ask(q, live, question)
    except Retryable as reason:
        raise Permanent(f"how many members have moved can't be told, so going back isn't safe: {reason}") from reason
