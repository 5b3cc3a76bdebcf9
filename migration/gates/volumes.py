"""Gate of members' volumes: can each come along with its member (`migration.etcd.volume_swap`)?"""

from __future__ import annotations

from migration.clients.aws import Instance
from migration.contracts.gates import MemberPlace, MemberVolumes
from migration.etcd import room, volumes
from migration.etcd.preflight import quorum
from migration.etcd.volumes import MOVED_TAG, DataVolume
from migration.etcd.without import noted
from migration.gates.live import Live
from migration.runtime.deadline import Permanent, Refused


def can_move(q: MemberVolumes, live: Live) -> str:
    """Every volume is told, where it shall be, and has room; refusals all at once."""
    found = _copied(q, live) if q.strategy == "learner" else _moving(q, live)
    if found:
        raise Refused(found)
    if q.strategy == "learner":
        return "no volume moves: each new member gets one of its own"
    total = len(q.members)
    return (
        f"each of {total} members moves with its volume; meanwhile {total - 1} of {total} vote, and "
        f"{total - 1 - quorum(total)} more may fail"
    )


def _copied(q: MemberVolumes, live: Live) -> list[str]:
    """A side whose volumes have moved declares none: a learner's way off it would leave them behind, undeleted."""
    if not q.made:
        return []
    names = {one.pair.old.name for one in q.members}
    came = [one.id for one in volumes.moved(live.aws, live.cluster) if one.tags.get("migration:member") in names]
    return [_another("learner", ", ".join(came), "came along with its members")] if came else []


def _another(strategy: str, which: str, how: str) -> str:
    other = "volume" if strategy == "learner" else "learner"
    return (
        f"migration:etcd.strategy is {strategy!r}, but {which} of the old side {how}, and the stack would "
        f"{'make others beside them' if strategy == 'learner' else 'delete what moves'}: set it to {other}"
    )


def _moving(q: MemberVolumes, live: Live) -> list[str]:
    aws, found = live.aws, list[str]()
    notes = noted(aws, [one.pair for one in q.members])
    groups = [group for one in q.members for group in (one.pair.old.group, one.pair.new.group)]
    machines = [one for one in aws.instances_of_groups(groups) if one.state == "running"]
    for one in q.members:
        note = notes.get(one.pair.old.name)
        here = next((item for item in machines if item.group == one.pair.old.group), None)
        try:
            volume = volumes.of_member(
                aws,
                live.cluster,
                before=one.pair.old.name,
                after=one.pair.new.name,
                instances=[here.id] if here else [],
                noted=note.volume if note else None,
            )
        except Permanent as refusal:
            found.append(str(refusal))
            continue
        found += _unfit(q, one, volume)
        if here is not None:
            found += _crowded(one, here, live)
    return found


def _unfit(q: MemberVolumes, one: MemberPlace, volume: DataVolume) -> list[str]:
    found = volumes.unfit(volume, one.zone, one.pair.new.name)
    if q.made and MOVED_TAG not in volume.tags:
        found.append(_another("volume", volume.id, "was made by this program"))
    if volume.id in q.retire:
        found.append(
            f"{volume.id} stands in migration:retire, but it holds the data of {one.pair.old.name} and moves to the "
            f"new side with it: take it out of migration:retire"
        )
    return found


def _crowded(one: MemberPlace, here: Instance, live: Live) -> list[str]:
    """By what its old machine has, which the new one is a copy of: its volumes, this one too, and its interfaces."""
    kind = one.instance_type or here.type
    space = room.room_of(live.aws, kind)
    if not space.known:
        live.context.log(f"warning: {room.unknown(kind)}")
    attached, interfaces = room.counted(live.aws, here.id)
    lacking = room.lacking(space, kind, volumes=attached + one.more_disks, interfaces=interfaces)
    where = f"migration:sides.*.members.each.{one.pair.old.name}"
    return [f"{one.pair.new.name}: {lacking}; say another type or fewer disks in {where}"] if lacking else []
