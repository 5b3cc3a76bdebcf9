"""A returning member's volume and template version, on AWS in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from moto.autoscaling.models import FakeAutoScalingGroup

from migration.clients.aws import Aws
from migration.contracts.members import MemberForm, ReturnPlace, SwapNote
from migration.etcd import machine
from migration.etcd.returning import RETURN_TAG, Returning, forget, note_of, returned_volumes
from migration.etcd.userdata import MemberIdentity
from migration.runtime.deadline import Deadline, Permanent
from tests.unit.etcd.test_userdata import original

GROUP = "master-a.pet"
IDENTITY = MemberIdentity(
    cluster="pet",
    member="master-a",
    region="eu-central-1",
    ticket_parameter="/pet/members/master-a/ticket",
    api_port=6443,
    client_port=2379,
    peer_port=2380,
)


@dataclass
class Place:
    """AWS with one old group at zero, which launches version 1 of its template by `$Latest`."""

    aws: Aws
    template: str

    def returning(self) -> Returning:
        return Returning(
            group=GROUP,
            identity=IDENTITY,
            form=MemberForm(),
            place=ReturnPlace(
                zone="eu-central-1a", volume_size=20, volume_type="gp3", api_names=(), tags={"Owner": "platform"}
            ),
            aws=self.aws,
            deadline=Deadline(5),
            log=lambda _: None,
            alive=lambda: None,
        )

    def forget(self) -> None:
        forget(self.aws, GROUP, "pet", "master-a", lambda _: None, lambda: None)

    def group(self) -> dict[str, Any]:
        return dict(self.aws.groups([GROUP])[GROUP])

    def versions(self) -> list[Any]:
        found = self.aws.ec2.describe_launch_template_versions(LaunchTemplateId=self.template)
        return sorted(found["LaunchTemplateVersions"], key=lambda one: one.get("VersionNumber", 0))


@pytest.fixture
def place(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Place:
    # moto can't launch from a version that was made later: it forgets that its user data is base64.
    monkeypatch.setattr(FakeAutoScalingGroup, "replace_autoscaling_group_instances", lambda *_: None)
    images = aws.ec2.describe_images()["Images"]
    vpc = aws.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"].get("VpcId", "")
    subnet = aws.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", AvailabilityZone="eu-central-1a")
    made = aws.ec2.create_launch_template(
        LaunchTemplateName="master-a",
        LaunchTemplateData={
            "ImageId": images[0].get("ImageId", ""),
            "InstanceType": "m5.large",
            "UserData": original(),
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Owner", "Value": "platform"}]}],
        },
    )
    template = made["LaunchTemplate"].get("LaunchTemplateId", "")
    aws.autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=GROUP,
        MinSize=0,
        MaxSize=0,
        LaunchTemplate={"LaunchTemplateId": template, "Version": "$Latest"},
        VPCZoneIdentifier=subnet["Subnet"].get("SubnetId", ""),
    )
    return Place(aws=aws, template=template)


def test_a_group_launches_its_own_template_with_another_boot_and_a_blank_volume_waits(place: Place) -> None:
    place.returning().prepare()
    group, versions = place.group(), place.versions()
    assert (group["MinSize"], group["MaxSize"], group["DesiredCapacity"]) == (1, 1, 1)
    assert group["LaunchTemplate"]["Version"] == "2"
    assert len(versions) == 2
    assert versions[1]["LaunchTemplateData"]["UserData"] != versions[0]["LaunchTemplateData"]["UserData"]
    [tagged] = versions[1]["LaunchTemplateData"]["TagSpecifications"]
    assert {tag["Key"]: tag["Value"] for tag in tagged["Tags"]} == {"Owner": "platform", "migration:cluster": "pet"}
    [volume] = returned_volumes(place.aws, "pet")
    assert (volume["AvailabilityZone"], volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (
        "eu-central-1a",
        20,
        "gp3",
        True,
    )
    note = note_of(place.aws, GROUP)
    assert note is not None
    assert {tag["Key"]: tag["Value"] for tag in volume["Tags"]} == {
        "Owner": "platform",
        "migration:cluster": "pet",
        "migration:member": "master-a",
        "migration:new-volume": "true",
        RETURN_TAG: note.generation,
    }
    assert note.version == "$Latest"
    # And again changes nothing.
    place.returning().prepare()
    assert (note_of(place.aws, GROUP), len(place.versions())) == (note, 2)
    assert len(returned_volumes(place.aws, "pet")) == 1


def test_its_note_fits_into_a_groups_tag(place: Place) -> None:
    note = SwapNote(member="18446744073709551615", suspended=(), address="10.100.200.250")
    machine.suspend_replacement(place.aws, GROUP, note, lambda: None, machine.Kept(group=GROUP))
    place.returning().prepare()
    tags = {tag["Key"]: tag["Value"] for tag in place.group()["Tags"]}
    # CreateOrUpdateTags takes values of 256 characters.
    assert set(tags) == {RETURN_TAG}
    assert len(tags[RETURN_TAG]) <= 256
    every = SwapNote(member="18446744073709551615", suspended=machine.REPLACING_PROCESSES, address="10.100.200.250")
    every = every.model_copy(update={"strategy": "volume", "volume": "vol-0123456789abcdef0"})
    assert len(every.model_dump_json()) <= 256


def test_forgotten_the_group_has_its_own_version_and_no_volume_is_the_members(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[Any] = []

    def delete(**asked: Any) -> dict[str, Any]:
        # moto doesn't know this call; the lab's AWS does.
        deleted.append(asked)
        return {}

    monkeypatch.setattr(place.aws.ec2, "delete_launch_template_versions", delete)
    place.returning().prepare()
    machine.scale_to_zero(place.aws, GROUP, Deadline(5), lambda: None)
    place.forget()
    assert place.group()["LaunchTemplate"]["Version"] == "$Latest"
    assert deleted == [{"LaunchTemplateId": place.template, "Versions": ["2"]}]
    [volume] = returned_volumes(place.aws, "pet")
    assert "migration:member" not in {tag["Key"] for tag in volume["Tags"]}
    assert note_of(place.aws, GROUP) is None
    place.forget()
    assert len(deleted) == 1

    place.returning().prepare()
    assert len(returned_volumes(place.aws, "pet")) == 2


def test_a_group_without_a_template_or_none_at_all_is_refused_before_anything_is_made(place: Place) -> None:
    place.aws.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP)
    with pytest.raises(Permanent, match=f"Auto Scaling group {GROUP} doesn't exist"):
        place.returning().prepare()
    assert returned_volumes(place.aws, "pet") == []
