"""Gates of the control plane's members: etcd is whole before a swap, and new when all are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar
from urllib.parse import urlsplit

from migration.clients.etcd import Etcd, Member
from migration.etcd.preflight import healthy_voters
from migration.etcd.preflight import preflight as etcd_preflight
from migration.etcd.reach import reach
from migration.names import member_name
from migration.runtime.context import Context
from migration.runtime.deadline import Permanent, Retryable

Facts = Mapping[str, Any]
T = TypeVar("T")


def address_of(member: Member) -> str:
    """The address in a member's first peer URL."""
    return urlsplit(member.peer_urls[0]).hostname or "" if member.peer_urls else ""


def within(members: Iterable[Member], cidr: str) -> list[Member]:
    """Those of the members whose address lies in a range."""
    network = IPv4Network(cidr)
    return [member for member in members if IPv4Address(address_of(member)) in network]


def ask(facts: Facts, context: Context, question: Callable[[Etcd], T]) -> T:
    """What etcd answers, by whichever way it can be reached (`migration.etcd.reach`)."""
    etcd = facts["etcd"]
    with reach(
        context.clients.aws,
        [group for side in ("old", "new") for group in facts[side]["memberGroups"]],
        access=etcd["access"],
        client_port=etcd["clientPort"],
        certificates=etcd["certificates"],
        deadline=context.deadline,
        alive=context.alive,
    ) as client:
        return question(client)


def preflight(facts: Facts, context: Context) -> str:
    """All voters healthy, no foreign learner, no alarm, short round trips."""
    aws, port = context.clients.aws, facts["etcd"]["peerPort"]
    new = aws.instances_of_groups(facts["new"]["memberGroups"])
    names = {member_name(one["name"], facts["new"]["suffix"]) for one in facts["members"]}
    urls = {f"https://{one.ip}:{port}" for one in new}

    def ours(member: Member) -> bool:
        """A learner of this program's own is what an interrupted swap left, and the swap goes on from there."""
        return member.name in names or bool(urls & set(member.peer_urls))

    def question(etcd: Etcd) -> str:
        return etcd_preflight(etcd, ours=ours, log=context.log)

    return ask(facts, context, question)


def all_new(facts: Facts, context: Context) -> str:
    """As many voters as ever, all healthy, `movedMembers` of them on the new side, and no learner."""
    wanted, moved = len(facts["members"]), int(facts["movedMembers"])

    def question(etcd: Etcd) -> str:
        members = etcd.members()
        learners = [member.name or member.id for member in members if member.learner]
        if learners:
            raise Retryable(f"{', '.join(learners)} is still a learner")
        voters = healthy_voters(etcd, members)
        if len(voters) != wanted:
            raise Retryable(f"etcd has {len(voters)} voters, {wanted} are wanted")
        new = within(voters, facts["new"]["cidr"])
        if len(new) != moved:
            raise Permanent(
                f"{len(new)} of {len(voters)} voters are in side {facts['new']['name']} "
                f"({', '.join(sorted(member.name for member in new))}), {moved} should be"
            )
        return f"{len(voters)} voters healthy, {len(new)} on side {facts['new']['name']}"

    return ask(facts, context, question)
