"""Launch templates, Auto Scaling groups and etcd volumes."""

from __future__ import annotations

import base64
import time
from typing import Any

from botocore.exceptions import ClientError

from lab.addresses import ZONES
from lab.legacy import plan, userdata
from lab.legacy.access import Access
from lab.legacy.balancing import Balancing
from lab.legacy.cloud import Cloud, code_of, once, specification
from lab.legacy.network import Network
from lab.settings import LabSettings

MASTER_TYPE = "m5.large"
FIRST_SERVICE_IP = "172.20.0.1"
LAUNCH_S = 60.0


class Incomplete(RuntimeError):
    """The Auto Scaling groups didn't launch what they should have."""


def build(cloud: Cloud, settings: LabSettings, network: Network, access: Access, balancing: Balancing) -> None:
    image = _image(cloud, settings.cluster)
    for zone in ZONES:
        _member(cloud, settings, zone, image, network, access, balancing)
    _initial_cluster(cloud, settings.cluster)
    for pool in plan.pools(settings.profile):
        _workers(cloud, settings.cluster, pool, image, network, access, balancing)


def _image(cloud: Cloud, cluster: str) -> str:
    name = f"{cluster}-node-1.34.1"
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


def _member(
    cloud: Cloud, settings: LabSettings, zone: str, image: str, network: Network, access: Access, balancing: Balancing
) -> None:
    cluster, member = settings.cluster, plan.member(zone)
    name = f"{member}.{cluster}"
    found = {"k8s.io/etcd/main": member, "KubernetesCluster": cluster}
    _volume(cloud, cluster, member, zone)
    data = userdata.control_plane(
        cluster=cluster,
        member=member,
        pod_cidr=cloud.addresses.pod_cidr,
        volume_tags=found,
        api_names=[
            settings.api_name,
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            FIRST_SERVICE_IP,
        ],
    )
    own = plan.tags(name, cluster, **{"k8s.io/role/master": "1"})
    template = _template(
        cloud,
        name,
        own,
        type=MASTER_TYPE,
        image=image,
        data=data,
        group=access.control_plane,
        profile=access.control_plane_profile,
        spot=False,
    )
    _group(cloud, name, own, template, network.private[zone], 1, balancing.api_targets)


def _workers(
    cloud: Cloud, cluster: str, pool: plan.Pool, image: str, network: Network, access: Access, balancing: Balancing
) -> None:
    name = pool.name(cluster)
    own = plan.tags(
        name,
        cluster,
        **{
            "k8s.io/role/node": "1",
            "k8s.io/cluster-autoscaler/enabled": "",
            f"k8s.io/cluster-autoscaler/{cluster}": "owned",
        },
    )
    data = userdata.worker(labels={"pet.lab.internal/market": pool.market, "pet.lab.internal/pool": name})
    template = _template(
        cloud,
        name,
        own,
        type=pool.type,
        image=image,
        data=data,
        group=access.nodes,
        profile=access.nodes_profile,
        spot=pool.market == "spot",
    )
    _group(cloud, name, own, template, network.private[pool.zone], pool.size, balancing.ingress_targets)


def _volume(cloud: Cloud, cluster: str, member: str, zone: str) -> None:
    name = f"{member}.etcd.{cluster}"
    if cloud.named("describe_volumes", "Volumes", name) is None:
        own = plan.tags(name, cluster, **{"k8s.io/etcd/main": member, "k8s.io/role/master": "1"})
        cloud.ec2.create_volume(
            AvailabilityZone=zone,
            Size=20,
            VolumeType="gp3",
            Encrypted=True,
            TagSpecifications=specification("volume", own),
        )


def _template(
    cloud: Cloud,
    name: str,
    own: dict[str, str],
    *,
    type: str,
    image: str,
    data: str,
    group: str,
    profile: str,
    spot: bool,
) -> str:
    specified: dict[str, Any] = {
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
        specified["InstanceMarketOptions"] = {"MarketType": "spot"}
    once(
        "InvalidLaunchTemplateName.AlreadyExistsException",
        lambda: cloud.ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData=specified,
            TagSpecifications=specification("launch-template", own),
        ),
    )
    return name


def _group(
    cloud: Cloud, name: str, own: dict[str, str], template: str, subnet: str, size: int, target_group: str
) -> None:
    found = cloud.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    if found:
        return
    member = "k8s.io/role/master" in own
    cloud.autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateName": template, "Version": "$Latest"},
        MinSize=1 if member else 0,
        MaxSize=1 if member else max(10, 2 * size),
        DesiredCapacity=size,
        VPCZoneIdentifier=subnet,
        TargetGroupARNs=[target_group],
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


def _initial_cluster(cloud: Cloud, cluster: str) -> None:
    """Tells the members who they are together, once all three have an address; they wait for it."""
    name = f"/{cluster}/etcd/initial-cluster"
    try:
        cloud.ssm.get_parameter(Name=name)
        return
    except ClientError as error:
        if code_of(error) != "ParameterNotFound":
            raise
    deadline = time.monotonic() + LAUNCH_S
    while True:
        members = _members(cloud, cluster)
        if len(members) == len(ZONES):
            break
        if time.monotonic() > deadline:
            raise Incomplete(f"of {len(ZONES)} control-plane groups only {sorted(members)} have an instance")
        time.sleep(0.2)
    value = ",".join(f"{member}=https://{ip}:2380" for member, ip in sorted(members.items()))
    cloud.ssm.put_parameter(Name=name, Value=value, Type="String")


def _members(cloud: Cloud, cluster: str) -> dict[str, str]:
    answer = cloud.ec2.describe_instances(
        Filters=[
            {"Name": "tag:KubernetesCluster", "Values": [cluster]},
            {"Name": "tag-key", "Values": ["k8s.io/role/master"]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
    )
    return {
        next(tag["Value"] for tag in instance["Tags"] if tag["Key"] == "Name").partition(".")[0]: instance[
            "PrivateIpAddress"
        ]
        for reservation in answer["Reservations"]
        for instance in reservation["Instances"]
    }
