"""The workers' groups, after the control plane's."""

from __future__ import annotations

from lab.legacy import launching, members, plan, userdata
from lab.legacy.access import Access
from lab.legacy.balancing import Balancing
from lab.legacy.cloud import Cloud
from lab.legacy.network import Network
from lab.settings import LabSettings


def build(cloud: Cloud, settings: LabSettings, network: Network, access: Access, balancing: Balancing) -> None:
    image = launching.image(cloud, f"{settings.cluster}-node-1.34.1")
    members.build(cloud, settings, network, access, balancing)
    for pool in plan.pools(settings.profile):
        workers(cloud, settings.cluster, pool, image, network, access, balancing)


def workers(
    cloud: Cloud, cluster: str, pool: plan.Pool, image: str, network: Network, access: Access, balancing: Balancing
) -> None:
    """A pool's template and group."""
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
    specified = launching.specified(
        type=pool.type,
        image=image,
        data=data,
        group=access.nodes,
        profile=access.nodes_profile,
        spot=pool.market == "spot",
    )
    template = launching.template(cloud, name, own, specified)
    launching.group(cloud, name, own, template, network.private[pool.zone], pool.size, balancing.ingress_targets)
