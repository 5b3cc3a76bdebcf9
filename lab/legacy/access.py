"""IAM roles with their instance profiles, the security groups, and one object in the VPC that belongs to others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lab.addresses import ACCOUNT_ID, REGION
from lab.layouts import MASTER, Layout
from lab.legacy.cloud import Cloud, once, pairs, specification
from lab.legacy.network import Network
from lab.legacy.plan import tags

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


CLOUD_CONTROLLER = (
    *(f"autoscaling:Describe{what}" for what in ("AutoScalingGroups", "LaunchConfigurations", "Tags")),
    *(
        f"ec2:{call}"
        for call in (
            *("DescribeAvailabilityZones", "DescribeInstances", "DescribeInstanceTopology", "DescribeRegions"),
            *("DescribeRouteTables", "DescribeSecurityGroups", "DescribeSubnets", "DescribeVolumes", "DescribeVpcs"),
            *("AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress", "CreateSecurityGroup"),
            *("DeleteSecurityGroup", "CreateTags", "ModifyInstanceAttribute"),
        )
    ),
    "elasticloadbalancing:*",
)
"""https://cloud-provider-aws.sigs.k8s.io/prerequisites/, its load balancing calls as one."""
EXTERNAL_DNS = (
    "route53:ChangeResourceRecordSets",
    "route53:ListHostedZones",
    "route53:ListResourceRecordSets",
    "route53:ListTagsForResources",
)
"""https://kubernetes-sigs.github.io/external-dns/latest/docs/tutorials/aws/, IAM policy."""


AGENT = (
    "ssm:UpdateInstanceInformation",
    *(f"ssmmessages:{call}" for call in ("CreateControlChannel", "CreateDataChannel", "OpenControlChannel")),
    "ssmmessages:OpenDataChannel",
)
"""What Systems Manager's agent asks of AmazonSSMManagedInstanceCore.

https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonSSMManagedInstanceCore.html
"""


@dataclass(frozen=True)
class Access:
    control_plane: str
    nodes: str
    """Security group ids."""
    control_plane_profile: str
    nodes_profile: str
    """Instance profile names."""
    etcd: str
    etcd_profile: str
    """Of the machines that etcd runs on: the control plane's, where these are the same machines."""


def build(
    cloud: Cloud, cluster: str, network: Network, layout: Layout, *, controllers: bool = False, agents: bool = False
) -> Access:
    """With `controllers` the roles have the rights of the cloud controller and of external-dns, too; with `agents` that
    of the workers lets Systems Manager's agent register. Members always have one."""
    statements = _control_plane_policy(cluster, layout.keys)
    names = _nodes_policy(cluster)
    if agents:
        names.append(_agent())
    if controllers:
        names.append({"Effect": "Allow", "Action": list(EXTERNAL_DNS), "Resource": "*"})
    control_plane_profile = _profile(
        cloud,
        f"masters.{cluster}",
        cluster,
        [*statements, {"Effect": "Allow", "Action": list(CLOUD_CONTROLLER), "Resource": "*"}]
        if controllers
        else statements,
    )
    nodes_profile = _profile(cloud, f"nodes.{cluster}", cluster, names)
    control_plane = _group(cloud, network.vpc, f"masters.{cluster}", "control plane", cluster)
    nodes = _group(cloud, network.vpc, f"nodes.{cluster}", "workers", cluster)
    client, peer, api = layout.forwarded_ports
    apart = layout.etcd_role != MASTER
    vpc, corp = cloud.addresses.legacy_cidr, cloud.addresses.corp_cidr
    _allow(
        cloud,
        nodes,
        [
            _from_groups("-1", None, None, nodes, "workers among each other"),
            _from_groups("-1", None, None, control_plane, "control plane to kubelets and pods"),
            _from_cidrs(30080, 30080, [vpc, corp], "ingress, from its load balancer and the office"),
        ],
    )
    _allow(
        cloud,
        control_plane,
        [
            *([] if apart else [_from_groups("tcp", client, peer, control_plane, "etcd clients and peers")]),
            _from_groups("tcp", api, api, control_plane, "API among members"),
            _from_groups("tcp", api, api, nodes, "API from workers"),
            _from_cidrs(api, api, [vpc, corp], "API, from its load balancer and the office"),
        ],
    )
    etcd, etcd_profile = control_plane, control_plane_profile
    if apart:
        etcd_profile = _profile(cloud, f"etcd.{cluster}", cluster, statements)
        etcd = _group(cloud, network.vpc, f"etcd.{cluster}", "etcd", cluster)
        _allow(
            cloud,
            etcd,
            [
                _from_groups("tcp", client, peer, etcd, "etcd clients and peers"),
                _from_groups("tcp", client, client, control_plane, "etcd's clients, the API servers"),
            ],
        )
    _others(cloud, network)
    return Access(control_plane, nodes, control_plane_profile, nodes_profile, etcd, etcd_profile)


def _control_plane_policy(cluster: str, keys: str) -> list[dict[str, Any]]:
    parameters = f"arn:aws:ssm:{REGION}:{ACCOUNT_ID}:parameter/{cluster}"
    return [
        {"Effect": "Allow", "Action": ["ec2:DescribeInstances", "ec2:DescribeVolumes"], "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["ec2:AttachVolume", "ec2:DetachVolume"],
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:ResourceTag/KubernetesCluster": cluster}},
        },
        {
            "Effect": "Allow",
            "Action": ["ssm:GetParameter", "ssm:GetParameters"],
            "Resource": [f"{parameters}/{keys}/*", f"{parameters}/etcd/*", f"{parameters}/members/*"],
        },
        _agent(),
    ]


def _agent() -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(AGENT), "Resource": "*"}


def _nodes_policy(cluster: str) -> list[dict[str, Any]]:
    return [{"Effect": "Allow", "Action": ["ec2:DescribeInstances", "ec2:DescribeRegions"], "Resource": "*"}]


def _profile(cloud: Cloud, name: str, cluster: str, statements: list[dict[str, Any]]) -> str:
    iam, exists = cloud.iam, "EntityAlreadyExists"
    once(
        exists,
        lambda: iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST), Tags=pairs(tags(name, cluster))
        ),
    )
    policy = {"Version": "2012-10-17", "Statement": statements}
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    once(exists, lambda: iam.create_instance_profile(InstanceProfileName=name, Tags=pairs(tags(name, cluster))))
    once("LimitExceeded", lambda: iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name))
    return name


def _group(cloud: Cloud, vpc: str, name: str, description: str, cluster: str) -> str:
    found = cloud.named("describe_security_groups", "SecurityGroups", name, vpc_id=vpc)
    if found is None:
        found = cloud.ec2.create_security_group(
            GroupName=name,
            Description=description,
            VpcId=vpc,
            TagSpecifications=specification("security-group", tags(name, cluster)),
        )
    return found["GroupId"]


def _allow(cloud: Cloud, group: str, permissions: list[dict[str, Any]]) -> None:
    for permission in permissions:
        once(
            "InvalidPermission.Duplicate",
            lambda p=permission: cloud.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[p]),
        )


def _from_groups(protocol: str, low: int | None, high: int | None, group: str, why: str) -> dict[str, Any]:
    ports = {} if low is None else {"FromPort": low, "ToPort": high}
    return {"IpProtocol": protocol, **ports, "UserIdGroupPairs": [{"GroupId": group, "Description": why}]}


def _from_cidrs(low: int, high: int, cidrs: list[str], why: str) -> dict[str, Any]:
    return {
        "IpProtocol": "tcp",
        "FromPort": low,
        "ToPort": high,
        "IpRanges": [{"CidrIp": cidr, "Description": why} for cidr in cidrs],
    }


def _others(cloud: Cloud, network: Network) -> None:
    """Somebody else's database in the same VPC: the migration must find it and leave it alone."""
    named = {"Name": "payments-db", "Owner": "payments-team"}
    found = cloud.named("describe_security_groups", "SecurityGroups", "payments-db", vpc_id=network.vpc)
    if found is None:
        found = cloud.ec2.create_security_group(
            GroupName="payments-db",
            Description="payments database",
            VpcId=network.vpc,
            TagSpecifications=specification("security-group", named),
        )
    group = found["GroupId"]
    _allow(cloud, group, [_from_cidrs(5432, 5432, [cloud.addresses.legacy_cidr], "the cluster's pods")])
    if cloud.named("describe_network_interfaces", "NetworkInterfaces", "payments-db") is None:
        cloud.ec2.create_network_interface(
            SubnetId=network.private["eu-central-1a"],
            Groups=[group],
            Description="RDSNetworkInterface",
            TagSpecifications=specification("network-interface", named),
        )
