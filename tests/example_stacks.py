"""The two worked examples in `stacks/`, as a function of a few words: `python -m tests.example_stacks` writes them.

Everything in them is invented: ids are digests of what they name, the account is the one AWS's own documentation uses.
A real file is written by `python -m migration discover`; these show how one looks, and are held valid by the tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

STACKS = Path(__file__).resolve().parents[1] / "stacks"
REGION = "eu-central-1"
ACCOUNT = "111122223333"
ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")
MARKETS = ("on-demand", "spot")


@dataclass(frozen=True, kw_only=True)
class Example:
    """What tells one example from the other."""

    environment: str
    cluster: str
    domain: str
    old_cidr: str
    new_cidr: str
    nat: str
    types: tuple[str, ...]
    record_ttl: int
    volume_size: int
    applications: tuple[str, ...]
    connected: tuple[Mapping[str, Any], ...]
    operators: tuple[str, ...]
    retain_peering: bool
    header: str
    more: Mapping[str, Any]

    def id(self, kind: str, what: str) -> str:
        """An id as AWS writes them, always the same for the same thing of the same cluster."""
        return f"{kind}-{self._digest(kind, what)[:17]}"

    def arn(self, kind: str, name: str) -> str:
        """The ARN of a load balancer (`loadbalancer/net`) or target group (`targetgroup`)."""
        return f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:{kind}/{name}/{self._digest(kind, name)[:16]}"

    def _digest(self, *words: str) -> str:
        return hashlib.sha256("/".join((self.cluster, *words)).encode()).hexdigest()


STAGING = Example(
    environment="staging",
    cluster="atlas-staging",
    domain="staging.atlas.example.internal",
    old_cidr="10.33.0.0/16",
    new_cidr="10.97.0.0/16",
    nat="none",
    types=("m5.large", "m5a.large"),
    record_ttl=60,
    volume_size=20,
    applications=("*.apps",),
    connected=({"name": "corporate", "cidr": "10.8.0.0/16"},),
    operators=("10.8.16.0/22",),
    retain_peering=False,
    header="""\
# A worked example, all ids invented: a small cluster, 2 instance types x 3 zones x 2 markets = 12 worker groups.
# A real file is written by `python -m migration discover`; docs/adopting.md explains every key.
# Written by `python -m tests.example_stacks`; edit that, or make a file of your own.
""",
    more={
        # A rehearsal of production's patience isn't wanted where nobody waits for a person.
        "drain": {"timeoutSeconds": 3600, "ingressSelector": {"app": "ingress"}, "emptyDir": True},
        "limits": {"gateSeconds": 900, "swapSeconds": 1800, "deregistrationSeconds": 60},
    },
)

PRODUCTION = Example(
    environment="production",
    cluster="atlas",
    domain="atlas.example.internal",
    old_cidr="10.32.0.0/16",
    new_cidr="10.96.0.0/16",
    nat="per-zone",
    types=(
        "m5.large",
        "m5.xlarge",
        "m5.2xlarge",
        "m5a.large",
        "m5a.xlarge",
        "m5a.2xlarge",
        "m6i.large",
        "m6i.xlarge",
        "m6i.2xlarge",
        "c5.2xlarge",
        "r5.xlarge",
        "r5.2xlarge",
    ),
    record_ttl=300,
    volume_size=50,
    applications=("*.apps", "shop", "login"),
    connected=(
        {"name": "corporate", "cidr": "10.8.0.0/16"},
        {"name": "data", "cidr": "10.40.0.0/16", "vpcId": "", "routeTables": ()},
        {"name": "partner-pods", "cidr": "10.32.128.0/17"},
    ),
    operators=("10.8.16.0/22",),
    retain_peering=True,
    header="""\
# A worked example, all ids invented: the size this program is made for, 12 instance types x 3 zones x 2 markets =
# 72 worker groups and three members. A real file is written by `python -m migration discover`; docs/adopting.md
# explains every key. Written by `python -m tests.example_stacks`; edit that, or make a file of your own.
""",
    more={
        "drain": {"timeoutSeconds": 28800, "ingressSelector": {"app": "ingress"}, "maxEvictionsPerSecond": 30},
        "limits": {"gateSeconds": 1800, "swapSeconds": 3600, "deregistrationSeconds": 120},
        "tags": {"Owner": "platform-team", "CostCentre": "4711"},
    },
)

EXAMPLES = (STAGING, PRODUCTION)

# What stands above a key in the file.
COMMENTS = {
    "stage": "Which stage the cluster shall be at. The only key that changes while it moves:\n"
    "pulumi config set migration:stage 1 && pulumi up",
    "from": "Roles, by the sides' permanent names. They are exchanged only when a migration has ended.",
    "connectedNetworks": "Who else talks to the cluster. With vpcId the new VPC is peered with it as the old one is;\n"
    "without, connect it before stage 4. The old VPC may overlap one of these, the new one may not.",
    "operatorNetworks": "Let in to etcd while members are swapped (stages 6 and 7).",
    "pools": "One worker group each. What it launches and its sizes aren't here: they are read when stage 3 begins.",
    "members": "One control-plane member each: a group of size 1 with a volume of its own.",
    "traffic": "The names that move, as they were before: ttl and value are what the way back restores.",
    "retire": "Exactly what stage 8 deletes.",
    "keep": "Found in the old VPC, and left alone.",
    "retainPeering": "Databases stay behind in the old VPC: the peering outlives stage 8.",
}


def configuration(example: Example) -> dict[str, Any]:
    """`migration:` of one example, in the order in which it is written."""
    e = example
    retire, keep = retired(e), kept(e)
    found: dict[str, Any] = {
        "stage": 0,
        "cluster": e.cluster,
        "from": "legacy",
        "to": "main",
        "sides": {
            "legacy": _legacy(e),
            "main": {"kind": "managed", "cidr": e.new_cidr, "suffix": "-main", "zones": list(ZONES), "nat": e.nat},
        },
        # kops' defaults, which many clusters of this age have.
        "podCidr": "100.96.0.0/11",
        "serviceCidr": "100.64.0.0/13",
        "connectedNetworks": [_connected(e, network) for network in e.connected],
        "operatorNetworks": list(e.operators),
        "pools": list(_pools(e)),
        "members": list(_members(e)),
        "controlPlaneRole": f"masters.{e.cluster}",
        "traffic": {"zoneId": "Z0" + e.id("z", "zone")[2:].upper(), "records": list(_records(e)), "ttl": 5},
        "ingress": {
            "namespace": "ingress",
            "service": "ingress",
            "nodePort": 30443,
            "listenerPort": 443,
            "externalTrafficPolicy": "Local",
        },
        "api": {"name": f"api.{e.domain}", "port": 6443},
        "etcd": {"access": "direct", "certificates": f"/{e.cluster}/operator/etcd"},
        **e.more,
    }
    if e.retain_peering:
        found["retainPeering"] = True
    return {**found, "retire": retire, "keep": keep}


def pool_name(kind: str, zone: str, market: str) -> str:
    """What a pool of an instance type, a zone and a market is called."""
    return f"nodes-{kind.replace('.', '-')}-{zone[-1]}-{'od' if market == 'on-demand' else 'spot'}"


def _groups(e: Example) -> Iterator[tuple[str, str]]:
    """Name and zone of every worker pool."""
    for kind in e.types:
        for zone in ZONES:
            for market in MARKETS:
                yield pool_name(kind, zone, market), zone


def _pools(e: Example) -> Iterator[dict[str, Any]]:
    for name, zone in _groups(e):
        group = f"{name}.{e.cluster}"
        yield {"name": name, "group": group, "zones": [zone]}


def _members(e: Example) -> Iterator[dict[str, Any]]:
    for zone, subnet in zip(ZONES, _subnets(e.old_cidr), strict=True):
        name = f"master-{zone[-1]}"
        group = f"{name}.{e.cluster}"
        yield {
            "name": name,
            "group": group,
            "zone": zone,
            "address": str(subnet.network_address + 10),
            "volumeSize": e.volume_size,
            "volumeType": "gp3",
        }


def _subnets(cidr: str) -> list[IPv4Network]:
    return list(IPv4Network(cidr).subnets(new_prefix=20))[: len(ZONES)]


def _balancer(e: Example, role: str) -> dict[str, Any]:
    name = f"{role}-{e.cluster}"
    arn = e.arn("loadbalancer/net", name)
    return {
        "arn": arn,
        "dnsName": f"{name}-{arn.rsplit('/', 1)[1]}.elb.{REGION}.amazonaws.com",
        "targetGroups": [e.arn("targetgroup", name)],
    }


def _legacy(e: Example) -> dict[str, Any]:
    tables = ["main", "public", *(f"private {zone}" for zone in ZONES)]
    return {
        "kind": "referenced",
        "vpcId": e.id("vpc", "legacy"),
        "cidr": e.old_cidr,
        "suffix": "",
        "zones": {zone: {"private": e.id("subnet", f"private {zone}")} for zone in ZONES},
        "routeTables": sorted(e.id("rtb", table) for table in tables),
        "securityGroups": {"nodes": e.id("sg", "nodes"), "controlPlane": e.id("sg", "masters")},
        "loadBalancers": {"ingress": _balancer(e, "ingress"), "api": _balancer(e, "api")},
    }


def _connected(e: Example, network: Mapping[str, Any]) -> dict[str, Any]:
    found = {"name": network["name"], "cidr": network["cidr"]}
    if "vpcId" in network:
        name = network["name"]
        found |= {"vpcId": e.id("vpc", name), "routeTables": [e.id("rtb", f"{name} {zone}") for zone in ZONES]}
    return found


def _records(e: Example) -> Iterator[dict[str, Any]]:
    balancers = _legacy(e)["loadBalancers"]
    served = [("api", "api"), *((name, "ingress") for name in e.applications)]
    for name, serves in served:
        yield {
            "name": f"{name}.{e.domain}",
            "serves": serves,
            "ttl": e.record_ttl,
            "value": balancers[serves]["dnsName"],
        }


def retired(e: Example) -> list[dict[str, str]]:
    """What only this cluster used."""
    owners = [*_members(e), *_pools(e)]
    balancers = _legacy(e)["loadBalancers"]
    items = [("autoscaling-group", one["group"]) for one in owners]
    items += [("launch-template", e.id("lt", one["group"])) for one in owners]
    items += [("load-balancer", balancers[role]["arn"]) for role in ("api", "ingress")]
    items += [("target-group", arn) for role in ("api", "ingress") for arn in balancers[role]["targetGroups"]]
    items += [("security-group", e.id("sg", role)) for role in ("masters", "nodes")]
    items += [("volume", e.id("vol", f"etcd {one['name']}")) for one in _members(e)]
    return [{"type": kind, "id": id_} for kind, id_ in items]


def kept(e: Example) -> list[dict[str, str]]:
    """What others use, with whoever answers for it."""
    side = _legacy(e)
    items: list[tuple[str, str, str]] = [
        ("network-interface", e.id("eni", "database"), "payments-team"),
        ("security-group", e.id("sg", "database"), "payments-team"),
        ("nat-gateway", e.id("nat", "public"), ""),
        ("vpc-endpoint", e.id("vpce", "s3"), ""),
        ("internet-gateway", e.id("igw", "legacy"), ""),
        *(("subnet", e.id("subnet", f"{kind} {zone}"), "") for zone in ZONES for kind in ("private", "public")),
        *(("route-table", id_, "") for id_ in side["routeTables"]),
        *(("peering", e.id("pcx", network["name"]), "network-team") for network in e.connected if "vpcId" in network),
        ("vpc", side["vpcId"], ""),
    ]
    return [{"type": kind, "id": id_} | ({"owner": owner} if owner else {}) for kind, id_, owner in items]


class _Dumper(yaml.SafeDumper):
    """Writes every object out, and lists below their key as discovery's files have them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text(example: Example) -> str:
    """The whole file."""
    parts = [example.header, "config:\n", f"  aws:region: {REGION}\n"]
    for key, value in configuration(example).items():
        parts += [f"  # {line}\n" for line in COMMENTS.get(key, "").splitlines()]
        dumped = yaml.dump({f"migration:{key}": value}, Dumper=_Dumper, sort_keys=False, width=120)
        parts += [f"  {line}\n" for line in dumped.splitlines()]
    return "".join(parts)


def path(example: Example) -> Path:
    """Where it is kept."""
    return STACKS / f"Pulumi.{example.environment}.yaml"


def main(examples: Sequence[Example] = EXAMPLES) -> None:
    """Write both."""
    for example in examples:
        path(example).write_text(text(example))


if __name__ == "__main__":
    main()
