"""A member's data volume as AWS has it: found, looked at, handed from one machine to another.

EBS is bound to a zone, not to a VPC. AWS itself refuses a second attachment (VolumeInUse), but for volumes with
multi-attach, which are never moved: two writers on one etcd folder corrupt it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from migration.clients.aws import Aws, described, error_code
from migration.clients.documents import Document, listed
from migration.discover.tags import belongs_to, tags_of
from migration.etcd.returning import CLUSTER_TAG, MEMBER_TAG, RETURN_TAG
from migration.runtime.deadline import Permanent, Retryable

DEVICE = "/dev/xvdf"
"""Where a member's boot looks for its volume, unless it is told another name (`migration/etcd/boot/member.py`)."""
MOVED_TAG = "migration:moved-volume"
"""On a volume that came along with its member: to which machine last. It is nobody's to delete."""
_IN_USE = ("VolumeInUse", "IncorrectState")


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """Where a volume is attached: `state` is attaching, attached, detaching, busy or detached. `device`: as which."""

    instance: str
    state: str
    device: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataVolume:
    """One EBS volume; `attachments` without those that are over."""

    id: str
    zone: str
    state: str
    type: str
    multi_attach: bool
    attachments: tuple[Attachment, ...]
    tags: Mapping[str, str]

    @property
    def holder(self) -> str | None:
        """The instance that it is attached to, or on its way to or from."""
        return self.attachments[0].instance if self.attachments else None

    @property
    def device(self) -> str | None:
        """The name that it is attached by."""
        return self.attachments[0].device if self.attachments else None

    def usable_on(self, instance: str) -> bool:
        """Whether it is attached there and nowhere else, and wholly."""
        there = [(one.instance, one.state) for one in self.attachments]
        return self.state == "in-use" and there == [(instance, "attached")]


def _volume(found: Document) -> DataVolume:
    every = (
        Attachment(instance=one["InstanceId"], state=one["State"], device=one.get("Device"))
        for one in listed(found, "Attachments")
    )
    return DataVolume(
        id=found["VolumeId"],
        zone=found["AvailabilityZone"],
        state=found["State"],
        type=found.get("VolumeType", ""),
        multi_attach=bool(found.get("MultiAttachEnabled")),
        attachments=tuple(one for one in every if one.state != "detached"),
        tags=tags_of(found),
    )


def look(aws: Aws, volume: str) -> DataVolume:
    """The volume as it is now; raises `Permanent` where there is none of that id."""
    try:
        found = list(described(aws.ec2.describe_volumes(VolumeIds=[volume])["Volumes"]))
    except ClientError as error:
        if "NotFound" not in error_code(error):
            raise
        found = []
    if not found:
        raise Permanent(
            f"the volume {volume}, which holds a member's data, doesn't exist any more: its group's note names it; "
            f"restore the member from the snapshot before its swap (docs/runbook.md)"
        )
    return _volume(found[0])


def _search(aws: Aws, **filters: str) -> list[DataVolume]:
    wanted: Any = [{"Name": name, "Values": [value]} for name, value in filters.items()]
    pages = aws.ec2.get_paginator("describe_volumes").paginate(Filters=wanted)
    found = [_volume(volume) for page in pages for volume in described(page["Volumes"])]
    return sorted(found, key=lambda volume: volume.id)


def marked(aws: Aws, cluster: str, member: str) -> list[DataVolume]:
    """Volumes that this program has marked as the member's, and that its boot would take for its own."""
    return _search(aws, **{f"tag:{CLUSTER_TAG}": cluster, f"tag:{MEMBER_TAG}": member})


def moved(aws: Aws, cluster: str) -> list[DataVolume]:
    """Every volume that came along with a member of the cluster."""
    return _search(aws, **{f"tag:{CLUSTER_TAG}": cluster, "tag-key": MOVED_TAG})


def data_volumes(aws: Aws, instance: str, cluster: str) -> list[DataVolume]:
    """Volumes of a machine that outlive it; of several, those of the cluster, and of those etcd's by their tags."""
    answer = described(aws.ec2.describe_instances(InstanceIds=[instance])["Reservations"])
    [machine] = [one for reservation in answer for one in reservation["Instances"]]
    lasting = {
        mapping["Ebs"]["VolumeId"]
        for mapping in listed(machine, "BlockDeviceMappings")
        if not mapping["Ebs"].get("DeleteOnTermination")
    }
    attached = _search(aws, **{"attachment.instance-id": instance})
    return most_likely([one for one in attached if one.id in lasting], cluster)


def most_likely(volumes: Sequence[DataVolume], cluster: str) -> list[DataVolume]:
    """Of several volumes those of the cluster, and of several of those the ones whose tags name etcd."""
    named = [one for one in volumes if belongs_to(one.tags, cluster)] or list(volumes)
    if len(named) > 1:
        named = [one for one in named if any("etcd" in f"{k}={v}".lower() for k, v in one.tags.items())] or named
    return named


def of_member(
    aws: Aws, cluster: str, *, before: str, after: str, instances: Iterable[str], noted: str | None
) -> DataVolume:
    """The one volume with a member's data; raises `Permanent` where it can't be told.

    What a move has noted decides; then what is marked as the member's by its name `before` or `after` (that only where
    it came along: a blank one made for a learner is none); then what is attached to one of `instances`, its machines,
    and outlives it.
    """
    if noted is not None:
        return look(aws, noted)
    found = [*marked(aws, cluster, before), *(one for one in marked(aws, cluster, after) if MOVED_TAG in one.tags)]
    where = f"marked as the member's ({MEMBER_TAG})"
    if not found:
        found = [volume for one in instances for volume in data_volumes(aws, one, cluster)]
        where = "attached to its machine and meant to outlive it"
    if len(found) != 1:
        seen = ", ".join(one.id for one in found) or "none"
        raise Permanent(
            f"the volume with the data of {before} can't be told: {where} is {seen}, and one is wanted. Tag the one "
            f"with etcd's data (for instance Name=etcd.…) as part of the cluster, or set migration:etcd.strategy to "
            f"learner"
        )
    return found[0]


def unfit(volume: DataVolume, zone: str, member: str) -> list[str]:
    """Why a volume can't become a member's in `zone`, as sentences; empty where it can."""
    found: list[str] = []
    if volume.zone != zone:
        found.append(
            f"{volume.id} is in {volume.zone} and the machine of {member} in {zone}: a volume never leaves its zone; "
            f"correct the member's zone in migration:members, or set migration:etcd.strategy to learner"
        )
    if volume.multi_attach:
        found.append(
            f"{volume.id} ({volume.type}) may be attached to several machines at once, so nothing keeps a second "
            f"writer away: turn multi-attach off, or set migration:etcd.strategy to learner"
        )
    return found


def give(
    aws: Aws,
    volume: DataVolume,
    *,
    cluster: str,
    member: str,
    instance: str,
    alive: Callable[[], None],
    image: Mapping[str, str] | None = None,
) -> bool:
    """Mark a volume as the member's and that machine's, whose boot takes it then and no other; False where it is.

    `image` are tags by which the machine's image finds it besides.
    """
    wanted = {**(image or {}), CLUSTER_TAG: cluster, MEMBER_TAG: member, MOVED_TAG: instance}
    changed = False
    # One that was made for a return is deleted at the end with that tag, and this one lives on.
    if RETURN_TAG in volume.tags:
        alive()
        aws.ec2.delete_tags(Resources=[volume.id], Tags=[{"Key": RETURN_TAG}])
        changed = True
    if any(volume.tags.get(key) != value for key, value in wanted.items()):
        alive()
        tags: Any = [{"Key": key, "Value": value} for key, value in wanted.items()]
        aws.ec2.create_tags(Resources=[volume.id], Tags=tags)
        changed = True
    return changed


def attach(aws: Aws, volume: str, instance: str, device: str) -> None:
    """Ask for the attachment by that name.

    Raises `Retryable` where somebody was quicker, `Permanent` for what AWS never takes.
    """
    try:
        aws.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)
    except ClientError as error:
        # The machine's own boot attaches it, too: whoever comes second may hear that the name is taken.
        if error_code(error) in _IN_USE or look(aws, volume).holder == instance:
            raise Retryable(f"{volume} can't be attached yet: {error}") from error
        raise Permanent(
            f"{volume} can't be attached to {instance} at {device}: {error}. It is detached and whole; cure that, then "
            f"run the same up again: until then a member is missing"
        ) from error


def detach(aws: Aws, volume: str, instance: str) -> None:
    """Ask for the end of an attachment to a machine that is gone. One that has ended is no error."""
    try:
        aws.ec2.detach_volume(VolumeId=volume, InstanceId=instance)
    except ClientError as error:
        if error_code(error) not in _IN_USE:
            raise
