"""A command goes to the instances it names, and to no other."""

from __future__ import annotations

import json
from typing import Any

from lab.aws.world import WORLD
from lab.settings import LabSettings
from tests.lab.aws.conftest import Refuses


def test_only_the_named_instance_gets_the_command(aws: Any, old: Any) -> None:
    first, second = old.new_instance(), old.new_instance()
    aws.until(lambda state: {i["state"] for i in state["instances"]} == {"running"})
    sent = aws.ssm.send_command(
        InstanceIds=[first], DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]}
    )["Command"]
    assert sent["InstanceIds"] == [first]
    assert [c["id"] for c in aws.get(f"/commands?instance={first}&wait=0")] == [sent["CommandId"]]
    assert aws.get(f"/commands?instance={second}&wait=0") == []


def test_an_agent_whose_role_does_not_let_it_register_is_not_known(aws: Any, old: Any, refuses: Refuses) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    aws.iam.create_role(RoleName="node", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    aws.iam.create_instance_profile(InstanceProfileName="node")
    aws.iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="node")
    machine = old.new_instance(IamInstanceProfile={"Name": "node"})
    aws.until(lambda state: {i["state"] for i in state["instances"]} == {"running"})

    def sent() -> str:
        return aws.ssm.send_command(
            InstanceIds=[machine], DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]}
        )["Command"]["Status"]

    assert sent() == "Pending"
    WORLD.settings = LabSettings(iam="enforce")
    refuses("InvalidInstanceId", "agent_without_rights", sent)
    allowed = {"Effect": "Allow", "Action": "ssm:UpdateInstanceInformation", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    aws.iam.put_role_policy(RoleName="node", PolicyName="agent", PolicyDocument=policy)
    assert sent() == "Pending"
