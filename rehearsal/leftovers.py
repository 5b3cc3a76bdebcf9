"""What is still there and shouldn't be: objects of the old side that were to be retired, and orphaned processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

Listing = Callable[[], Iterator[tuple[str, str]]]


def left_in_aws(configuration: dict[str, Any], region: str) -> list[str]:
    """Objects found in the old VPC, or tagged as the cluster's, that neither are kept nor belong to the new side.

    `configuration` is the stack file's `migration:` keys without their prefix.
    """
    old = configuration["sides"][configuration["from"]]
    kept = {item["id"] for item in configuration.get("keep", [])}
    cluster, new = configuration["cluster"], configuration["to"]
    scan = _Scan(cluster, old["vpcId"], new, region)
    return sorted(f"{kind} {id_}" for kind, id_ in scan.everything() if id_ not in kept)


class _Scan:
    def __init__(self, cluster: str, vpc: str, new_side: str, region: str) -> None:
        session: Any = boto3.Session(region_name=region)
        self._ec2, self._elb, self._groups = (session.client(name) for name in ("ec2", "elbv2", "autoscaling"))
        self._cluster, self._vpc, self._new = cluster, vpc, new_side

    def everything(self) -> Iterator[tuple[str, str]]:
        for listing in (self._in_vpc, self._balancers, self._by_tag, self._peerings):
            yield from listing()

    def _in_vpc(self) -> Iterator[tuple[str, str]]:
        inside: list[Any] = [{"Name": "vpc-id", "Values": [self._vpc]}]
        for page in self._ec2.get_paginator("describe_instances").paginate(Filters=inside):
            for reservation in page["Reservations"]:
                for instance in reservation["Instances"]:
                    if instance["State"]["Name"] not in ("terminated", "shutting-down"):
                        yield "instance", instance["InstanceId"]
        for group in self._ec2.describe_security_groups(Filters=inside)["SecurityGroups"]:
            if group["GroupName"] != "default":  # AWS makes one with every VPC and lets nobody delete it
                yield "security-group", group["GroupId"]
        for interface in self._ec2.describe_network_interfaces(Filters=inside)["NetworkInterfaces"]:
            yield "network-interface", interface["NetworkInterfaceId"]
        for table in self._ec2.describe_route_tables(Filters=inside)["RouteTables"]:
            for route in table["Routes"]:
                if route.get("State") == "blackhole":
                    yield "route", f"{table['RouteTableId']} to {route.get('DestinationCidrBlock')}"
        subnets = {subnet["SubnetId"] for subnet in self._ec2.describe_subnets(Filters=inside)["Subnets"]}
        for page in self._groups.get_paginator("describe_auto_scaling_groups").paginate():
            for group in page["AutoScalingGroups"]:
                if subnets & set(group.get("VPCZoneIdentifier", "").split(",")):
                    yield "autoscaling-group", group["AutoScalingGroupName"]

    def _balancers(self) -> Iterator[tuple[str, str]]:
        for balancer in self._elb.describe_load_balancers()["LoadBalancers"]:
            if balancer["VpcId"] == self._vpc:
                yield "load-balancer", balancer["LoadBalancerArn"]
        for group in self._elb.describe_target_groups()["TargetGroups"]:
            if group.get("VpcId") == self._vpc:
                yield "target-group", group["TargetGroupArn"]

    def _by_tag(self) -> Iterator[tuple[str, str]]:
        owned: list[Any] = [{"Name": f"tag:kubernetes.io/cluster/{self._cluster}", "Values": ["owned"]}]
        for volume in self._ec2.describe_volumes(Filters=owned)["Volumes"]:
            if not self._is_new(volume):
                yield "volume", volume["VolumeId"]
        for template in self._ec2.describe_launch_templates(Filters=owned)["LaunchTemplates"]:
            if not self._is_new(template):
                yield "launch-template", template["LaunchTemplateId"]

    def _is_new(self, item: Any) -> bool:
        return any(tag["Key"] == "migration:side" and tag["Value"] == self._new for tag in item.get("Tags", []))

    def _peerings(self) -> Iterator[tuple[str, str]]:
        for peering in self._ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]:
            ends = {peering["RequesterVpcInfo"].get("VpcId"), peering["AccepterVpcInfo"].get("VpcId")}
            if self._vpc in ends and self._is_new(peering) and peering["Status"]["Code"] == "active":
                yield "peering", peering["VpcPeeringConnectionId"]


def orphaned_processes(lab_dir: Path, running: set[str]) -> list[str]:
    """Processes of this lab whose instance isn't among `running` instance ids."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            raw = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
        except OSError:  # ended meanwhile, or somebody else's
            continue
        values = dict(item.split(b"=", 1) for item in raw if b"=" in item)
        instance = values.get(b"LAB_INSTANCE", b"").decode()
        if instance and values.get(b"LAB_DIR", b"").decode() == str(lab_dir) and instance not in running:
            found.append(f"process {entry.name} ({Path(command).name}) of {instance}")
    return sorted(found)


def running_instances(region: str) -> set[str]:
    """Ids of all instances that AWS says are running or starting."""
    session: Any = boto3.Session(region_name=region)
    ec2 = session.client("ec2")
    states: list[Any] = [{"Name": "instance-state-name", "Values": ["running", "pending"]}]
    try:
        pages = ec2.get_paginator("describe_instances").paginate(Filters=states)
        return {i["InstanceId"] for page in pages for r in page["Reservations"] for i in r["Instances"]}
    except ClientError as error:
        raise RuntimeError(f"the lab's AWS doesn't list instances: {error}") from error
