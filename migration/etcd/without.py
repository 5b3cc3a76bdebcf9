"""A member that is to be away for a while, with its data and its id: the others must be enough, and lead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from migration.clients.aws import Aws
from migration.clients.etcd import Etcd, Member
from migration.contracts.members import MemberPair, SwapNote
from migration.discover.tags import tags_of
from migration.etcd.machine import BACK_TAG, NOTE_TAG
from migration.etcd.match import told
from migration.etcd.preflight import endpoint, healthy_voters, quorum
from migration.runtime.deadline import Permanent, Retryable


def others(etcd: Etcd, gone: str | None) -> list[Member]:
    """The voters besides one, by id: all healthy, and enough to go on.

    Raises `Retryable` while they aren't well, `Permanent` where so few can't be enough.
    """
    members = etcd.members()
    if learners := [member for member in members if member.learner]:
        raise Retryable(f"etcd has a learner: {told(learners)}")
    if len(members) - 1 < quorum(len(members)):
        raise Permanent(
            f"{len(members) - 1} of {len(members)} members would vote without one, and {quorum(len(members))} must: a "
            f"cluster of so few can't lose a member's machine for a moment"
        )
    return healthy_voters(etcd, [member for member in members if member.id != gone])


def hand_over(etcd: Etcd, gone: str, to: Iterable[str] = ()) -> Member | None:
    """Ask the member that goes to hand leadership over, if it leads; to whom. None where another leads already.

    To one of `to` (ids) rather than to any. Raises as `others`.
    """
    rest = others(etcd, gone)
    if etcd.status(endpoint(rest[0])).leader != gone:
        return None
    wanted = set(to)
    heir = min(rest, key=lambda member: member.id not in wanted)
    [own] = [member for member in etcd.members() if member.id == gone]
    etcd.transfer_leadership(endpoint(own), heir.id)
    return heir


def noted(aws: Aws, pairs: Sequence[MemberPair]) -> dict[str, SwapNote]:
    """What moves have noted, by the old member's name: the way back's where both ways have."""
    found: dict[str, SwapNote] = {}
    groups = aws.groups([pair.old.group for pair in pairs])
    for pair in pairs:
        tags = tags_of(groups.get(pair.old.group) or {})
        for key in (NOTE_TAG, BACK_TAG):
            if key in tags:
                found[pair.old.name] = SwapNote.model_validate_json(tags[key])
    return found


def away(aws: Aws, pairs: Sequence[MemberPair], etcd: Etcd, members: Iterable[Member]) -> list[Member]:
    """The one member that is on its way with its volume and doesn't answer; nobody where that is not one.

    Two that are silent are no move but an outage.
    """
    moving = {note.member for note in noted(aws, pairs).values() if note.strategy == "volume"}
    silent = [member for member in members if member.id in moving and not _answers(etcd, member)]
    return silent if len(silent) == 1 else []


def _answers(etcd: Etcd, member: Member) -> bool:
    try:
        return etcd.status(endpoint(member)).id == member.id
    except Retryable:
        return False
