"""Whether a machine's call to AWS gets out at all (`LAB_EGRESS=enforce`): groups, ACLs, routes, NAT and endpoints.

A call that doesn't is never answered: the connection ends after `refuse_after_s`, which stands for a time-out.
"""

from __future__ import annotations

from lab.addresses import REGION
from lab.aws.front import Request
from lab.aws.hooks import active, inner_rule
from lab.aws.identity import machine_of
from lab.aws.snapshot import snapshot
from lab.aws.world import WORLD
from lab.network.parsing import parse
from lab.network.reachability import EPHEMERAL, Verdict, admits, allowed
from lab.network.state import Host, RouteTable, State, ip_number

inner_rule(
    "no_way_to_the_service",
    "VPC user guide, Internet gateways; NAT gateways; PrivateLink guide, Access an AWS service using an interface VPC"
    " endpoint: private DNS names",
)
HTTPS = 443
PUBLIC = "52.94.0.1"
"""Stands for a service's public endpoints."""
_states: list[State] = []


class Unanswered(Exception):
    """The packets are lost; the message says where."""


def check(request: Request) -> None:
    """Raises Unanswered for a machine's call that would find no way. Called under the world's lock."""
    if WORLD.settings.egress != "enforce" or not active("no_way_to_the_service"):
        return
    instance = machine_of(request.key)
    if instance is None:
        return
    verdict = reaches(instance.private_ip, request.service)
    if not verdict.ok:
        raise Unanswered(f"{instance.id} → {request.service}: {verdict.reason}")


def reaches(ip: str, service: str) -> Verdict:
    """Whether this address reaches a service's API: by an interface endpoint whose name is taken, or out of the VPC."""
    state = _state()
    source = state.host(ip)
    if source is None:
        return Verdict(False, f"{ip} lies in no VPC")
    for endpoint in WORLD.ec2.vpc_end_points.values():
        mine = (endpoint.vpc_id, endpoint.service_name) == (source.vpc, f"com.amazonaws.{REGION}.{service}")
        if mine and str(endpoint.vpc_endpoint_type) == "Interface" and endpoint.private_dns_enabled:
            # The private name hides the public one: there is no other way then.
            doors = [WORLD.ec2.enis[one] for one in endpoint.network_interface_ids if one in WORLD.ec2.enis]
            tried = [allowed(state, ip, str(door.private_ip_address), HTTPS) for door in doors]
            return next(
                (one for one in tried if one.ok), tried[0] if tried else Verdict(False, f"{endpoint.id}: empty")
            )
    return _out(state, source)


def _out(state: State, source: Host) -> Verdict:
    outside = Host(PUBLIC, "", None, (), False, "AWS")
    if source.filtered and not admits(state, source, outside, HTTPS, outbound=True):
        return Verdict(False, f"no egress rule of {', '.join(source.groups)} admits {PUBLIC}:{HTTPS}")
    acl, number = state.acls.get(source.subnet or ""), ip_number(PUBLIC)
    if acl is not None and not (
        acl.admits(number, HTTPS, egress=True) and all(acl.admits(number, p, egress=False) for p in EPHEMERAL)
    ):
        return Verdict(False, f"{acl.id} lets no HTTPS out of {source.subnet}, or no answer in")
    return _default_route(state, state.table_of(source))


def _default_route(state: State, table: RouteTable | None) -> Verdict:
    """A transit gateway's other side isn't this lab's to judge; an internet gateway serves public addresses only."""
    route = table.lookup(ip_number(PUBLIC)) if table else None
    if table is None or route is None or not route.active:
        return Verdict(False, f"{table.id if table else 'no table'} has no route out")
    if route.target.startswith("tgw-"):
        return Verdict(True, route.target)
    gateway = WORLD.ec2.nat_gateways.get(route.target)
    if gateway is None or gateway.state == "deleted":
        return Verdict(False, f"{table.id} leads to {route.target}, which takes no private address out")
    subnet = state.subnets.get(gateway.subnet_id)
    onward = state.route_tables.get(subnet.route_table or "") if subnet else None
    last = onward.lookup(ip_number(PUBLIC)) if onward else None
    if last is None or not last.target.startswith("igw-"):
        return Verdict(False, f"{gateway.id} stands in a subnet without a way to an internet gateway")
    return Verdict(True, gateway.id)


def _state() -> State:
    """The world as packets see it, read once a revision."""
    if not _states or _states[0].revision != WORLD.revision:
        _states[:] = [parse(snapshot(WORLD))]
    return _states[0]
