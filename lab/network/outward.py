"""Ways out of a VPC: to AWS's APIs by interface endpoints, and to public addresses by NAT. Pure, over one State."""

from __future__ import annotations

from lab.addresses import REGION
from lab.network.reachability import EPHEMERAL, Verdict, admits, allowed
from lab.network.state import Host, RouteTable, ServiceEndpoint, State, ip_number, name_key

HTTPS = 443
PUBLIC = "52.94.0.1"
"""Stands for a service's public endpoints."""
S3 = "52.216.0.1"
"""Stands for S3's: an address of its prefix list, so that a gateway endpoint's route leads there."""
SERVICES = frozenset(
    {
        *("api.ecr", "autoscaling", "dkr.ecr", "ec2", "ec2messages", "elasticloadbalancing", "kms", "logs"),
        *("monitoring", "s3", "secretsmanager", "sqs", "ssm", "ssmmessages", "sts"),
    }
)
"""APIs that have a name here: what stands before the region in it."""
_ENDPOINTS = {"api.ecr": "ecr.api", "dkr.ecr": "ecr.dkr"}
"""Endpoints whose service isn't called as its host is. https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html"""
_DOMAIN = f".{REGION}.amazonaws.com"


def service_of(name: str) -> str | None:
    """The endpoint's service that a host's name stands for: ssm, ecr.api. None where it is no API's."""
    host = name_key(name)
    if not host.endswith(_DOMAIN):
        return None
    first = host.removesuffix(_DOMAIN)
    account, _, rest = first.partition(".")
    if account.isdecimal() and rest == "dkr.ecr":
        first = rest
    return _ENDPOINTS.get(first, first) if first in SERVICES else None


def endpoint_of(state: State, vpc: str | None, service: str) -> ServiceEndpoint | None:
    """The endpoint that has taken the service's name in this VPC."""
    return next(
        (one for one in state.service_endpoints if (one.vpc, one.service) == (vpc, service) and one.private_names), None
    )


def addresses_of(state: State, name: str, vpc: str | None) -> tuple[str, ...] | None:
    """What the VPC's resolver answers for an API's name; None where it is no API's."""
    service = service_of(name)
    if service is None:
        return None
    endpoint = endpoint_of(state, vpc, service)
    if endpoint is not None:
        return endpoint.addresses
    return (S3 if service == "s3" else PUBLIC,)


def reaches(state: State, ip: str, service: str) -> Verdict:
    """Whether this address reaches a service's API: by an interface endpoint whose name is taken, or out of the VPC."""
    source = state.host(ip)
    if source is None:
        return Verdict(False, f"{ip} lies in no VPC")
    endpoint = endpoint_of(state, source.vpc, service)
    if endpoint is None:
        return out(state, source, PUBLIC, HTTPS)
    # The private name hides the public one: there is no other way then.
    tried = [allowed(state, ip, one, HTTPS) for one in endpoint.addresses]
    return next((one for one in tried if one.ok), tried[0] if tried else Verdict(False, f"{endpoint.id}: empty"))


def out(state: State, source: Host, address: str, port: int) -> Verdict:
    """Whether a connection to a public address leaves the VPC, and its answer comes back."""
    outside = Host(address, "", None, (), False, "AWS")
    if source.filtered and not admits(state, source, outside, port, outbound=True):
        return Verdict(False, f"no egress rule of {', '.join(source.groups)} admits {address}:{port}")
    acl, number = state.acls.get(source.subnet or ""), ip_number(address)
    if acl is not None and not (
        acl.admits(number, port, egress=True) and all(acl.admits(number, p, egress=False) for p in EPHEMERAL)
    ):
        return Verdict(False, f"{acl.id} lets no port {port} out of {source.subnet}, or no answer in")
    return _by_route(state, state.table_of(source), number)


def _by_route(state: State, table: RouteTable | None, number: int) -> Verdict:
    """A transit gateway's other side isn't this lab's to judge; an internet gateway serves public addresses only."""
    route = table.lookup(number) if table else None
    if table is None or route is None or not route.active:
        return Verdict(False, f"{table.id if table else 'no table'} has no route out")
    if route.target.startswith(("tgw-", "vpce-")):
        return Verdict(True, route.target)
    gateway = state.nat_gateways.get(route.target)
    if gateway is None or not gateway.active:
        return Verdict(False, f"{table.id} leads to {route.target}, which takes no private address out")
    subnet = state.subnets.get(gateway.subnet)
    onward = state.route_tables.get(subnet.route_table or "") if subnet else None
    last = onward.lookup(number) if onward else None
    if last is None or not last.target.startswith("igw-"):
        return Verdict(False, f"{gateway.id} stands in a subnet without a way to an internet gateway")
    return Verdict(True, gateway.id)
