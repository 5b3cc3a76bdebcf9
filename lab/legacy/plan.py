"""What the older tooling would have made, as data. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

from lab.addresses import ZONES
from lab.profiles import find, room

MARKETS = ("on-demand", "spot")


@dataclass(frozen=True, kw_only=True)
class Pool:
    """One worker Auto Scaling group."""

    type: str
    zone: str
    market: str
    size: int

    def name(self, cluster: str) -> str:
        short = "od" if self.market == "on-demand" else "spot"
        return f"nodes-{self.type.replace('.', '-')}-{self.zone[-1]}-{short}.{cluster}"


def pools(profile: str) -> list[Pool]:
    """The worker groups of a profile. Raises ValueError, naming the profiles, for another one."""
    found = find(profile)
    shapes = [(kind, zone, market) for kind in found.types for zone in ZONES for market in MARKETS]
    each, rest = divmod(found.nodes, len(shapes))
    return [
        Pool(type=kind, zone=zone, market=market, size=each + (number < rest))
        for number, (kind, zone, market) in enumerate(shapes)
    ]


def held(profile: str) -> int:
    """How many pods a profile's nodes hold, whoever's they are."""
    return sum(pool.size * room(pool.type) for pool in pools(profile))


@dataclass(frozen=True, kw_only=True)
class SubnetPlan:
    name: str
    cidr: str
    zone: str
    public: bool


def subnets(vpc_cidr: str, cluster: str) -> list[SubnetPlan]:
    """Per zone a private /20 and a public /24: as many tools lay a VPC out."""
    blocks = list(IPv4Network(vpc_cidr).subnets(new_prefix=20))
    publics = list(blocks[15].subnets(new_prefix=24))
    planned: list[SubnetPlan] = []
    for number, zone in enumerate(ZONES):
        planned += [
            SubnetPlan(name=f"{zone}.{cluster}", cidr=str(blocks[number]), zone=zone, public=False),
            SubnetPlan(name=f"utility-{zone}.{cluster}", cidr=str(publics[number]), zone=zone, public=True),
        ]
    return planned


def member(zone: str) -> str:
    """A control-plane member's name by its zone: master-a for eu-central-1a."""
    return f"master-{zone[-1]}"


def tags(name: str, cluster: str, life: str = "owned", **more: str) -> dict[str, str]:
    """The tags the older tooling put on what it made (`owned`) or used (`shared`)."""
    return {"Name": name, "KubernetesCluster": cluster, f"kubernetes.io/cluster/{cluster}": life, **more}
