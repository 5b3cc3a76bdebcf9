"""Has a machine room for one more attachment? By what AWS says of its type, or else by the smallest common limit.

Most Nitro types share 28 attachments among volumes, network interfaces and instance store disks; some have a limit for
volumes alone, and Xen types one that Linux sets. DescribeInstanceTypes says which and how many (`EbsInfo`).
https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-limits (was: AWSEC2/latest/UserGuide/volume_limits.html)
"""

from __future__ import annotations

from dataclasses import dataclass

from botocore.exceptions import ClientError

from migration.clients.aws import Aws, described
from migration.clients.documents import Document, listed, mapping

SMALLEST = 28
"""What types share that AWS says nothing of: it is taken for those, and said."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """How many attachments an instance type takes: of volumes alone, or (`shared`) of everything together.

    `disks` are its instance store disks. `known`: whether AWS says so.
    """

    limit: int
    shared: bool
    disks: int
    known: bool

    def taken(self, volumes: int, interfaces: int) -> int:
        """How many of them a machine with so many volumes and interfaces takes."""
        return volumes + (interfaces + self.disks if self.shared else 0)


def room_of(aws: Aws, kind: str) -> Room:
    """The room that machines of an instance type have."""
    try:
        found = list(described(aws.ec2.describe_instance_types(InstanceTypes=[kind])["InstanceTypes"]))  # type: ignore[list-item]
    except ClientError:
        found = []
    told: Document = found[0] if found else {}
    disks = sum(int(one.get("Count", 1)) for one in listed(mapping(told, "InstanceStorageInfo"), "Disks"))
    ebs = mapping(told, "EbsInfo")
    limit = ebs.get("MaximumEbsAttachments")
    if limit is None:
        return Room(limit=SMALLEST, shared=True, disks=disks, known=False)
    return Room(limit=int(limit), shared=ebs.get("AttachmentLimitType") != "dedicated", disks=disks, known=True)


def lacking(room: Room, kind: str, *, volumes: int, interfaces: int) -> str | None:
    """A sentence where a machine of that type can't take so many volumes and interfaces; None where it can.

    `volumes` counts the one that is to come.
    """
    taken = room.taken(volumes, interfaces)
    if taken <= room.limit:
        return None
    what = f"{volumes} volumes" + (f", {interfaces} interfaces and {room.disks} own disks" if room.shared else "")
    how = "" if room.known else f" ({unknown(kind)})"
    return f"{kind} takes {room.limit} attachments, and {what} would be {taken}{how}"


def unknown(kind: str) -> str:
    """What is said of a type that AWS doesn't tell the limit of."""
    return f"how many attachments {kind} takes AWS doesn't say; reckoned with {SMALLEST}, which most types share"


def counted(aws: Aws, instance: str) -> tuple[int, int]:
    """Volumes and network interfaces that a machine has now."""
    answer = described(aws.ec2.describe_instances(InstanceIds=[instance])["Reservations"])
    [machine] = [one for reservation in answer for one in reservation["Instances"]]
    return len(listed(machine, "BlockDeviceMappings")), max(1, len(listed(machine, "NetworkInterfaces")))
