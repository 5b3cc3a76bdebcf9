"""Gates of the control plane's members: etcd is whole before a swap, and new when all are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from migration.clients.etcd import Etcd, Member
from migration.contracts.gates import EtcdPreflight, EtcdQuestion, MembersAllNew, MembersAllOld
from migration.etcd.match import Addresses, seats, told
from migration.etcd.preflight import healthy_voters
from migration.etcd.preflight import preflight as etcd_preflight
from migration.etcd.reach import reach
from migration.etcd.without import away, noted
from migration.gates.live import Live
from migration.runtime.deadline import Permanent, Retryable

T = TypeVar("T")


def within(members: Iterable[Member], cidr: str, addresses: Addresses) -> list[Member]:
    """Those of the members whose addresses lie in a range; `Retryable` for one whose address can't be told."""
    network = IPv4Network(cidr)
    return [member for member in members if all(IPv4Address(ip) in network for ip in addresses.side(member))]


def addresses_of(q: EtcdQuestion, live: Live) -> Addresses:
    """What tells the addresses of members whose peer URLs name hosts."""
    return Addresses(live.aws.instances_of_groups([*q.old_groups, *q.new_groups]))


def ask(q: EtcdQuestion, live: Live, question: Callable[[Etcd], T]) -> T:
    """What etcd answers, by whichever way it can be reached (`migration.etcd.reach`)."""
    with reach(
        live.aws,
        [*q.old_groups, *q.new_groups],
        access=q.etcd.access,
        client_port=q.etcd.client_port,
        certificates=q.etcd.certificates,
        on_machine=q.etcd.on_machine,
        deadline=live.context.deadline,
        alive=live.context.alive,
    ) as client:
        return question(client)


def preflight(q: EtcdPreflight, live: Live) -> str:
    """Every member is one entry of etcd's list; all voters healthy, of a safe version, near each other; no alarm."""
    machines = live.aws.instances_of_groups([*q.old_groups, *q.new_groups])
    here = {one.ip for one in machines}
    names = {name for pair in q.members for name in (pair.old.name, pair.new.name)}
    addresses = Addresses(machines)
    ids = {name: note.member for name, note in noted(live.aws, q.members).items() if note.strategy == "volume"}

    def ours(member: Member) -> bool:
        """A learner of this program's own is what an interrupted swap left, and the swap goes on from there."""
        return member.name in names or bool(here & addresses.of(member))

    def question(etcd: Etcd) -> str:
        members = etcd.members()
        found = seats(q.members, members, machines, ids)
        # One that is on its way with its volume was looked at before: its own move goes on from where it is.
        silent = away(live.aws, q.members, etcd, members)
        seen = etcd_preflight(
            etcd,
            ours=ours,
            log=live.context.log,
            round_trips=live.round_trips,
            away=[one.id for one in silent],
        )
        if silent:
            seen += f", without {told(silent)}, which is on its way with its volume"
        return f"{seen}; {', '.join(told(entry for entry in (s.old, s.new) if entry is not None) for s in found)}"

    return ask(q, live, question)


def all_new(q: MembersAllNew, live: Live) -> str:
    """As many voters as ever, all healthy, `moved` of them on the new side, and no learner."""
    return _placed(q, live, q.moved)


def all_old(q: MembersAllOld, live: Live) -> str:
    """As many voters as ever, all healthy, none of them on the new side, and no learner."""
    return _placed(q, live, 0)


def _placed(q: MembersAllNew | MembersAllOld, live: Live, moved: int) -> str:
    wanted = len(q.old_groups)
    addresses = addresses_of(q, live)

    def question(etcd: Etcd) -> str:
        members = etcd.members()
        learners = [member.name or member.id for member in members if member.learner]
        if learners:
            raise Retryable(f"{', '.join(learners)} is still a learner")
        voters = healthy_voters(etcd, members)
        if len(voters) != wanted:
            raise Retryable(f"etcd has {len(voters)} voters, {wanted} are wanted")
        new = within(voters, q.new.cidr, addresses)
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
        return len(within([one for one in etcd.members() if not one.learner], q.new.cidr, addresses_of(q, live)))

    try:
        return ask(q, live, question)
    except Retryable as reason:
        raise Permanent(f"how many members have moved can't be told, so going back isn't safe: {reason}") from reason
