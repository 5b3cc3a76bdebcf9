"""A small account with load balancers, by moto."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto import mock_aws

from migration.clients.aws import Aws

REGION = "eu-central-1"


class Account:
    """One VPC with three subnets; balancers as a test makes them."""

    def __init__(self) -> None:
        self.aws = Aws(region=REGION)
        ec2: Any = self.aws.ec2
        self.vpc: str = ec2.create_vpc(CidrBlock="10.10.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.10.{n}.0/24", AvailabilityZone=f"{REGION}{'abc'[n]}")[
                "Subnet"
            ]["SubnetId"]
            for n in range(3)
        ]
        self.security_group: str = ec2.create_security_group(GroupName="web", Description="web", VpcId=self.vpc)[
            "GroupId"
        ]

    @property
    def elb(self) -> Any:
        return self.aws.elbv2

    def balancer(self, name: str, kind: str = "network", scheme: str = "internal", **more: Any) -> tuple[str, str]:
        """ARN and DNS name."""
        groups = {"SecurityGroups": [self.security_group]} if kind == "application" else {}
        made = self.elb.create_load_balancer(
            Name=name, Type=kind, Scheme=scheme, Subnets=self.subnets, **groups, **more
        )["LoadBalancers"][0]
        return made["LoadBalancerArn"], made["DNSName"]

    def group(self, name: str, port: int, protocol: str = "TCP", **more: Any) -> str:
        said = {"HealthCheckProtocol": "HTTP" if protocol in ("HTTP", "HTTPS") else "TCP", "TargetType": "instance"}
        return self.elb.create_target_group(
            Name=name, Port=port, Protocol=protocol, VpcId=self.vpc, **{**said, **more}
        )["TargetGroups"][0]["TargetGroupArn"]

    def attributes(self, group: str, **said: str) -> None:
        pairs = [{"Key": key.replace("__", "."), "Value": value} for key, value in said.items()]
        self.elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=pairs)

    def listener(self, balancer: str, port: int, group: str, protocol: str = "TCP", **more: Any) -> str:
        action = {"Type": "forward", "TargetGroupArn": group}
        return self.elb.create_listener(
            LoadBalancerArn=balancer, Port=port, Protocol=protocol, **{"DefaultActions": [action], **more}
        )["Listeners"][0]["ListenerArn"]

    def certificate(self, name: str) -> str:
        import boto3

        return boto3.client("acm", region_name=REGION).request_certificate(DomainName=name)["CertificateArn"]


@contextmanager
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An account for one test."""
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Account()
