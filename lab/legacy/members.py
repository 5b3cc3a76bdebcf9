"""The control plane's machines, in one of the forms that people have them (lab/layouts.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.addresses import ZONES
from lab.layouts import ETCD, MASTER
from lab.legacy import launching, plan, userdata
from lab.legacy.access import Access
from lab.legacy.balancing import Balancing
from lab.legacy.cloud import Cloud
from lab.legacy.network import Network
from lab.settings import LabSettings
from lab.toolchain import pins

FIRST_SERVICE_IP = "172.20.0.1"


@dataclass(frozen=True, kw_only=True)
class Site:
    """What all groups of a control plane are made with."""

    cloud: Cloud
    settings: LabSettings
    network: Network
    access: Access
    balancing: Balancing

    @property
    def cluster(self) -> str:
        return self.settings.cluster

    @property
    def api_names(self) -> list[str]:
        return [
            self.settings.api_name,
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            FIRST_SERVICE_IP,
        ]


def build(cloud: Cloud, settings: LabSettings, network: Network, access: Access, balancing: Balancing) -> None:
    site = Site(cloud=cloud, settings=settings, network=network, access=access, balancing=balancing)
    forms: dict[str, Callable[[Site], None]] = {
        "cloud-config": _cloud_config,
        "separate-etcd": _separate_etcd,
        "kubeadm": _kubeadm,
        "custom": _custom,
    }
    forms[settings.layout](site)


def _machine(site: Site, zone: str, member: str, role: str, image: str, data: str) -> None:
    """The group of one machine with its template."""
    name = f"{member}.{site.cluster}"
    own = plan.tags(name, site.cluster, **{role: "1"})
    specified = _specified(site, role, image, data)
    template = launching.template(site.cloud, name, own, specified)
    targets = site.balancing.api_targets if role == MASTER else None
    launching.group(site.cloud, name, own, template, site.network.private[zone], 1, targets, member=True)


def _specified(site: Site, role: str, image: str, data: str) -> dict[str, Any]:
    access = site.access
    group, profile = (
        (access.control_plane, access.control_plane_profile) if role == MASTER else (access.etcd, access.etcd_profile)
    )
    return launching.specified(type=launching.MASTER_TYPE, image=image, data=data, group=group, profile=profile)


def _cloud_config(site: Site) -> None:
    image = launching.image(site.cloud, f"{site.cluster}-node-1.34.1")
    for zone in ZONES:
        member = plan.member(zone)
        launching.volume(site.cloud, site.cluster, member, zone, {"k8s.io/etcd/main": member, MASTER: "1"})
        data = userdata.control_plane(
            cluster=site.cluster,
            member=member,
            pod_cidr=site.cloud.addresses.pod_cidr,
            volume_tags={"k8s.io/etcd/main": member, "KubernetesCluster": site.cluster},
            api_names=site.api_names,
            cloud_controller=site.settings.real_controllers,
        )
        _machine(site, zone, member, MASTER, image, data)
    launching.initial_cluster(site.cloud, site.cluster)


def _separate_etcd(site: Site) -> None:
    """etcd first; the API servers' user data names its machines' addresses, and so does, from then on, etcd's own."""
    cloud, cluster = site.cloud, site.cluster
    images = [
        launching.image(cloud, f"{cluster}-{name}") for name in (f"etcd-{pins.ETCD}", f"master-{pins.KUBERNETES}")
    ]
    for zone in ZONES:
        member = f"etcd-{zone[-1]}"
        launching.volume(cloud, cluster, member, zone, {"k8s.io/etcd/main": member, ETCD: "1"})
        _machine(site, zone, member, ETCD, images[0], userdata.etcd(cluster=cluster, member=member))
    known = launching.initial_cluster(cloud, cluster, role=ETCD)
    for zone in ZONES:
        member = f"etcd-{zone[-1]}"
        data = userdata.etcd(cluster=cluster, member=member, initial_cluster=known)
        launching.next_version(cloud, f"{member}.{cluster}", _specified(site, ETCD, images[0], data))
    addresses = dict(pair.split("=", 1) for pair in known.split(","))
    for zone in ZONES:
        # Its own zone's first, and then the others': an API server tries them in this order.
        names = sorted(addresses, key=lambda name: (name[-1] != zone[-1], name))
        data = userdata.master(
            cluster=cluster,
            pod_cidr=cloud.addresses.pod_cidr,
            api_names=site.api_names,
            etcd_servers=[addresses[name].replace(":2380", ":2379") for name in names],
        )
        _machine(site, zone, plan.member(zone), MASTER, images[1], data)


def _kubeadm(site: Site) -> None:
    image = launching.image(site.cloud, f"{site.cluster}-kubeadm-{pins.KUBERNETES}")
    for zone in ZONES:
        member = plan.member(zone)
        launching.volume(site.cloud, site.cluster, member, zone, {"k8s.io/etcd/main": member, MASTER: "1"})
        data = userdata.kubeadm(
            cluster=site.cluster,
            member=member,
            pod_cidr=site.cloud.addresses.pod_cidr,
            api_name=site.settings.api_name,
        )
        _machine(site, zone, member, MASTER, image, data)
    # kubeadm calls a member by its node.
    launching.initial_cluster(site.cloud, site.cluster, named=lambda instance: instance["PrivateDnsName"])


def _custom(site: Site) -> None:
    layout = site.settings.control_plane
    image = launching.image(site.cloud, f"{site.cluster}-node-1.34.1")
    for zone in ZONES:
        member = plan.member(zone)
        launching.volume(site.cloud, site.cluster, member, zone, {"ops/etcd-disk": member, MASTER: "1"})
        data = userdata.custom(
            cluster=site.cluster,
            member=member,
            pod_cidr=site.cloud.addresses.pod_cidr,
            api_names=site.api_names,
        )
        _machine(site, zone, member, MASTER, image, data)
    launching.initial_cluster(site.cloud, site.cluster, port=layout.etcd_peer_port)
