"""`python -m lab.workload`: applies the workload and waits until all of it is ready."""

from __future__ import annotations

import base64
import sys
import time
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
from lab.workload.cluster import Cluster, NotReady, Summary

LIMIT_S = 120.0
NAME = "webhook.admission.svc"


def volumes(addresses: LabAddresses, cluster: str) -> dict[str, str]:
    """The EBS volumes of the teams' data, made where they are missing, by namespace/claim."""
    cloud = Cloud(addresses)
    made: dict[str, str] = {}
    for space, claim, zone in objects.claims():
        name = f"{cluster}-{space}-{claim}"
        volume = cloud.named("describe_volumes", "Volumes", name)
        if volume is None:
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
        made[f"{space}/{claim}"] = volume["VolumeId"]
    return made


def balancer_of(addresses: LabAddresses) -> str:
    """The name in DNS of the balancer that the Service of type LoadBalancer has."""
    known = found(Cloud(addresses), "describe_load_balancers", "LoadBalancers", SERVICE_BALANCER)
    if known is None:
        raise NotReady(f"Service {SERVICE}: there is no balancer {SERVICE_BALANCER}")
    return known["DNSName"]


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
    cluster.apply_all([*objects.ingress(), *objects.system(), *objects.storage(volumes(addresses, settings.cluster))])
    admission(cluster)
    cluster.apply_all(objects.teams())
    chosen = oddities(settings.shape, settings.seed)
    if "second_ingress" in chosen:
        cluster.apply_all(awkward.intranet())
    if "service_balancer" in chosen:
        cluster.apply_all(awkward.checkout(settings.zone_name))
        cluster.apply_status(awkward.status(balancer_of(addresses)))
    return cluster.wait(LIMIT_S)


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
