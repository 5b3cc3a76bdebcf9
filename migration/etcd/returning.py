"""The machine of an old member that comes back: its group again, but with a volume and a boot of its own.

Its first volume holds the data of a membership that is over, and its first boot would start etcd with that. So it gets
what a new member gets: a blank volume, and user data that waits for a join ticket, as a new version of the group's own
launch template. All of it is marked with a generation, kept on the group before anything is made.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from migration.clients.aws import Aws, described, error_code
from migration.clients.documents import Document, listed, mapping
from migration.contracts.members import MemberForm, ReturnNote, ReturnPlace, image_tags
from migration.discover.tags import tags_of
from migration.etcd import machine
from migration.etcd.userdata import NEW_VOLUME
from migration.layouts.contract import MemberIdentity, NewMachine
from migration.layouts.registry import layout_of, template_text
from migration.runtime.deadline import Deadline, Permanent

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import TagTypeDef

RETURN_TAG = "migration:returned"
"""On the group: its `ReturnNote`. On a volume: the generation that it was made for."""
MEMBER_TAG, CLUSTER_TAG = "migration:member", "migration:cluster"


def note_of(aws: Aws, group: str) -> ReturnNote | None:
    """What a return has kept on the old member's group; None where there is none, or the group is gone."""
    found = machine.tag_of(aws, group, RETURN_TAG)
    return None if found is None else ReturnNote.model_validate_json(found)


def returned_volumes(aws: Aws, cluster: str) -> list[Document]:
    """Volumes that were made for members of `cluster` that came back, sorted by id."""
    filters: Any = [{"Name": f"tag:{CLUSTER_TAG}", "Values": [cluster]}, {"Name": "tag-key", "Values": [RETURN_TAG]}]
    pages = aws.ec2.get_paginator("describe_volumes").paginate(Filters=filters)
    found = [volume for page in pages for volume in described(page["Volumes"])]
    return sorted(found, key=lambda volume: volume["VolumeId"])


@dataclass(frozen=True, kw_only=True)
class Returning:
    """The return of `identity.member` into `group`. Every step observes first and may be made again."""

    group: str
    identity: MemberIdentity
    form: MemberForm
    place: ReturnPlace
    blank: bool = True
    """Whether it gets a volume of its own; otherwise the member's comes along."""
    aws: Aws
    deadline: Deadline
    log: Callable[[str], None]
    alive: Callable[[], None]

    def prepare(self) -> None:
        """A fresh machine for the member, whatever was there before.

        Nothing of an earlier membership may be left running: a group whose member is in no list ends its machine
        first. Raises `Permanent` where the group is gone, or its template can't be taken over.
        """
        going = machine.note_of(self.aws, self.group)
        note = note_of(self.aws, self.group)
        # One of an earlier return, which has gone since, says nothing of a machine of today.
        if note is None or (going is not None and going.member != note.over):
            machine.described(self.aws, self.group)
            machine.scale_to_zero(self.aws, self.group, self.deadline, self.alive)
            forget(self.aws, self.group, self.identity.cluster, self.identity.member, self.log, self.alive)
            note = self._keep(going.member if going is not None else None)
        if going is not None:
            machine.give_back_replacement(self.aws, self.group, going, self.alive)
        if self.blank:
            self._volume(note)
        self._template(note)
        if machine.scale_to_one(self.aws, self.group, self.alive):
            waits = "that waits for its volume" if self.identity.volume_moves else "that waits to be told"
            what = "with a blank volume" if self.blank else waits
            self.log(f"{self.group} launches a machine {what} for {self.identity.member}")

    def _keep(self, over: str | None) -> ReturnNote:
        version = str(_template(machine.described(self.aws, self.group), self.group).get("Version") or "$Default")
        generation = f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:6]}"
        note = ReturnNote(generation=generation, version=version, over=over)
        self.alive()
        self.aws.autoscaling.create_or_update_tags(
            Tags=[{**machine.group_tag(self.group, RETURN_TAG), "Value": note.model_dump_json()}]
        )
        return note

    def _volume(self, note: ReturnNote) -> None:
        cluster, member = self.identity.cluster, self.identity.member
        _release_volumes(self.aws, cluster, member, self.log, self.alive, but=note.generation)
        image = image_tags(self.place.volume_tags, member)
        _release_image_tags(self.aws, image, member, note.generation, self.log, self.alive)
        if _volumes(self.aws, cluster, member):
            return
        tags = {
            **self.place.tags,
            **image,
            CLUSTER_TAG: self.identity.cluster,
            MEMBER_TAG: self.identity.member,
            NEW_VOLUME: "true",
            RETURN_TAG: note.generation,
        }
        self.alive()
        made = self.aws.ec2.create_volume(
            AvailabilityZone=self.place.zone,
            Size=self.place.volume_size,
            VolumeType=self.place.volume_type,  # type: ignore[arg-type]
            Encrypted=True,
            ClientToken=f"{note.generation}-{self.identity.member}"[:64],
            TagSpecifications=[{"ResourceType": "volume", "Tags": _tag_list(tags)}],
        )
        self.log(f"made the blank volume {made['VolumeId']} for {self.identity.member}")

    def _template(self, note: ReturnNote) -> None:
        found = _template(machine.described(self.aws, self.group), self.group)
        template: str = found["LaunchTemplateId"]
        version = _made(self.aws, template, note) or self._version(template, note)
        if str(found.get("Version")) != version:
            self.alive()
            self.aws.autoscaling.update_auto_scaling_group(
                AutoScalingGroupName=self.group,
                LaunchTemplate={"LaunchTemplateId": template, "Version": version},
            )

    def _version(self, template: str, note: ReturnNote) -> str:
        """The group's own version with a new member's user data; its number."""
        before = next(iter(_versions(self.aws, template, [note.version])), None)
        data = mapping(before or {}, "LaunchTemplateData")
        if before is None:
            raise Permanent(
                f"version {note.version} of {self.group}'s launch template is gone: there is nothing to make a "
                f"returning member's machine from"
            )
        machine_wanted = NewMachine(
            original=data.get("UserData"),
            identity=self.identity,
            units=self.form.units,
            pki=self.form.pki,
            template=template_text(self.form.user_data_file),
        )
        # Its volume may be attached only to a machine that carries the cluster's tag (`components.access`).
        others = [one for one in listed(data, "TagSpecifications") if one.get("ResourceType") != "instance"]
        own = [one for one in listed(data, "TagSpecifications") if one.get("ResourceType") == "instance"]
        tags = {key: value for one in own for key, value in tags_of(one).items()}
        instance = {
            "ResourceType": "instance",
            "Tags": _tag_list({**tags, CLUSTER_TAG: self.identity.cluster}),
        }
        changed: Any = {
            "UserData": layout_of(self.form.layout).user_data(machine_wanted),
            "TagSpecifications": [*others, instance],
        }
        self.alive()
        made = self.aws.ec2.create_launch_template_version(
            LaunchTemplateId=template,
            SourceVersion=str(before["VersionNumber"]),
            VersionDescription=_description(note),
            LaunchTemplateData=changed,
        )
        return str(mapping(made, "LaunchTemplateVersion")["VersionNumber"])


def forget(
    aws: Aws, group: str, cluster: str, member: str, log: Callable[[str], None], alive: Callable[[], None]
) -> None:
    """The group's own template version again, and no volume that a later machine would take for its own.

    The volume itself stays until the clean-up. Only for a group without a machine; nothing where none returned.
    """
    note = note_of(aws, group)
    if note is None:
        return
    _release_volumes(aws, cluster, member, log, alive)
    found = _template(machine.described(aws, group), group)
    template: str = found["LaunchTemplateId"]
    made = _made(aws, template, note)
    if str(found.get("Version") or "$Default") != note.version:
        alive()
        aws.autoscaling.update_auto_scaling_group(
            AutoScalingGroupName=group, LaunchTemplate={"LaunchTemplateId": template, "Version": note.version}
        )
    if made is not None:
        alive()
        answer = aws.ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=[made])
        if listed(answer, "UnsuccessfullyDeletedLaunchTemplateVersions"):
            log(f"version {made} of {template} stays: somebody has made it the default; it launches nothing here")
    alive()
    aws.autoscaling.delete_tags(Tags=[machine.group_tag(group, RETURN_TAG)])


def _volumes(aws: Aws, cluster: str, member: str) -> list[Document]:
    """Those that the member's boot would take for its own."""
    return [one for one in returned_volumes(aws, cluster) if tags_of(one).get(MEMBER_TAG) == member]


def _release_volumes(
    aws: Aws,
    cluster: str,
    member: str,
    log: Callable[[str], None],
    alive: Callable[[], None],
    but: str | None = None,
) -> None:
    for volume in _volumes(aws, cluster, member):
        if tags_of(volume)[RETURN_TAG] != but:
            alive()
            aws.ec2.delete_tags(Resources=[volume["VolumeId"]], Tags=[{"Key": MEMBER_TAG}])
            log(f"volume {volume['VolumeId']} is no member's any more; it stays until the clean-up")


def _release_image_tags(
    aws: Aws,
    image: Mapping[str, str],
    member: str,
    generation: str,
    log: Callable[[str], None],
    alive: Callable[[], None],
) -> None:
    """Volumes of memberships that are over are found by no image of that member any more: it would take either."""
    naming = [key for key, value in image.items() if value == member]
    if not naming:
        return
    filters: Any = [{"Name": f"tag:{key}", "Values": [value]} for key, value in image.items()]
    pages = aws.ec2.get_paginator("describe_volumes").paginate(Filters=filters)
    for volume in (one for page in pages for one in described(page["Volumes"])):
        tags = tags_of(volume)
        if tags.get(RETURN_TAG) == generation or any(tags.get(key) != value for key, value in image.items()):
            continue
        alive()
        aws.ec2.delete_tags(Resources=[volume["VolumeId"]], Tags=[{"Key": key} for key in naming])
        log(f"volume {volume['VolumeId']}, of a membership that is over, isn't found as {member}'s any more")


def _made(aws: Aws, template: str, note: ReturnNote) -> str | None:
    """The number of the version that a return made, if it did."""
    mine = [one for one in _versions(aws, template) if one.get("VersionDescription") == _description(note)]
    return str(mine[-1]["VersionNumber"]) if mine else None


def _versions(aws: Aws, template: str, wanted: list[str] | None = None) -> list[Document]:
    asked: Any = {"LaunchTemplateId": template, **({"Versions": wanted} if wanted else {})}
    pages = aws.ec2.get_paginator("describe_launch_template_versions").paginate(**asked)
    found = [version for page in pages for version in described(page["LaunchTemplateVersions"])]
    return sorted(found, key=lambda version: int(version["VersionNumber"]))


def delete_returned_volumes(aws: Aws, cluster: str, alive: Callable[[], None]) -> list[str]:
    """Delete what earlier returns left; the ids. Raises `Permanent` for one that a machine still has."""
    found = returned_volumes(aws, cluster)
    attached = [volume["VolumeId"] for volume in found if listed(volume, "Attachments")]
    if attached:
        raise Permanent(
            f"{', '.join(attached)} were made for members that came back to the old side and are still attached: "
            f"a member runs there; look before anything is deleted"
        )
    for volume in found:
        alive()
        try:
            aws.ec2.delete_volume(VolumeId=volume["VolumeId"])
        except ClientError as error:
            if "NotFound" not in error_code(error):
                raise
    return [volume["VolumeId"] for volume in found]


def _description(note: ReturnNote) -> str:
    return f"migration: returning member, {note.generation}"


def _template(group: Document, name: str) -> Document:
    found = mapping(group, "LaunchTemplate")
    if not found.get("LaunchTemplateId"):
        raise Permanent(
            f"Auto Scaling group {name} launches from no launch template of its own (a mixed policy or a launch "
            f"configuration): a member can't come back into it; give it a launch template and run the same up again"
        )
    return found


def _tag_list(tags: dict[str, str]) -> list[TagTypeDef]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
