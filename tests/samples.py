"""One small, valid configuration that tests start from and break in one place."""

from __future__ import annotations

import copy
import json
from typing import Any

from migration.contracts.base import Connection
from migration.contracts.workers import DrainRules
from migration.settings import Settings, load

ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")

# What every operation's inputs have.
COMMON: dict[str, Any] = {
    "cluster": "pet",
    "connection": Connection(region="eu-central-1"),
    "timeout_seconds": 900,
}

# A client's way to a cluster that isn't there: tests answer by a transport.
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:8"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""

DRAIN_RULES = DrainRules(
    ingress_namespace="ingress",
    ingress_service="ingress",
    ingress_selector={},
    unprotected_max_unavailable="25%",
    empty_dir=False,
    bare_pods=False,
    max_evictions_per_second=50,
    rescan_seconds=5,
    stall_seconds=900,
    concurrency=4,
)

_ARN = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:"


def _balancer(role: str) -> dict[str, Any]:
    return {
        "arn": f"{_ARN}loadbalancer/net/{role}-pet/1",
        "dnsName": f"{role}-pet.elb.example",
        "targetGroups": [f"{_ARN}targetgroup/{role}-pet/1"],
    }


_SAMPLE: dict[str, Any] = {
    "cluster": "pet",
    "from": "legacy",
    "to": "main",
    "sides": {
        "legacy": {
            "kind": "referenced",
            "vpcId": "vpc-old",
            "cidr": "10.0.0.0/16",
            "suffix": "",
            "zones": {zone: {"private": f"subnet-{zone[-1]}"} for zone in ZONES},
            "routeTables": ["rtb-1", "rtb-2"],
            "securityGroups": {"nodes": "sg-nodes", "controlPlane": "sg-masters"},
            "loadBalancers": {"ingress": _balancer("ingress"), "api": _balancer("api")},
        },
        "main": {"kind": "managed", "cidr": "10.1.0.0/16", "suffix": "-main", "zones": list(ZONES)},
    },
    "podCidr": "100.64.0.0/16",
    "serviceCidr": "172.20.0.0/16",
    "connectedNetworks": [{"name": "corp", "cidr": "10.50.0.0/16", "vpcId": "vpc-corp", "routeTables": ["rtb-corp"]}],
    "operatorNetworks": ["10.50.0.0/16"],
    "pools": [
        {
            "name": f"m5-{zone[-1]}",
            "group": f"nodes-m5-{zone[-1]}.pet",
            "zones": [zone],
        }
        for zone in ZONES
    ],
    "members": [
        {
            "name": name,
            "group": f"master-{name}.pet",
            "zone": zone,
            "address": f"10.0.{position}.10",
        }
        for position, (name, zone) in enumerate(zip("abc", ZONES, strict=True))
    ],
    "controlPlaneRole": "masters.pet",
    "traffic": {
        "zoneId": "Z1",
        "records": [
            {"name": "api.pet.example", "serves": "api", "ttl": 60, "value": "api-pet.elb.example"},
            {"name": "*.apps.pet.example", "serves": "ingress", "ttl": 60, "value": "ingress-pet.elb.example"},
        ],
    },
    "ingress": {"namespace": "ingress", "service": "ingress", "nodePort": 30080, "listenerPort": 8080},
    "api": {"name": "api.pet.example"},
    "etcd": {"certificates": "/pet/operator/etcd"},
    "retire": [{"type": "security-group", "id": "sg-nodes"}],
    "keep": [{"type": "vpc", "id": "vpc-old", "owner": "payments"}],
}


def configuration(**changes: Any) -> dict[str, Any]:
    """The sample under `migration:` as a fresh dict; ``side__main__cidr="…"``-like keys aren't needed: edit it."""
    return {**copy.deepcopy(_SAMPLE), **changes}


def sets() -> dict[str, Any]:
    """What the sample has otherwise where etcd is on machines of its own: three members, three API machines."""
    sample = configuration()
    sample["sides"]["legacy"]["securityGroups"]["etcd"] = "sg-etcd"
    members = [
        {
            "name": f"etcd-{name}",
            "group": f"etcd-{name}.pet",
            "zone": zone,
            "address": f"10.0.{position}.10",
            "volumeTags": {"k8s.io/etcd/main": "{member}"},
            "apiServers": [{"name": f"api-{name}", "group": f"api-{name}.pet", "zone": zone}],
        }
        for position, (name, zone) in enumerate(zip("abc", ZONES, strict=True))
    ]
    return {
        "sides": sample["sides"],
        "members": members,
        "etcdRole": "etcd.pet",
        "controlPlane": {"layout": "separate-etcd"},
    }


def flat(values: dict[str, Any]) -> dict[str, str]:
    """Configuration as Pulumi hands it to a program: text, with objects as JSON."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return {"aws:region": "eu-central-1", **{f"migration:{key}": text for key, text in texts.items()}}


def settings(stage: int, **changes: Any) -> Settings:
    """Valid settings at `stage`."""
    return load(flat(configuration(**changes)), f"stage-{stage}")
