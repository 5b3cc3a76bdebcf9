"""Peerings and the routes over them: overlapping networks fail, only an active peering carries anything."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.models.route_tables import Route
from moto.ec2.models.vpc_peering_connections import VPCPeeringConnection
from moto.ec2.models.vpcs import VPC

from lab.aws.hooks import Refused, active, define, inner_rule, instead, rule
from lab.aws.world import WORLD

FAILED = "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"
OVER = ("deleted", "failed", "rejected", "expired")

inner_rule(
    "overlapping_cidrs",
    "EC2 API reference, CreateVpcPeeringConnection: overlapping CIDR blocks give a peering with a status of failed",
)


def cidrs_of(vpc: VPC) -> list[str]:
    return [a["cidr_block"] for a in vpc.get_cidr_block_association_set()]


def overlap(one: VPC, other: VPC) -> bool:
    return any(ip_network(a).overlaps(ip_network(b)) for a in cidrs_of(one) for b in cidrs_of(other))


def active_peering(vpc_a: str | None, vpc_b: str | None) -> VPCPeeringConnection | None:
    """The active peering between two VPCs, whoever asked for it."""
    for peering in WORLD.ec2.vpc_pcxs.values():
        if peering._status.code == "active" and {peering.vpc.id, peering.peer_vpc.id} == {vpc_a, vpc_b}:
            return peering
    return None


@instead(EC2Backend, "create_vpc_peering_connection")
def create(original: Any, backend: EC2Backend, vpc: VPC, peer_vpc: VPC, *args: Any, **kwargs: Any) -> Any:
    """AWS takes the request of two overlapping VPCs, and the peering fails at once: there is nothing to accept."""
    peering = original(backend, vpc, peer_vpc, *args, **kwargs)
    if overlap(vpc, peer_vpc) and active("overlapping_cidrs"):
        peering._status.code, peering._status.message = "failed", FAILED
    return peering


@rule(
    EC2Backend,
    "create_vpc_peering_connection",
    source="EC2 API reference, Error codes: VpcPeeringConnectionAlreadyExists",
)
def peering_exists(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    wanted = {arguments["vpc"].id, arguments["peer_vpc"].id}
    for peering in backend.vpc_pcxs.values():
        if {peering.vpc.id, peering.peer_vpc.id} == wanted and peering._status.code not in OVER:
            raise Refused(
                "VpcPeeringConnectionAlreadyExists",
                f"A VPC peering connection between the VPCs already exists: {peering.id}",
            )


@rule(
    EC2Backend,
    "delete_vpc_peering_connection",
    source="EC2 API reference, DeleteVpcPeeringConnection: active, or pending-acceptance by the requester",
)
def peering_already_deleted(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    peering = backend.get_vpc_peering_connection(arguments["vpc_pcx_id"])
    if peering._status.code in OVER:
        raise Refused(
            "InvalidStateTransition",
            f"Invalid state transition for {peering.id}, attempted to transition from {peering._status.code} to"
            " deleting",
        )


@rule(
    EC2Backend,
    "modify_vpc_peering_connection_options",
    source="VPC peering guide, Enable DNS resolution for a VPC peering connection: it must be active",
)
def options_of_an_inactive_peering(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    peering = backend.get_vpc_peering_connection(arguments["vpc_pcx_id"])
    if peering._status.code != "active":
        raise Refused(
            "OperationNotPermitted",
            f"Peering {peering.id} is not active. Peering options can be added only to active peerings.",
        )


@rule(
    EC2Backend,
    "create_route",
    "replace_route",
    source="VPC peering guide, Update your route tables: a route to a peering of the table's own VPC",
)
def peering_of_another_vpc(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    peering_id = arguments["vpc_peering_connection_id"]
    if not peering_id:
        return
    peering = backend.get_vpc_peering_connection(peering_id)
    table = backend.get_route_table(arguments["route_table_id"])
    if table.vpc_id not in (peering.vpc.id, peering.peer_vpc.id):
        raise Refused(
            "InvalidParameterValue",
            f"route table {table.id} and vpc peering connection {peering_id} belong to different networks",
        )


inner_rule("blackhole_routes", "VPC user guide, Route tables: blackhole, the route's target isn't available")


def _state(route: Route) -> str:
    """`active`, or `blackhole` where the target is gone or not (yet) carrying."""
    if not active("blackhole_routes"):
        return "active"
    if route.vpc_pcx is not None and route.vpc_pcx._status.code != "active":
        return "blackhole"
    if route.nat_gateway is not None and route.nat_gateway.state != "available":
        return "blackhole"
    if route.instance is not None and route.instance.state != "running":
        return "blackhole"
    if route.interface is not None and route.interface.id not in WORLD.ec2.enis:
        return "blackhole"
    gateway = route.gateway
    if gateway is not None and gateway.id.startswith("igw-"):
        attached = getattr(WORLD.ec2.internet_gateways.get(gateway.id), "vpc", None)
        if attached is None or attached.id != route.route_table.vpc_id:
            return "blackhole"
    return "active"


define(Route, "state", property(_state))
