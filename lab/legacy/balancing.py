"""The load balancers with their instance target groups, and the hosted zone whose names point at them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from botocore.exceptions import ClientError

from lab.addresses import API_PORT, INGRESS_NODE_PORT, INGRESS_PORT, REGION
from lab.legacy.cloud import Cloud, code_of, once, pairs
from lab.legacy.network import Network
from lab.legacy.plan import tags
from lab.settings import LabSettings

MOST = 32
"""Characters of a balancer's name."""


@dataclass(frozen=True)
class Balancing:
    ingress_targets: str
    api_targets: str
    ingress_dns: str
    api_dns: str


def build(cloud: Cloud, settings: LabSettings, network: Network) -> Balancing:
    cluster = settings.cluster
    ingress_targets, ingress_dns = _balancer(
        cloud, f"ingress-{cluster}", cluster, network, INGRESS_PORT, INGRESS_NODE_PORT
    )
    api_targets, api_dns = _balancer(
        cloud, f"api-{cluster}", cluster, network, API_PORT, settings.control_plane.api_port
    )
    balancing = Balancing(ingress_targets, api_targets, ingress_dns, api_dns)
    _zone(cloud, settings, network, balancing)
    return balancing


def legal(name: str) -> str:
    """A balancer's or target group's name, where AWS takes no dots and 32 characters: as older tooling cut it."""
    if "." not in name and len(name) <= MOST:
        return name
    return name.replace(".", "-")[:MOST].strip("-")


def _balancer(cloud: Cloud, name: str, cluster: str, network: Network, port: int, target: int) -> tuple[str, str]:
    """A network load balancer with one listener on one target group. The group's ARN and the balancer's DNS name."""
    named = pairs(tags(f"{name}.{cluster}", cluster))
    name = legal(name)
    balancer = found(cloud, "describe_load_balancers", "LoadBalancers", name)
    if balancer is None:
        balancer = cloud.elbv2.create_load_balancer(
            Name=name,
            Type="network",
            Scheme="internal",
            Subnets=list(network.private.values()),
            Tags=named,
        )["LoadBalancers"][0]
        cloud.elbv2.modify_load_balancer_attributes(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Attributes=[{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}],
        )
    group = found(cloud, "describe_target_groups", "TargetGroups", name)
    if group is None:
        group = cloud.elbv2.create_target_group(
            Name=name,
            Protocol="TCP",
            Port=target,
            VpcId=network.vpc,
            TargetType="instance",
            HealthCheckProtocol="TCP",
            HealthCheckPort="traffic-port",
            HealthCheckIntervalSeconds=10,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=2,
            Tags=named,
        )["TargetGroups"][0]
        cloud.elbv2.modify_target_group_attributes(
            TargetGroupArn=group["TargetGroupArn"],
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "120"}],
        )
    arn = balancer["LoadBalancerArn"]
    if not cloud.elbv2.describe_listeners(LoadBalancerArn=arn)["Listeners"]:
        cloud.elbv2.create_listener(
            LoadBalancerArn=arn,
            Protocol="TCP",
            Port=port,
            Tags=named,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
        )
    return group["TargetGroupArn"], balancer["DNSName"]


def found(cloud: Cloud, call: str, key: str, name: str) -> dict[str, str] | None:
    """What ELB describes by this name, or None."""
    try:
        return getattr(cloud.elbv2, call)(Names=[name])[key][0]
    except ClientError as error:
        if not code_of(error).endswith("NotFound"):
            raise
        return None


def _zone(cloud: Cloud, settings: LabSettings, network: Network, balancing: Balancing) -> None:
    wanted = settings.zone_name + "."
    zones = cloud.route53.list_hosted_zones_by_name(DNSName=wanted)["HostedZones"]
    zone = next((z["Id"] for z in zones if z["Name"] == wanted), None)
    if zone is None:
        zone = cloud.route53.create_hosted_zone(
            Name=wanted,
            CallerReference=f"{settings.cluster}-{time.time_ns()}",
            VPC={"VPCRegion": REGION, "VPCId": network.vpc},
            HostedZoneConfig={"Comment": f"cluster {settings.cluster}", "PrivateZone": True},
        )["HostedZone"]["Id"]
        cloud.route53.change_tags_for_resource(
            ResourceType="hostedzone",
            ResourceId=zone.rpartition("/")[2],
            AddTags=pairs(tags(settings.zone_name, settings.cluster, "shared")),
        )
    associated = [vpc["VPCId"] for vpc in cloud.route53.get_hosted_zone(Id=zone)["VPCs"]]
    if network.corp not in associated:
        once(
            "ConflictingDomainExists",
            lambda: cloud.route53.associate_vpc_with_hosted_zone(
                HostedZoneId=zone, VPC={"VPCRegion": REGION, "VPCId": network.corp}
            ),
        )
    present = {
        record["Name"] for record in cloud.route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    }
    names = {settings.api_name: balancing.api_dns, settings.ingress_wildcard: balancing.ingress_dns}
    # Route 53 lists `*` as an octal escape.
    changes = [
        {
            "Action": "CREATE",
            "ResourceRecordSet": {
                "Name": name,
                "Type": "CNAME",
                "TTL": settings.record_ttl_s,
                "ResourceRecords": [{"Value": target}],
            },
        }
        for name, target in names.items()
        if not present & {f"{name}.", f"{name}.".replace("*", "\\052")}
    ]
    if changes:
        cloud.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
