"""The AWS helpers, against the lab's AWS in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lab.addresses import LabAddresses
from lab.aws.server import LabAws
from lab.aws.world import WORLD
from lab.settings import LabSettings
from migration.clients.aws import Aws, batches
from migration.runtime.deadline import Deadline


@pytest.fixture(scope="module")
def server() -> Iterator[LabAws]:
    running = LabAws().start()
    yield running
    running.stop()


@pytest.fixture
def aws(server: LabAws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    WORLD.reset(LabSettings())
    for key, value in LabAddresses().aws_environment().items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    return Aws(region="eu-central-1")


def make_group(aws: Any, name: str, size: int) -> None:
    image = "ami-12c6146b"  # one that moto knows; listing them takes seconds
    template = aws.ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": image, "InstanceType": "t3.small"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    subnet = aws.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    aws.autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        MinSize=0,
        MaxSize=size,
        DesiredCapacity=size,
        VPCZoneIdentifier=subnet,
        LaunchTemplate={"LaunchTemplateId": template, "Version": "$Latest"},
    )

    def launched() -> bool:
        inside = [item.lifecycle for item in aws.instances_of_groups([name])]
        return inside == ["InService"] * size

    Deadline(30).until_true(launched, f"{size} instances of {name}", pause=0.05)


def test_instances_are_told_by_group_with_where_they_are(aws: Aws) -> None:
    make_group(aws, "a", 2)
    make_group(aws, "b", 1)
    found = aws.instances_of_groups(["a", "b", "unknown"])
    assert [instance.group for instance in found] == ["a", "a", "b"]
    first = found[0]
    assert (first.state, first.lifecycle, first.type) == ("running", "InService", "t3.small")
    assert first.id.startswith("i-")
    assert first.ip and first.zone and first.vpc.startswith("vpc-")


def test_terminated_instances_are_left_out_unless_asked_for(aws: Aws) -> None:
    make_group(aws, "a", 1)
    gone = aws.instances_of_groups(["a"])[0].id
    aws.ec2.terminate_instances(InstanceIds=[gone])
    assert gone not in [instance.id for instance in aws.instances_of_groups(["a"])]
    assert gone in [instance.id for instance in aws.instances_of_groups(["a"], terminated=True)]


def test_groups_beyond_one_calls_worth_are_all_described(aws: Aws) -> None:
    names = [f"g{number}" for number in range(55)]
    make_group(aws, "g54", 0)
    make_group(aws, "g0", 0)
    assert sorted(aws.groups(names)) == ["g0", "g54"]


def test_targets_come_with_their_health(aws: Aws) -> None:
    make_group(aws, "a", 1)
    instance = aws.instances_of_groups(["a"])[0]
    [made] = aws.elbv2.create_target_group(Name="t", Protocol="TCP", Port=80, VpcId=instance.vpc)["TargetGroups"]
    arn = made.get("TargetGroupArn", "")
    aws.elbv2.register_targets(TargetGroupArn=arn, Targets=[{"Id": instance.id}])
    assert [(target.id, target.port) for target in aws.target_health(arn)] == [(instance.id, 80)]
    assert [group["TargetGroupName"] for group in aws.target_groups([arn])] == ["t"]
    assert aws.target_groups([]) == []


def test_clients_are_made_once(aws: Aws) -> None:
    assert aws.ec2 is aws.ec2


def test_batches_keep_order_and_lose_nothing() -> None:
    assert list(batches("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
