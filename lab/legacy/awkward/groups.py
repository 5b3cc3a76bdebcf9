"""Oddities of the workers' groups: several types, tags that stay on the group, a second security group."""

from __future__ import annotations

from random import Random
from typing import Any

from lab.legacy import plan
from lab.legacy.awkward.networks import worker_groups
from lab.legacy.cloud import specification
from lab.legacy.members import Site

ALIKE = ("m5.large", "m5a.large", "m6i.large", "m6a.large")


def mixed_policies(site: Site, draw: Random) -> None:
    """Some groups launch several types, partly on demand, by a mixed instances policy with overrides."""
    for group in worker_groups(site):
        name = group["AutoScalingGroupName"]
        spot = name.partition(".")[0].endswith("-spot")
        if group.get("MixedInstancesPolicy") or (not spot and draw.random() < 0.7):
            continue
        if spot:
            _without_market(site, name)
        types = draw.sample(ALIKE, 3)
        reference = {"LaunchTemplateName": name, "Version": "$Latest"}
        distribution: dict[str, Any] = {
            "OnDemandBaseCapacity": draw.randint(0, 1),
            "OnDemandPercentageAboveBaseCapacity": 0 if spot else 50,
            "SpotAllocationStrategy": draw.choice(("price-capacity-optimized", "capacity-optimized")),
        }
        site.cloud.autoscaling.update_auto_scaling_group(
            AutoScalingGroupName=name,
            MixedInstancesPolicy={
                "LaunchTemplate": {
                    "LaunchTemplateSpecification": reference,
                    "Overrides": [{"InstanceType": kind, "WeightedCapacity": "1"} for kind in types],
                },
                "InstancesDistribution": distribution,
            },
        )


def _without_market(site: Site, name: str) -> None:
    """A newest version of the template that asks for no market: a mixed policy says what is spot, and refuses both."""
    newest = site.cloud.ec2.describe_launch_template_versions(LaunchTemplateName=name, Versions=["$Latest"])
    data: dict[str, Any] = newest["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    if data.pop("InstanceMarketOptions", None):
        site.cloud.ec2.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=data)


def quiet_tags(site: Site, draw: Random) -> None:
    """The autoscaler's tags, labels and taints for groups without a node: they don't go on to the instances."""
    for group in worker_groups(site):
        name = group["AutoScalingGroupName"]
        tags = {
            "k8s.io/cluster-autoscaler/enabled": "",
            f"k8s.io/cluster-autoscaler/{site.cluster}": "owned",
            "k8s.io/cluster-autoscaler/node-template/label/disk": draw.choice(("ssd", "hdd")),
        }
        site.cloud.autoscaling.create_or_update_tags(
            Tags=[
                {
                    "ResourceId": name,
                    "ResourceType": "auto-scaling-group",
                    "Key": key,
                    "Value": value,
                    "PropagateAtLaunch": False,
                }
                for key, value in tags.items()
            ]
        )


def interface_form(site: Site, draw: Random) -> None:
    """As kops writes templates: groups in the interface, two of them; tags for instance and volume in the template."""
    extra = f"extra.{site.cluster}"
    found: Any = site.cloud.named("describe_security_groups", "SecurityGroups", extra, vpc_id=site.network.vpc)
    if found is None:
        # The cloud controller refuses a machine with two groups of the cluster's tag: where it runs, there are none.
        tags = {"Name": extra} if site.settings.real_controllers else plan.tags(extra, site.cluster, "shared")
        found = site.cloud.ec2.create_security_group(
            GroupName=extra,
            Description="added by hand",
            VpcId=site.network.vpc,
            TagSpecifications=specification("security-group", tags),
        )
    ec2 = site.cloud.ec2
    for group in worker_groups(site):
        if draw.random() < 0.3:
            continue
        name = group["AutoScalingGroupName"]
        newest = ec2.describe_launch_template_versions(LaunchTemplateName=name, Versions=["$Latest"])
        data: dict[str, Any] = newest["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        if found["GroupId"] in data["NetworkInterfaces"][0]["Groups"]:
            continue
        interface = {
            "DeviceIndex": 0,
            "AssociatePublicIpAddress": False,
            "DeleteOnTermination": True,
            "Groups": [site.access.nodes, found["GroupId"]],
        }
        named = [{"Key": "Name", "Value": name}, {"Key": "KubernetesCluster", "Value": site.cluster}]
        ec2.create_launch_template_version(
            LaunchTemplateName=name,
            LaunchTemplateData={
                **data,
                "NetworkInterfaces": [interface],
                "Monitoring": {"Enabled": draw.random() < 0.5},
                "TagSpecifications": [{"ResourceType": kind, "Tags": named} for kind in ("instance", "volume")],
            },
        )
