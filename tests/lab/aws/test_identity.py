"""IAM: who may do what. Every refusal is tried twice: with the rule, and without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from lab.addresses import ACCOUNT_ID, REGION
from lab.aws.policies import UnknownCondition, decide
from lab.aws.world import WORLD
from lab.settings import LabSettings

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}
Session = Callable[[str], Any]


def allow(*actions: str, resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def strict(aws: Any) -> Any:
    WORLD.settings = LabSettings(iam="enforce")
    return aws


def assumed(aws: Any, *statements: dict[str, Any], name: str = "operator") -> Session:
    """A session of a new role with these statements: `session(service)` is a client."""
    role = aws.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    aws.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(*statements))
    given = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="tests")["Credentials"]
    return signed(aws, given["AccessKeyId"], given["SessionToken"])


def signed(aws: Any, key: str, token: str | None = None) -> Session:
    session: Any = boto3.Session(key, "secret", token, region_name=REGION)
    once = Config(retries={"total_max_attempts": 1})
    return lambda service: session.client(service, endpoint_url=aws.url, config=once)


def test_each_service_words_its_refusal_in_its_own_way(strict: Any, old: Any, refuses: Any) -> None:
    client = assumed(strict, allow("ec2:DescribeVpcs"))
    rule = "no_identity_based_policy"
    said = refuses("UnauthorizedOperation", rule, lambda: client("ec2").create_vpc(CidrBlock="127.99.0.0/16"))
    who = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/operator/tests"
    assert said == (
        f"You are not authorized to perform this operation. User: {who} is not authorized to perform: ec2:CreateVpc"
        " because no identity-based policy allows the ec2:CreateVpc action"
    )
    refuses("AccessDenied", rule, lambda: client("autoscaling").describe_auto_scaling_groups())
    refuses("AccessDenied", rule, lambda: client("elbv2").describe_load_balancers())
    refuses("AccessDenied", rule, lambda: client("route53").list_hosted_zones())
    refuses("AccessDenied", rule, lambda: client("iam").list_roles())
    refuses("AccessDenied", rule, lambda: client("cloudwatch").list_metrics())
    refuses("AccessDeniedException", rule, lambda: client("ssm").get_parameters(Names=["/pet/x"]))
    assert client("ec2").describe_vpcs()["Vpcs"]
    assert client("sts").get_caller_identity()["Arn"] == who


def test_a_dry_run_tells_the_right_from_the_rest(strict: Any, refuses: Any) -> None:
    client = assumed(strict, allow("ec2:CreateVpc"))("ec2")
    make = client.create_vpc
    refuses("DryRunOperation", "dry_run_ends_before_the_service", lambda: make(CidrBlock="127.99.0.0/16", DryRun=True))
    call = lambda: client.create_internet_gateway(DryRun=True)  # noqa: E731 - one call, tried twice
    refuses("UnauthorizedOperation", "no_identity_based_policy", call)


def test_resources_and_tags_limit_what_is_allowed(strict: Any, old: Any, refuses: Any) -> None:
    own = f"arn:aws:ssm:{REGION}:{ACCOUNT_ID}:parameter/pet/migration/*"
    tagged = {"StringEquals": {"aws:ResourceTag/migration:cluster": "pet"}}
    client = assumed(strict, allow("ssm:PutParameter", resource=own), allow("ec2:DeleteVolume", Condition=tagged))
    client("ssm").put_parameter(Name="/pet/migration/record", Value="1", Type="String")
    put = client("ssm").put_parameter
    refuses(
        "AccessDeniedException",
        "no_identity_based_policy",
        lambda: put(Name="/pet/pki/ca.key", Value="1", Type="String"),
    )
    zone = f"{REGION}a"
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "migration:cluster", "Value": "pet"}]}]
    ours = strict.ec2.create_volume(AvailabilityZone=zone, Size=1, TagSpecifications=tags)["VolumeId"]
    theirs = strict.ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
    client("ec2").delete_volume(VolumeId=ours)
    delete = client("ec2").delete_volume
    refuses("UnauthorizedOperation", "no_identity_based_policy", lambda: delete(VolumeId=theirs))


def test_an_explicit_deny_wins(strict: Any, refuses: Any) -> None:
    client = assumed(strict, allow("ssm:*"), {"Effect": "Deny", "Action": "ssm:GetParameter*", "Resource": "*"})
    said = refuses(
        "AccessDeniedException", "explicitly_denied", lambda: client("ssm").get_parameters(Names=["/pet/pki/ca.key"])
    )
    assert said.endswith("with an explicit deny in an identity-based policy")
    client("ssm").put_parameter(Name="/pet/x", Value="1", Type="String")


def test_tags_at_creation_need_the_right_to_tag(strict: Any, old: Any, refuses: Any) -> None:
    client = assumed(strict, allow("ec2:CreateVolume", "elasticloadbalancing:CreateTargetGroup"))
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}]
    zone, rule = f"{REGION}a", "tagging_on_creation"
    make = client("ec2").create_volume
    refuses("UnauthorizedOperation", rule, lambda: make(AvailabilityZone=zone, Size=1, TagSpecifications=tags))
    make(AvailabilityZone=zone, Size=1)
    targets = {"Name": "t", "Protocol": "TCP", "Port": 1, "VpcId": old.vpc, "TargetType": "ip"}
    group = client("elbv2").create_target_group
    refuses("AccessDenied", rule, lambda: group(**targets, Tags=[{"Key": "a", "Value": "b"}]))


def test_a_group_launches_only_what_its_maker_may_run_and_pass(strict: Any, old: Any, refuses: Any) -> None:
    strict.iam.create_role(RoleName="node", AssumeRolePolicyDocument=json.dumps(TRUST))
    strict.iam.create_instance_profile(InstanceProfileName="node")
    strict.iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="node")
    template = old.new_template("with-profile", IamInstanceProfile={"Name": "node"})
    create = "autoscaling:CreateAutoScalingGroup"
    group = {"AutoScalingGroupName": "g", "MinSize": 0, "MaxSize": 0, "VPCZoneIdentifier": old.subnets[0]}
    named = {"LaunchTemplate": {"LaunchTemplateId": template, "Version": "$Latest"}}

    nobody = assumed(strict, allow(create), name="one")("autoscaling")
    said = refuses("AccessDenied", "group_runs_instances", lambda: nobody.create_auto_scaling_group(**group, **named))
    assert said.startswith(f"You are not authorized to use launch template: {template}")
    passed = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    other = f"arn:aws:iam::{ACCOUNT_ID}:role/other"
    runner = assumed(
        strict, allow(create, "ec2:RunInstances"), allow("iam:PassRole", resource=other, Condition=passed), name="two"
    )("autoscaling")
    refuses("AccessDenied", "role_must_be_passed", lambda: runner.create_auto_scaling_group(**group, **named))
    both = assumed(
        strict,
        allow(create, "ec2:RunInstances"),
        allow("iam:PassRole", resource=f"arn:aws:iam::{ACCOUNT_ID}:role/node", Condition=passed),
        name="three",
    )("autoscaling")
    both.create_auto_scaling_group(**{**group, "AutoScalingGroupName": "h"}, **named)


def test_a_machine_has_the_rights_of_its_profiles_role(strict: Any, old: Any, refuses: Any) -> None:
    strict.iam.create_role(RoleName="masters", AssumeRolePolicyDocument=json.dumps(TRUST))
    parameters = f"arn:aws:ssm:{REGION}:{ACCOUNT_ID}:parameter/pet/pki/*"
    strict.iam.put_role_policy(
        RoleName="masters", PolicyName="p", PolicyDocument=document(allow("ssm:GetParameters", resource=parameters))
    )
    strict.iam.create_instance_profile(InstanceProfileName="masters")
    strict.iam.add_role_to_instance_profile(InstanceProfileName="masters", RoleName="masters")
    instance = old.new_instance(IamInstanceProfile={"Name": "masters"})
    machine = signed(strict, f"ASIA{instance[-16:].upper()}", "lab")
    assert machine("sts").get_caller_identity()["Arn"].endswith(f":assumed-role/masters/{instance}")
    assert machine("ssm").get_parameters(Names=["/pet/pki/ca.crt"])["InvalidParameters"] == ["/pet/pki/ca.crt"]
    ssm, ec2 = machine("ssm"), machine("ec2")
    denied = "no_identity_based_policy"
    refuses("AccessDeniedException", denied, lambda: ssm.get_parameters(Names=["/pet/operator/etcd/client.key"]))
    refuses("UnauthorizedOperation", denied, ec2.describe_instances)


def test_a_key_of_nobody_is_nobody(strict: Any, refuses: Any) -> None:
    client = signed(strict, "AKIAUNKNOWN")
    rule = "unknown_access_key"
    refuses("AuthFailure", rule, lambda: client("ec2").describe_vpcs())
    refuses("InvalidClientTokenId", rule, lambda: client("iam").list_roles())
    refuses("UnrecognizedClientException", rule, lambda: client("ssm").get_parameters(Names=["/a"]))


def test_open_as_ever_unless_told(aws: Any) -> None:
    assert signed(aws, "AKIAUNKNOWN")("ec2").describe_vpcs()["Vpcs"]


def test_simulation_names_the_condition_keys_it_was_not_given(strict: Any) -> None:
    tagged = {"StringEquals": {"aws:ResourceTag/migration:cluster": "pet"}}
    assumed(strict, allow("ec2:DeleteVolume", Condition=tagged))
    simulate = strict.iam.simulate_principal_policy
    source = f"arn:aws:iam::{ACCOUNT_ID}:role/operator"

    def result(**more: Any) -> tuple[str, list[str]]:
        one = simulate(PolicySourceArn=source, ActionNames=["ec2:DeleteVolume"], **more)["EvaluationResults"][0]
        return one["EvalDecision"], one["MissingContextValues"]

    assert result() == ("implicitDeny", ["aws:ResourceTag/migration:cluster"])
    entry = {
        "ContextKeyName": "aws:ResourceTag/migration:cluster",
        "ContextKeyType": "string",
        "ContextKeyValues": ["pet"],
    }
    assert result(ContextEntries=[entry]) == ("allowed", [])


def test_policies_are_read_as_the_reference_says() -> None:
    def verdict(statement: dict[str, Any], action: str, resource: str = "*", **context: str) -> str:
        return decide([document(statement)], action, resource, context).verdict

    assert verdict(allow("EC2:describe*"), "ec2:DescribeVpcs") == "allowed"
    assert verdict({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, "iam:PassRole") == "implicitDeny"
    assert verdict({"Effect": "Allow", "Action": "s3:*", "NotResource": "b"}, "s3:Get", "a") == "allowed"
    unlike = {"StringNotEquals": {"key": ["a", "b"]}}
    assert verdict(allow("s3:Get", Condition=unlike), "s3:Get", key="b") == "implicitDeny"
    assert verdict(allow("s3:Get", Condition=unlike), "s3:Get") == "allowed"
    assert verdict(allow("s3:Get", Condition={"StringEqualsIfExists": {"key": "a"}}), "s3:Get") == "allowed"
    assert verdict(allow("s3:Get", Condition={"Null": {"key": "true"}}), "s3:Get", key="a") == "implicitDeny"
    with pytest.raises(UnknownCondition, match="IpAddress of aws:SourceIp"):
        verdict(allow("s3:Get", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), "s3:Get")
