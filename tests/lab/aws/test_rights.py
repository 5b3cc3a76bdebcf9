"""The gate of stage 0 on an account that enforces policies: the documented rights are enough, one less is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from lab.addresses import ACCOUNT_ID, REGION
from lab.aws.world import WORLD
from lab.settings import LabSettings
from migration.clients.aws import Aws
from migration.contracts.gates import BalancerRef, Permissions, SideRef
from migration.gates.live import Live
from migration.gates.permissions import permissions
from migration.plan.reading import NotReading, ReadingAws
from migration.rights.ask import dry_runs
from migration.rights.policy import MANAGED_POLICY, Scope, documents
from migration.rights.table import ALWAYS, OPTIONAL, PROVIDER_READS, actions
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}
SCOPE = Scope(cluster="pet", region=REGION, account=ACCOUNT_ID, roles=("masters",), passed=("masters", "nodes"))
Gate = Callable[[], str]


@pytest.fixture
def gate(aws: Any, old: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Gate]:
    """`gate(policies)` is the gate as a role with just these policies asks it."""
    for name in ("masters", "operator"):
        aws.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    balancer = old.new_balancer("api-old")
    old.new_group("nodes", 0)
    zone = aws.dns.create_hosted_zone(Name="pet.", CallerReference="1")["HostedZone"]["Id"].rpartition("/")[2]
    side = SideRef(
        name="legacy",
        suffix="",
        cidr="127.10.0.0/16",
        vpc_id=old.vpc,
        api=BalancerRef(arn=balancer["LoadBalancerArn"], dns_name=balancer["DNSName"], target_groups=()),
    )
    question = Permissions(
        old=side, worker_groups=("nodes",), new_groups=("new",), zone_id=zone, control_plane_role="masters"
    )
    allowed = SimpleNamespace(create=lambda *_: {"status": {"allowed": True}})
    WORLD.settings = LabSettings(iam="enforce")

    def with_policies(policies: tuple[str, ...]) -> Gate:
        for number, text in enumerate(policies):
            aws.iam.put_role_policy(RoleName="operator", PolicyName=f"p{number}", PolicyDocument=text)
        given = aws.client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNT_ID}:role/operator", RoleSessionName="tests"
        )["Credentials"]
        session: Any = boto3.Session(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=REGION
        )
        clients = SimpleNamespace(aws=Aws(region=REGION, session=session), kubernetes=allowed)
        context: Any = Context(log=lambda _: None, deadline=Deadline(60), clients=clients)  # type: ignore[arg-type]
        return lambda: permissions(question, Live("pet", context))

    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    return with_policies


def without(missing: str) -> tuple[str, ...]:
    """The documented policies, with wildcards spelt out, less one right."""
    spelt = {a for a in actions() if a.startswith(tuple(read.removesuffix("*") for read in PROVIDER_READS))}
    found: list[str] = []
    for text in documents(SCOPE):
        policy = json.loads(text)
        for statement in policy["Statement"]:
            if any(action.endswith("*") for action in statement["Action"]):
                statement["Action"] = sorted(spelt)
            statement["Action"] = [action for action in statement["Action"] if action != missing] or ["none:Nothing"]
        found.append(json.dumps(policy))
    return tuple(found)


def test_the_documented_rights_are_enough(gate: Callable[..., Gate]) -> None:
    said = gate(documents(SCOPE))()
    wanted = len(actions()) - len(OPTIONAL)
    assert said.startswith(f"every service answers; {wanted} of {wanted} actions simulated as allowed; room for 1")


@pytest.mark.parametrize(
    "missing",
    [
        "ec2:ReplaceRouteTableAssociation",
        "autoscaling:SetInstanceProtection",
        "elasticloadbalancing:CreateListener",
        "ssm:DeleteParameter",
        "iam:PassRole",
        "kms:Decrypt",
        "cloudwatch:GetMetricStatistics",
    ],
)
def test_one_right_less_is_named(gate: Callable[..., Gate], missing: str) -> None:
    with pytest.raises(Permanent, match=f"^not allowed: {missing}; docs/adopting.md lists"):
        gate(without(missing))()


def test_rights_bound_to_other_objects_are_missing(gate: Callable[..., Gate]) -> None:
    others = Scope(cluster="other", region=REGION, account=ACCOUNT_ID, roles=("masters",), passed=("nodes",))
    with pytest.raises(Permanent, match=r"ssm:DeleteParameter, .*ssm:PutParameter"):
        gate(documents(others))()


def test_rights_bound_to_tags_and_types_are_there(gate: Callable[..., Gate]) -> None:
    bound = without("ec2:DeleteVpc")
    tagged = {
        "Effect": "Allow",
        "Action": "ec2:DeleteVpc",
        "Resource": f"arn:aws:ec2:*:{ACCOUNT_ID}:vpc/*",
        "Condition": {"StringEquals": {"aws:ResourceTag/migration:cluster": "pet"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [tagged]})
    assert "actions simulated as allowed; room" in gate((*bound, policy))()


def test_rights_that_depend_on_the_call_are_warned_of(gate: Callable[..., Gate]) -> None:
    timed = {
        "Effect": "Allow",
        "Action": "ec2:DeleteVpc",
        "Resource": "*",
        "Condition": {"StringEquals": {"ec2:Attribute": "x"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [timed]})
    said = gate((*without("ec2:DeleteVpc"), policy))()
    assert "warning: it depends on the call: ec2:DeleteVpc (by ec2:Attribute)" in said


def test_where_nothing_may_be_simulated_dry_runs_tell(gate: Callable[..., Gate], aws: Any) -> None:
    without_simulation = without("iam:SimulatePrincipalPolicy")
    said = gate(without_simulation)()
    assert "IAM didn't simulate (ClientError), so 21 EC2 actions were asked by dry runs" in said
    fewer = tuple(text.replace('"ec2:CreateVpcPeeringConnection", ', "") for text in without_simulation)
    before = aws.ec2.describe_vpcs()["Vpcs"]
    with pytest.raises(Permanent, match=r"^not allowed: ec2:CreateVpcPeeringConnection; docs"):
        gate(fewer)()
    assert aws.ec2.describe_vpcs()["Vpcs"] == before


def test_policies_fit_where_aws_takes_them() -> None:
    found = documents(Scope(cluster="pet.example.com", region=REGION))
    assert all(len(text) <= MANAGED_POLICY for text in found)
    granted = [a for text in found for s in json.loads(text)["Statement"] for a in s["Action"]]
    reads = tuple(read.removesuffix("*") for read in PROVIDER_READS)
    assert {a for a in actions() if not a.startswith(reads)} | set(PROVIDER_READS) == set(granted)
    assert len(granted) == len(set(granted)) and not ALWAYS & set(granted)


def test_a_plan_asks_by_dry_runs_too_and_makes_nothing(aws: Any, old: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "lab",
    }.items():
        monkeypatch.setenv(name, value)
    reading = ReadingAws(region=REGION)
    assert dry_runs(reading, old.vpc).denied == ()
    with pytest.raises(NotReading):
        reading.ec2.create_vpc(CidrBlock="127.99.0.0/16")
