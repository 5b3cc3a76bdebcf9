"""`python -m lab.workload`: applies the workload and waits until all of it is ready."""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from lab.addresses import LabAddresses, from_environment, lab_dir
from lab.kubernetes.access import ApiError
from lab.legacy.awkward.balancers import SERVICE, SERVICE_BALANCER
from lab.legacy.balancing import found
from lab.legacy.cloud import Cloud, specification
from lab.legacy.pki import Authority
from lab.settings import LabSettings, SettingsError
from lab.shapes import oddities
from lab.workload import awkward, objects
from lab.workload.apps import App, apps_of
from lab.workload.cluster import Cluster, NotReady, Summary

LIMIT_S = 120.0
PODS_A_SECOND = 3
"""How slowly pods may become ready beyond that, on a machine with far too much to do."""
NAME = "webhook.admission.svc"


def volumes(addresses: LabAddresses, cluster: str, apps: Sequence[App]) -> dict[str, str]:
    """The EBS volumes of the teams' data, made where they are missing, by namespace/claim."""
    cloud = Cloud(addresses)
    there = _named_volumes(cloud, cluster)
    made: dict[str, str] = {}
    for space, claim, zone in objects.claims(apps):
        name = f"{cluster}-{space}-{claim}"
        if name not in there:
            tags = {
                "Name": name,
                "KubernetesCluster": cluster,
                f"kubernetes.io/cluster/{cluster}": "owned",
                "kubernetes.io/created-for/pvc/namespace": space,
                "kubernetes.io/created-for/pvc/name": claim,
            }
            volume = cloud.ec2.create_volume(
                AvailabilityZone=zone,
                Size=10,
                VolumeType="gp3",
                Encrypted=True,
                TagSpecifications=specification("volume", tags),
            )
            there[name] = volume["VolumeId"]
        made[f"{space}/{claim}"] = there[name]
    return made


def _named_volumes(cloud: Cloud, cluster: str) -> dict[str, str]:
    """The ids of a cluster's volumes that have a name, by that: asked once, not once a claim."""
    pages = cloud.ec2.get_paginator("describe_volumes").paginate(
        Filters=[{"Name": "tag:KubernetesCluster", "Values": [cluster]}]
    )
    return {
        tag["Value"]: volume["VolumeId"]
        for page in pages
        for volume in page["Volumes"]
        for tag in volume.get("Tags", ())
        if tag["Key"] == "Name"
    }


def balancer_of(addresses: LabAddresses) -> str:
    """The name in DNS of the balancer that the Service of type LoadBalancer has."""
    known = found(Cloud(addresses), "describe_load_balancers", "LoadBalancers", SERVICE_BALANCER)
    if known is None:
        raise NotReady(f"Service {SERVICE}: there is no balancer {SERVICE_BALANCER}")
    return known["DNSName"]


def serving(addresses: LabAddresses, settings: LabSettings, cluster: Cluster, limit_s: float) -> None:
    """Waits until the controllers have done their part for the Service: a balancer, healthy targets, a name.

    Raises NotReady with what is missing.
    """
    cloud, deadline = Cloud(addresses), time.monotonic() + limit_s
    while lacks := _lacks(cloud, settings, cluster):
        if time.monotonic() > deadline:
            raise NotReady(f"Service {SERVICE}: {lacks} after {limit_s:.0f} s; see the controllers' logs")
        time.sleep(1)


def _lacks(cloud: Cloud, settings: LabSettings, cluster: Cluster) -> str:
    """What the Service hasn't got yet; empty where it has everything."""
    space, name = SERVICE.split("/")
    raw = cluster.read({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": space, "name": name}})
    ingress = raw.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    dns = str(ingress[0].get("hostname", ""))
    if not dns:
        return "no balancer in its status"
    balancers = cloud.elbv2.describe_load_balancers()["LoadBalancers"]
    own = [one for one in balancers if one["DNSName"].lower() == dns.lower()]
    if not own:
        return f"no balancer {dns} in AWS"
    groups = cloud.elbv2.describe_target_groups(LoadBalancerArn=own[0]["LoadBalancerArn"])["TargetGroups"]
    health = [
        target["TargetHealth"]["State"]
        for group in groups
        for target in cloud.elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])[
            "TargetHealthDescriptions"
        ]
    ]
    if not health or set(health) != {"healthy"}:
        return f"targets {', '.join(sorted(set(health))) or 'none'}"
    record = f"{name}.{settings.zone_name}."
    zones = cloud.route53.list_hosted_zones_by_name(DNSName=settings.zone_name)["HostedZones"]
    for zone in zones:
        if zone["Config"]["PrivateZone"] and zone["Name"] == f"{settings.zone_name}.":
            found = cloud.route53.list_resource_record_sets(
                HostedZoneId=zone["Id"], StartRecordName=record, MaxItems="1"
            )
            if any(one["Name"] == record for one in found["ResourceRecordSets"]):
                return ""
    return f"no record {record}"


def admission(cluster: Cluster) -> None:
    """The webhook's pods first; its configuration only once they answer, or it would refuse everybody's."""
    # Asked of the last thing made here: a run that was cut short begins again, with a new authority.
    if cluster.exists(objects.webhook("")):
        return
    authority = Authority.make("admission-ca")
    certificate, key = authority.issue(NAME, sans=(NAME, "webhook.admission"), server=True)
    cluster.apply_all(objects.admission(certificate, key))
    cluster.wait(LIMIT_S, only="admission")
    cluster.apply(objects.webhook(base64.b64encode(authority.pem.encode()).decode()))


def run(addresses: LabAddresses, settings: LabSettings, directory: Path) -> Summary:
    cluster = Cluster(directory / "kubeconfig")
    apps = apps_of(settings.profile, settings.team_pods)
    storage = objects.storage(apps, volumes(addresses, settings.cluster, apps))
    cluster.apply_all([*objects.ingress(), *objects.system(), *storage])
    admission(cluster)
    cluster.apply_all(objects.teams(apps))
    chosen = oddities(settings.shape, settings.seed)
    if "second_ingress" in chosen:
        cluster.apply_all(awkward.intranet())
    real = settings.real_controllers
    if real:
        cluster.apply_all([*awkward.cloud_controller(), *awkward.external_dns()])
    if "service_balancer" in chosen:
        cluster.apply_all(awkward.checkout(settings.zone_name, real=real, ttl_s=settings.record_ttl_s))
        if real:
            serving(addresses, settings, cluster, LIMIT_S)
        else:
            cluster.apply_status(awkward.status(balancer_of(addresses)))
    return cluster.wait(LIMIT_S + settings.team_pods / PODS_A_SECOND)


def main() -> int:
    started = time.monotonic()
    try:
        directory = lab_dir()
        summary = run(from_environment(), LabSettings.load(directory), directory)
    except (SettingsError, ValueError, OSError, ApiError, NotReady, BotoCoreError, ClientError) as error:
        print(f"lab.workload: {error}", file=sys.stderr)
        return 1
    print(f"{summary} after {time.monotonic() - started:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
