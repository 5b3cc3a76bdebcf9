"""What every machine group of the legacy cluster is made of: image, volume, launch template, Auto Scaling group."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from lab.addresses import ETCD_PEER_PORT, ZONES
from lab.layouts import MASTER
from lab.legacy import plan
from lab.legacy.cloud import Cloud, code_of, once, specification

MASTER_TYPE = "m5.large"
LAUNCH_S = 60.0


class Incomplete(RuntimeError):
    """The Auto Scaling groups didn't launch what they should have."""


def name_tag(instance: dict[str, Any]) -> str:
    """The part of its Name before the cluster's."""
    return next(tag["Value"] for tag in instance["Tags"] if tag["Key"] == "Name").partition(".")[0]


def image(cloud: Cloud, name: str) -> str:
    """The id of the image with this name, which says what it brings (lab/machines/images.py)."""
    found = cloud.ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [name]}])["Images"]
    if found:
        return found[0]["ImageId"]
    return cloud.ec2.register_image(
        Name=name,
        Description="Kubernetes 1.34.1",
        Architecture="x86_64",
        RootDeviceName="/dev/xvda",
        VirtualizationType="hvm",
    )["ImageId"]


def volume(cloud: Cloud, cluster: str, member: str, zone: str, more: dict[str, str]) -> None:
    """An etcd member's volume; `more` are the tags by which its machine finds it."""
    name = f"{member}.etcd.{cluster}"
    if cloud.named("describe_volumes", "Volumes", name) is None:
        own = plan.tags(name, cluster, **more)
        cloud.ec2.create_volume(
            AvailabilityZone=zone,
            Size=20,
            VolumeType="gp3",
            Encrypted=True,
            TagSpecifications=specification("volume", own),
        )


def specified(*, type: str, image: str, data: str, group: str, profile: str, spot: bool = False) -> dict[str, Any]:
    """A launch template's data."""
    data_of: dict[str, Any] = {
        "ImageId": image,
        "InstanceType": type,
        "IamInstanceProfile": {"Name": profile},
        "UserData": base64.b64encode(data.encode()).decode(),
        "NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": False, "Groups": [group]}],
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {"VolumeSize": 64, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True},
            }
        ],
    }
    if spot:
        data_of["InstanceMarketOptions"] = {"MarketType": "spot"}
    return data_of


def template(cloud: Cloud, name: str, own: dict[str, str], data: dict[str, Any]) -> str:
    once(
        "InvalidLaunchTemplateName.AlreadyExistsException",
        lambda: cloud.ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData=data,
            TagSpecifications=specification("launch-template", own),
        ),
    )
    return name


def next_version(cloud: Cloud, name: str, data: dict[str, Any]) -> None:
    """Another version of a template, unless the newest is that already."""
    versions = cloud.ec2.describe_launch_template_versions(LaunchTemplateName=name, Versions=["$Latest"])
    newest = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    if newest.get("UserData") != data["UserData"]:
        cloud.ec2.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=data)


def group(
    cloud: Cloud,
    name: str,
    own: dict[str, str],
    template: str,
    subnet: str,
    size: int,
    target_group: str | None,
    *,
    member: bool = False,
) -> None:
    """An Auto Scaling group; a member's has one machine, always."""
    found = cloud.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if found:
        return
    cloud.autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateName": template, "Version": "$Latest"},
        MinSize=1 if member else 0,
        MaxSize=1 if member else max(10, 2 * size),
        DesiredCapacity=size,
        VPCZoneIdentifier=subnet,
        TargetGroupARNs=[] if target_group is None else [target_group],
        HealthCheckType="EC2",
        HealthCheckGracePeriod=30,
        Tags=[
            {
                "Key": key,
                "Value": value,
                "PropagateAtLaunch": True,
                "ResourceId": name,
                "ResourceType": "auto-scaling-group",
            }
            for key, value in own.items()
        ],
    )


def initial_cluster(
    cloud: Cloud,
    cluster: str,
    *,
    role: str = MASTER,
    port: int = ETCD_PEER_PORT,
    named: Callable[[dict[str, Any]], str] = name_tag,
) -> str:
    """Tells the members who they are together, once all three have an address; they wait for it.

    `named` gives a member's name from what EC2 says of its machine. Returns the members as etcd's flag has them.
    """
    name = f"/{cluster}/etcd/initial-cluster"
    try:
        return cloud.ssm.get_parameter(Name=name)["Parameter"]["Value"]
    except ClientError as error:
        if code_of(error) != "ParameterNotFound":
            raise
    deadline = time.monotonic() + LAUNCH_S
    while True:
        members = addresses(cloud, cluster, role, named)
        if len(members) == len(ZONES):
            break
        if time.monotonic() > deadline:
            raise Incomplete(f"of {len(ZONES)} control-plane groups only {sorted(members)} have an instance")
        time.sleep(0.2)
    value = ",".join(f"{member}=https://{ip}:{port}" for member, ip in sorted(members.items()))
    cloud.ssm.put_parameter(Name=name, Value=value, Type="String")
    return value


def addresses(
    cloud: Cloud, cluster: str, role: str, named: Callable[[dict[str, Any]], str] = name_tag
) -> dict[str, str]:
    """Of the cluster's machines with this role tag, by name."""
    answer = cloud.ec2.describe_instances(
        Filters=[
            {"Name": "tag:KubernetesCluster", "Values": [cluster]},
            {"Name": "tag-key", "Values": [role]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
    )
    return {
        named(instance): instance["PrivateIpAddress"]
        for reservation in answer["Reservations"]
        for instance in reservation["Instances"]
    }
