"""Physical names: what a side's suffix does to them, and how long AWS lets them be."""

from __future__ import annotations

from ipaddress import IPv4Network

# Characters. Sources: the API references of CreateLoadBalancer and CreateTargetGroup (32), CreateAutoScalingGroup
# (255) and CreateLaunchTemplate (128).
LIMITS = {"load-balancer": 32, "target-group": 32, "autoscaling-group": 255, "launch-template": 128}


def physical_name(base: str, role: str, suffix: str) -> str:
    """`base`, `role` if any, then the side's suffix: ``pet``, ``api``, ``-main`` → ``pet-api-main``."""
    return (f"{base}-{role}" if role else base) + suffix


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
