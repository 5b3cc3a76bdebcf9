"""Physical names: what a side's suffix does to them, and how long AWS lets them be."""

from __future__ import annotations

import re
from hashlib import sha256
from ipaddress import IPv4Network

# Characters. Sources: the API references of CreateLoadBalancer and CreateTargetGroup (32), CreateAutoScalingGroup
# (255) and CreateLaunchTemplate (128).
LIMITS = {"load-balancer": 32, "target-group": 32, "autoscaling-group": 255, "launch-template": 128}

# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html
_BALANCER = re.compile(r"(?!internal-)[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
# Characters of a digest in a name: enough to tell the clusters of one account apart.
_DIGEST = 6


def physical_name(base: str, role: str, suffix: str) -> str:
    """`base`, `role` if any, then the side's suffix: ``pet``, ``api``, ``-main`` → ``pet-api-main``."""
    return (f"{base}-{role}" if role else base) + suffix


def balancer_name(cluster: str, role: str, suffix: str) -> str:
    """The name of a load balancer or of its target group.

    As everything else is named, where AWS takes that. Where it doesn't (``pet.example.com`` has dots), the cluster's
    part is made legal and cut, and a digest of its full name keeps ``a.b`` and ``a-b`` apart. Where even that is too
    long, the role is cut and the digest is of both. The suffix, which can't be cut, may still be too long.
    """
    name = physical_name(cluster, role, suffix)
    if _BALANCER.fullmatch(name):
        return name
    end = physical_name(_digest(cluster), role, suffix)
    if len(end) <= LIMITS["load-balancer"]:
        return _cut(cluster, end)
    return _cut(role, _digest(f"{cluster}/{role}") + suffix)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_DIGEST]


def _cut(text: str, end: str) -> str:
    """As much of `text` as there is room for before `end`, made legal."""
    room = max(0, LIMITS["load-balancer"] - len(end) - 1)
    start = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:room].strip("-")
    start = re.sub(r"^(internal(-|$))+", "", start)
    return f"{start}-{end}" if start else end


def plain(name: str) -> str:
    """A DNS name as people write it: Route 53 answers ``\\052`` for an asterisk and ends with a dot."""
    return name.replace("\\052", "*").rstrip(".").lower()


def member_name(member: str, suffix: str) -> str:
    """A member's etcd name on a side; unique across sides, because etcd wants names unique."""
    return physical_name(member, "", suffix)


def ticket_parameter(cluster: str, member: str) -> str:
    """The SSM parameter through which a new member learns the initial cluster it joins."""
    return f"/{cluster}/members/{member}/ticket"


def api_names(name: str, service_cidr: str) -> tuple[str, ...]:
    """What clients call the API: its name outside, and inside the `kubernetes` Service's names and first address."""
    inside = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    return (name, *inside, str(IPv4Network(service_cidr)[1]))


def record_parameter(cluster: str) -> str:
    """The SSM parameter that records where the migration of a cluster is."""
    return f"/{cluster}/migration/record"


def fixed_parameter(cluster: str) -> str:
    """The SSM parameter that keeps what of the configuration must not change until the migration is over."""
    return f"/{cluster}/migration/fixed"
