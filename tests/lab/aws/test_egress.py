"""Machines' calls to AWS need a way: each condition is taken away once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from lab.addresses import REGION
from lab.aws import hooks
from lab.aws.snapshot import snapshot
from lab.aws.world import WORLD
from lab.network import outward
from lab.network.parsing import parse
from lab.settings import LabSettings

TRUST = {"Version": "2012-10-17", "Statement": []}
Call = Callable[[], Any]


@pytest.fixture
def instance(aws: Any, old: Any) -> str:
    aws.iam.create_role(RoleName="node", AssumeRolePolicyDocument=json.dumps(TRUST))
    aws.iam.create_instance_profile(InstanceProfileName="node")
    aws.iam.add_role_to_instance_profile(InstanceProfileName="node", RoleName="node")
    made = old.new_instance(IamInstanceProfile={"Name": "node"})
    WORLD.settings = LabSettings(egress="enforce", refuse_after_s=0.1)
    return made


def call(aws: Any, instance: str, service: str = "ssm") -> Call:
    session: Any = boto3.Session(f"ASIA{instance[-16:].upper()}", "lab", "lab", region_name=REGION)
    once = Config(retries={"total_max_attempts": 1}, read_timeout=10)
    client = session.client(service, endpoint_url=aws.url, config=once)
    return lambda: client.get_parameters(Names=["/a"]) if service == "ssm" else client.describe_vpcs()


def lost(ask: Call) -> bool:
    """Whether nothing answers; without the rule the very same call is answered."""
    with hooks.without("no_way_to_the_service"):
        ask()
    try:
        ask()
    except HTTPClientError:
        return True
    return False


def out(aws: Any, old: Any) -> tuple[str, str]:
    """A NAT gateway in the second subnet and the first one's route to it: (the first's table, the second's)."""
    gateway = aws.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    aws.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=old.vpc)
    address = aws.ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = aws.ec2.create_nat_gateway(SubnetId=old.subnets[1], AllocationId=address)["NatGateway"]["NatGatewayId"]
    tables: list[str] = []
    for subnet, target in ((old.subnets[0], {"NatGatewayId": nat}), (old.subnets[1], {"GatewayId": gateway})):
        table = aws.ec2.create_route_table(VpcId=old.vpc)["RouteTable"]["RouteTableId"]
        aws.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        aws.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)
        tables.append(table)
    return tables[0], tables[1]


def test_without_a_route_nothing_answers(aws: Any, old: Any, instance: str) -> None:
    assert lost(call(aws, instance))
    assert aws.ssm.get_parameters(Names=["/a"])["InvalidParameters"] == ["/a"]


def test_a_nat_gateway_takes_it_out_where_it_has_a_way_itself(aws: Any, old: Any, instance: str) -> None:
    _, public = out(aws, old)
    assert not lost(call(aws, instance))
    aws.ec2.delete_route(RouteTableId=public, DestinationCidrBlock="0.0.0.0/0")
    assert lost(call(aws, instance))


def test_an_internet_gateway_takes_no_private_address_out(aws: Any, old: Any, instance: str) -> None:
    private, _ = out(aws, old)
    gateway = aws.ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [old.vpc]}])
    aws.ec2.replace_route(
        RouteTableId=private,
        DestinationCidrBlock="0.0.0.0/0",
        GatewayId=gateway["InternetGateways"][0]["InternetGatewayId"],
    )
    assert lost(call(aws, instance))


def test_the_groups_egress_and_the_acl_must_let_it(aws: Any, old: Any, instance: str) -> None:
    out(aws, old)
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    aws.ec2.revoke_security_group_egress(GroupId=old.group, IpPermissions=everything)
    assert lost(call(aws, instance))
    https = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    aws.ec2.authorize_security_group_egress(GroupId=old.group, IpPermissions=https)
    assert not lost(call(aws, instance))
    acl = aws.ec2.create_network_acl(VpcId=old.vpc)["NetworkAcl"]["NetworkAclId"]
    entry = {"NetworkAclId": acl, "Protocol": "6", "RuleAction": "allow", "CidrBlock": "0.0.0.0/0"}
    aws.ec2.create_network_acl_entry(**entry, RuleNumber=1, Egress=True, PortRange={"From": 443, "To": 443})
    wanted = [{"Name": "association.subnet-id", "Values": [old.subnets[0]]}]
    for one in aws.ec2.describe_network_acls(Filters=wanted)["NetworkAcls"]:
        for found in one["Associations"]:
            if found["SubnetId"] == old.subnets[0]:
                aws.ec2.replace_network_acl_association(
                    AssociationId=found["NetworkAclAssociationId"], NetworkAclId=acl
                )
    assert lost(call(aws, instance))
    aws.ec2.create_network_acl_entry(**entry, RuleNumber=1, Egress=False, PortRange={"From": 1024, "To": 65535})
    assert not lost(call(aws, instance))


def test_an_interface_endpoint_is_the_only_way_once_its_name_is_taken(aws: Any, old: Any, instance: str) -> None:
    out(aws, old)
    door = aws.ec2.create_security_group(GroupName="door", Description="x", VpcId=old.vpc)["GroupId"]
    aws.ec2.create_vpc_endpoint(
        VpcId=old.vpc,
        ServiceName=f"com.amazonaws.{REGION}.ssm",
        VpcEndpointType="Interface",
        SubnetIds=[old.subnets[2]],
        SecurityGroupIds=[door],
        PrivateDnsEnabled=True,
    )
    assert lost(call(aws, instance))
    pair = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "UserIdGroupPairs": [{"GroupId": old.group}]}]
    aws.ec2.authorize_security_group_ingress(GroupId=door, IpPermissions=pair)
    assert not lost(call(aws, instance))
    assert not lost(call(aws, instance, "ec2"))


def test_an_agent_without_a_way_is_unknown(aws: Any, old: Any, instance: str, refuses: Any) -> None:
    def send() -> Any:
        return aws.ssm.send_command(
            InstanceIds=[instance], DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]}
        )

    refuses("InvalidInstanceId", "agent_without_a_way", send)
    out(aws, old)
    assert send()["Command"]["Status"] == "Pending"


def test_open_as_ever_unless_told(aws: Any, old: Any, instance: str) -> None:
    WORLD.settings = LabSettings()
    assert not lost(call(aws, instance))
    with pytest.raises(ClientError):
        aws.ec2.describe_vpcs(VpcIds=["vpc-0123456789abcdef0"])


def test_a_gateway_endpoint_leads_to_s3_and_to_nothing_else(aws: Any, old: Any, instance: str) -> None:
    table = aws.ec2.create_route_table(VpcId=old.vpc)["RouteTable"]["RouteTableId"]
    aws.ec2.associate_route_table(RouteTableId=table, SubnetId=old.subnets[0])

    def reached(address: str) -> bool:
        state = parse(snapshot(WORLD))
        source = state.host(state.instances[instance].ip)
        assert source is not None
        return outward.out(state, source, address, 443).ok

    assert not reached(outward.S3)
    aws.ec2.create_vpc_endpoint(
        VpcId=old.vpc,
        ServiceName=f"com.amazonaws.{REGION}.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[table],
    )
    assert reached(outward.S3)
    assert not reached(outward.PUBLIC)
