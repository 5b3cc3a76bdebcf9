"""A side in Terraform's words: written from what AWS has, with references, without secrets, and nobody else's."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from migration.clients.aws import Aws
from migration.handover.hcl import Block, Expression, quoted, written
from migration.handover.objects import Thing, terraform, text
from migration.runtime.deadline import Permanent
from tests import made_up
from tests.samples import configuration, settings

OURS = {"migration:cluster": "pet", "migration:side": "main"}


@pytest.fixture
def made(aws: Aws) -> str:
    """A VPC with a subnet, a group of rules, a template, a group of machines, and the names, in an AWS in memory."""
    tags = [{"Key": key, "Value": value} for key, value in OURS.items()]

    def spec(kind: str, name: str) -> list[dict[str, object]]:
        return [{"ResourceType": kind, "Tags": [*tags, {"Key": "Name", "Value": name}]}]

    ec2, scaling, route53 = aws.ec2, aws.autoscaling, aws.route53
    vpc = str(ec2.create_vpc(CidrBlock="10.1.0.0/16", TagSpecifications=spec("vpc", "pet-vpc"))["Vpc"].get("VpcId"))  # type: ignore[arg-type]
    ec2.create_vpc(CidrBlock="10.9.0.0/16")
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/20", TagSpecifications=spec("subnet", "pet a"))["Subnet"]  # type: ignore[arg-type]
    nodes = ec2.create_security_group(
        GroupName="nodes-main",
        Description="nodes",
        VpcId=vpc,
        TagSpecifications=spec("security-group", "nodes"),  # type: ignore[arg-type]
    )["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=nodes,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.50.0.0/16"}]}],
    )
    template = ec2.create_launch_template(
        LaunchTemplateName="nodes-m5-a.pet-main",
        LaunchTemplateData={
            "ImageId": "ami-12345678",
            "InstanceType": "m5.large",
            "SecurityGroupIds": [nodes],
            "UserData": base64.b64encode(b"the-join-token").decode(),
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 50, "VolumeType": "gp3"}}],
        },
    )["LaunchTemplate"]
    ec2.create_tags(Resources=[str(template.get("LaunchTemplateId"))], Tags=tags)  # type: ignore[arg-type]
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="nodes-m5-a.pet-main",
        MinSize=0,
        MaxSize=3,
        DesiredCapacity=0,
        VPCZoneIdentifier=str(subnet.get("SubnetId")),
        LaunchTemplate={"LaunchTemplateId": str(template.get("LaunchTemplateId")), "Version": "1"},
        Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in OURS.items()],  # type: ignore[typeddict-item]
    )
    zone = str(
        route53.create_hosted_zone(
            Name="pet.example",
            CallerReference="1",
            HostedZoneConfig={"Comment": "", "PrivateZone": True},
            VPC={"VPCRegion": "eu-central-1", "VPCId": vpc},
        )["HostedZone"]["Id"]
    ).rsplit("/", 1)[-1]
    changes: list[Any] = [
        {
            "Action": "CREATE",
            "ResourceRecordSet": {
                "Name": name, "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "x.elb.example"}],
            },
        }
        for name in ("api.pet.example", "shop.pet.example")
    ]  # fmt: skip
    target = {"HostedZoneId": "ZELB", "DNSName": "x.elb.example.", "EvaluateTargetHealth": True}
    apex_record = {"Name": "pet.example", "Type": "A", "AliasTarget": target}
    changes.append({"Action": "CREATE", "ResourceRecordSet": apex_record})
    with made_up.balancers():
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    values = configuration()
    values["traffic"]["zoneId"] = zone
    apex = {"name": "pet.example", "serves": "ingress", "type": "alias", "evaluateTargetHealth": True}
    values["traffic"]["records"].append({**apex, "value": "ingress-pet.elb.example"})
    values["sides"]["legacy"]["loadBalancers"]["ingress"]["zoneId"] = "ZELB"
    return terraform(settings(8, traffic=values["traffic"], sides=values["sides"]), aws, "main")


def test_an_alias_is_imported_with_its_target(made: str) -> None:
    zone = re.search(r'id = "(\w+)_pet\.example_A"', made)
    assert zone is not None
    [block] = re.findall(r'resource "aws_route53_record" "pet_example" \{(.*?)\n\}', made, re.DOTALL)
    assert 'type = "A"' in block
    assert "ttl" not in block
    assert re.search(r'alias \{\s+name = "x\.elb\.example"\s+zone_id = "ZELB"', block)


def test_every_resource_is_imported_and_nothing_of_anybody_elses(made: str) -> None:
    imported = re.findall(r"to = (\S+)", made)
    declared = [f"{kind}.{name}" for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', made, re.MULTILINE)]
    assert imported == declared
    assert {name.partition(".")[0] for name in declared} >= {
        "aws_vpc",
        "aws_subnet",
        "aws_security_group",
        "aws_vpc_security_group_ingress_rule",
        "aws_launch_template",
        "aws_autoscaling_group",
        "aws_route53_zone_association",
        "aws_route53_record",
    }
    assert "10.9.0.0/16" not in made
    assert "shop.pet" not in made


def test_ids_of_what_is_declared_are_references(made: str) -> None:
    body = "\n".join(line for line in made.splitlines() if not line.startswith("  id = "))
    assert "vpc_id = aws_vpc.main.id" in body
    assert "security_group_id = aws_security_group.nodes.id" in body
    assert "id = aws_launch_template.nodes_m5_a_pet_main.id" in body
    assert not re.findall(r'"(vpc|subnet|sg|lt)-[0-9a-f]+"', body)


def test_user_data_is_never_written(made: str) -> None:
    assert "the-join-token" not in made
    assert base64.b64encode(b"the-join-token").decode() not in made
    assert "ignore_changes = [user_data]" in made


def test_the_autoscaler_owns_sizes(made: str) -> None:
    assert "ignore_changes = [min_size, max_size, desired_capacity]" in made


def test_what_is_not_there_is_refused(aws: Aws) -> None:
    with pytest.raises(Permanent, match="AWS has nothing that is tagged as side main of cluster pet"):
        values = configuration()
        zone = aws.route53.create_hosted_zone(Name="pet.example", CallerReference="1")["HostedZone"]["Id"]
        values["traffic"]["zoneId"] = zone.rsplit("/", 1)[-1]
        terraform(settings(8, traffic=values["traffic"]), aws, "main")


def test_a_side_that_was_there_before_is_refused(aws: Aws) -> None:
    with pytest.raises(Permanent, match="side legacy isn't this program's"):
        terraform(settings(8), aws, "legacy")


def test_text_is_text_and_no_template() -> None:
    assert quoted('a "b" ${c} %{d} \\ \n') == '"a \\"b\\" $${c} %%{d} \\\\ \\n"'


def test_blocks_nest_and_what_is_not_said_is_left_out() -> None:
    inner = Block("inner", (), {"list": ["a", Expression("b.c")], "map": {"k.x": 1}, "none": None, "yes": True})
    assert written([Block("outer", ("x", "y"), {"n": 5}, (inner,), "why")]) == (
        '# why\nouter "x" "y" {\n  n = 5\n\n  inner {\n    list = ["a", b.c]\n'
        '    map = {\n      "k.x" = 1\n    }\n    yes = true\n  }\n}\n'
    )


def test_two_of_one_name_are_told_apart() -> None:
    things = [Thing(type="aws_route", name="a b", id=str(number), arguments={}) for number in range(2)]
    said = text(things)
    assert "to = aws_route.a_b\n" in said
    assert "to = aws_route.a_b_2\n" in said
