"""The real engine, the unmodified SDKs, the plugin as the engine starts it, the lab's AWS."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import boto3
import pytest

from lab.addresses import REGION
from tests.lab.plugins.driving import engine_in, environment

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

PROGRAM = """
import json
import os
import pulumi
import pulumi_aws as aws

step = os.environ["STEP"]
provider = aws.Provider("lab", region="eu-central-1")


def opts(**more):
    return pulumi.ResourceOptions(provider=provider, **more)


vpc = aws.ec2.Vpc("vpc", cidr_block="127.30.0.0/16", tags={"Name": "pet"}, opts=opts(protect=step == "protected"))
subnet = aws.ec2.Subnet(
    "subnet", vpc_id=vpc.id, cidr_block="127.30.0.0/24", availability_zone="eu-central-1a", opts=opts()
)
group = aws.ec2.SecurityGroup("nodes", name="nodes", vpc_id=vpc.id, opts=opts())
aws.vpc.SecurityGroupIngressRule(
    "nodes-from-nodes",
    security_group_id=group.id,
    ip_protocol="tcp",
    from_port=10250,
    to_port=10250 if step == "first" else 10251,
    referenced_security_group_id=group.id,
    opts=opts(),
)
template = aws.ec2.LaunchTemplate(
    "workers",
    name="workers",
    image_id="ami-12c6146b",
    instance_type="m5.large",
    user_data="YQ==" if step == "first" else "Yg==",
    vpc_security_group_ids=[group.id],
    opts=opts(),
)
aws.autoscaling.Group(
    "workers",
    name="workers",
    min_size=1,
    max_size=2,
    desired_capacity=1,
    vpc_zone_identifiers=[subnet.id],
    launch_template={"id": template.id, "version": template.latest_version.apply(str)},
    opts=opts(ignore_changes=["desiredCapacity"]),
)
allow = [{"Sid": "hidden", "Effect": "Allow", "Action": "*", "Resource": "*"}]
policy = pulumi.Output.secret(json.dumps({"Version": "2012-10-17", "Statement": allow}))
aws.iam.RolePolicy("secret", name="secret", role="member", policy=policy, opts=opts())
if os.environ.get("IMPORT"):
    aws.ec2.Vpc("found", cidr_block="127.50.0.0/16", tags={"Name": "found"}, opts=opts(import_=os.environ["IMPORT"]))
if step == "wrong":
    aws.ec2.Vpc("wrong", cidr_block="127.70.0.0/16", ipv6_cidr_block="::/56", opts=opts())
pulumi.export("vpc", vpc.id)
"""


def test_a_stack_goes_up_stays_changes_imports_and_comes_down(tmp_path: Path, aws_url: str) -> None:
    engine = engine_in(tmp_path, PROGRAM, {**environment(aws_url), "STEP": "first"})
    session: Any = boto3.Session("lab", "lab", region_name=REGION)
    ec2, iam = (session.client(name, endpoint_url=aws_url) for name in ("ec2", "iam"))
    iam.create_role(RoleName="member", AssumeRolePolicyDocument="{}")

    said = engine.run("up", "--yes", "--skip-preview")
    assert "+ 9 created" in said
    assert "from $PATH" not in said, "found without a word"
    assert "expected to have version" not in said
    assert "hidden" not in (tmp_path / "state" / ".pulumi" / "stacks" / "plugins" / "t.json").read_text()

    assert "9 unchanged" in engine.run("preview", "--refresh", "--expect-no-changes")

    said = engine.run("preview", "--diff", STEP="second")
    shown = [line.split(":")[0].strip(" ~+-") for line in said.splitlines() if re.match(r"\s+([~+-] )?\w+\s*: ", line)]
    assert sorted(shown) == ["launchTemplate", "toPort", "userData", "version"], "what stays isn't shown"

    said = engine.run("up", "--yes", STEP="second")
    assert "~ 3 to update" in said
    assert "~ 3 updated" in said
    assert "replace" not in said

    made = ec2.create_vpc(CidrBlock="127.50.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[made], Tags=[{"Key": "Name", "Value": "found"}])
    said = engine.run("up", "--yes", "--skip-preview", STEP="protected", IMPORT=made)
    assert "= 1 imported" in said

    said = engine.run("preview", ok=False, STEP="wrong", IMPORT=made)
    assert "property 'ipv6CidrBlock' is not one the lab's plugin supports" in said

    assert "protected" in engine.run("destroy", "--yes", "--skip-preview", ok=False)
    engine.run("state", "unprotect", "--all", "--yes")
    engine.run("destroy", "--yes", "--skip-preview")
    left = [v for v in ec2.describe_vpcs()["Vpcs"] if not v["IsDefault"]]
    assert left == []
