"""The lab's AWS in this process, empty for each test, and a small network to break rules in."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.addresses import REGION
from lab.aws import hooks
from lab.aws.identity import ROOT_KEY
from lab.aws.server import LabAws
from lab.aws.world import WORLD
from lab.settings import LabSettings

USER_DATA = "#cloud-config\nruncmd: []\n"


class Aws:
    """boto3's clients on the server, and its backplane."""

    def __init__(self, url: str, key: str = ROOT_KEY) -> None:
        self.url, self._key = url, key
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            session: Any = boto3.Session(self._key, self._key, region_name=REGION)
            once = Config(retries={"total_max_attempts": 1})
            self._clients[service] = session.client(service, endpoint_url=self.url, config=once)
        return self._clients[service]

    ec2 = property(lambda self: self.client("ec2"))
    elb = property(lambda self: self.client("elbv2"))
    asg = property(lambda self: self.client("autoscaling"))
    dns = property(lambda self: self.client("route53"))
    ssm = property(lambda self: self.client("ssm"))
    iam = property(lambda self: self.client("iam"))
    cloudwatch = property(lambda self: self.client("cloudwatch"))

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/_backplane{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/_backplane{path}", data=json.dumps(body or {}).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def state(self) -> dict[str, Any]:
        return self.get("/state")

    def until(self, what: Callable[[dict[str, Any]], Any], *, limit_s: float = 15.0) -> dict[str, Any]:
        """The first state for which `what` holds, by long poll."""
        deadline = time.monotonic() + limit_s
        state = self.state()
        while not what(state):
            assert time.monotonic() < deadline, f"still not after {limit_s} s: {json.dumps(state, indent=1)[:4000]}"
            state = self.get(f"/state?after={state['revision']}&wait=1")
        return state


@dataclass
class Side:
    """A VPC with a subnet in each zone and a security group."""

    aws: Aws
    vpc: str
    subnets: list[str]
    group: str
    name: str
    made: dict[str, str] = field(default_factory=dict)

    @cached_property
    def template(self) -> str:
        return self.new_template(f"{self.name}-template")

    def new_template(self, name: str, **data: Any) -> str:
        merged = {
            "ImageId": "ami-12c6146b",
            "InstanceType": "m5.large",
            "SecurityGroupIds": [self.group],
            "UserData": base64.b64encode(USER_DATA.encode()).decode(),
            **data,
        }
        made = self.aws.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=merged)
        return made["LaunchTemplate"]["LaunchTemplateId"]

    def new_group(self, name: str, desired: int = 1, **options: Any) -> str:
        self.aws.asg.create_auto_scaling_group(
            **{
                "AutoScalingGroupName": name,
                "MinSize": 0,
                "MaxSize": 10,
                "DesiredCapacity": desired,
                "LaunchTemplate": {"LaunchTemplateId": self.template, "Version": "$Latest"},
                "VPCZoneIdentifier": ",".join(self.subnets),
                **options,
            }
        )
        return name

    def new_instance(self, **options: Any) -> str:
        made = self.aws.ec2.run_instances(
            **{
                "ImageId": "ami-12c6146b",
                "InstanceType": "m5.large",
                "MinCount": 1,
                "MaxCount": 1,
                "SubnetId": self.subnets[0],
                "SecurityGroupIds": [self.group],
                **options,
            }
        )
        return made["Instances"][0]["InstanceId"]

    def new_targets(self, name: str, **options: Any) -> str:
        made = self.aws.elb.create_target_group(
            **{
                "Name": name,
                "Protocol": "TCP",
                "Port": 30080,
                "VpcId": self.vpc,
                "TargetType": "instance",
                **options,
            }
        )
        return made["TargetGroups"][0]["TargetGroupArn"]

    def new_balancer(self, name: str, **options: Any) -> dict[str, Any]:
        made = self.aws.elb.create_load_balancer(
            **{
                "Name": name,
                "Type": "network",
                "Scheme": "internal",
                "Subnets": self.subnets,
                **options,
            }
        )
        return made["LoadBalancers"][0]

    def listen(self, balancer: dict[str, Any], targets: str, port: int = 8080) -> str:
        made = self.aws.elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Port=port,
            Protocol="TCP",
            DefaultActions=[{"Type": "forward", "TargetGroupArn": targets}],
        )
        return made["Listeners"][0]["ListenerArn"]


def new_side(aws: Aws, name: str, second_octet: int) -> Side:
    vpc = aws.ec2.create_vpc(CidrBlock=f"127.{second_octet}.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        aws.ec2.create_subnet(VpcId=vpc, CidrBlock=f"127.{second_octet}.{i}.0/24", AvailabilityZone=f"{REGION}{zone}")[
            "Subnet"
        ]["SubnetId"]
        for i, zone in enumerate("abc", 1)
    ]
    group = aws.ec2.create_security_group(GroupName=f"{name}-nodes", Description=name, VpcId=vpc)["GroupId"]
    return Side(aws=aws, vpc=vpc, subnets=subnets, group=group, name=name)


@pytest.fixture(scope="session")
def server() -> Iterator[LabAws]:
    running = LabAws().start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def clients(server: LabAws) -> Aws:
    return Aws(server.url)


@pytest.fixture
def aws(clients: Aws) -> Aws:
    # Long enough for a busy machine to see what is before and between.
    WORLD.reset(LabSettings(deregistration_s=1.0, change_pending_s=1.0))
    return clients


@pytest.fixture
def old(aws: Aws) -> Side:
    return new_side(aws, "old", 10)


@pytest.fixture
def new(aws: Aws) -> Side:
    return new_side(aws, "new", 30)


@pytest.fixture
def peering(aws: Aws, old: Side, new: Side) -> str:
    """An active peering between the two."""
    made = aws.ec2.create_vpc_peering_connection(VpcId=new.vpc, PeerVpcId=old.vpc)
    peering_id = made["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    aws.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering_id)
    return peering_id


Refuses = Callable[[str, str, Callable[[], Any]], str]


@pytest.fixture
def refuses() -> Refuses:
    """`refuses(code, rule, call)`: AWS's error, and without that one rule the very same call has it no more.

    So a test fails if its rule is removed, or if something else is what refuses. Returns the message.
    """

    def check(code: str, rule: str, call: Callable[[], Any]) -> str:
        with pytest.raises(ClientError) as raised:
            call()
        refusal: Any = raised.value.response
        assert refusal["Error"]["Code"] == code
        with hooks.without(rule):
            try:
                call()
            except ClientError as error:
                # Another rule's refusal; this one's is gone.
                assert error.response.get("Error") != refusal["Error"]
        return refusal["Error"]["Message"]

    return check
