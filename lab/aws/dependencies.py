"""What still hangs on a subnet or VPC keeps it from being deleted; what is deleted leaves nothing behind."""

from __future__ import annotations

from typing import Any

from moto.ec2.models import EC2Backend
from moto.ec2.models.nat_gateways import NatGateway

from lab.aws.hooks import Refused, instead, rule

API = "EC2 API reference, "


@rule(EC2Backend, "delete_subnet", source=API + "DeleteSubnet: terminate all running instances in it first")
def subnet_in_use(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    subnet_id = arguments["subnet_id"]
    if any(eni.subnet.id == subnet_id for eni in backend.enis.values()):
        raise Refused("DependencyViolation", f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")


@instead(EC2Backend, "delete_subnet")
def delete_subnet(original: Any, backend: EC2Backend, subnet_id: str) -> Any:
    """Takes its route table association along: in moto it would keep the route table for ever."""
    deleted = original(backend, subnet_id)
    for table in backend.route_tables.values():
        table._associations = {k: v for k, v in table._associations.items() if v != subnet_id}
    return deleted


@rule(EC2Backend, "delete_vpc", source=API + "DeleteVpc: detach or delete all gateways and resources first")
def vpc_in_use(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    vpc_id = arguments["vpc_id"]
    users = [
        *(g.id for g in backend.internet_gateways.values() if g.vpc is not None and g.vpc.id == vpc_id),
        *(n.id for n in backend.nat_gateways.values() if n.vpc_id == vpc_id and n.state != "deleted"),
        *(g.id for g in backend.groups.get(vpc_id, {}).values() if not g.is_default),
        *(e.id for e in backend.vpc_end_points.values() if e.vpc_id == vpc_id and e.state != "deleted"),
        *(e.id for e in backend.enis.values() if e.subnet.vpc_id == vpc_id),
    ]
    if users:
        raise Refused("DependencyViolation", f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")


@instead(EC2Backend, "delete_vpc")
def delete_vpc(original: Any, backend: EC2Backend, vpc_id: str) -> Any:
    """A VPC's peerings go with it. Source: VPC peering guide, Delete a VPC peering connection."""
    deleted = original(backend, vpc_id)
    for peering in backend.vpc_pcxs.values():
        if vpc_id in (peering.vpc.id, peering.peer_vpc.id):
            peering._status.deleted(deleter_id=backend.account_id)
    return deleted


@instead(EC2Backend, "delete_nat_gateway")
def delete_nat_gateway(original: Any, backend: EC2Backend, nat_gateway_id: str) -> NatGateway:
    """Frees its interface and elastic address; in moto they keep the subnet."""
    if nat_gateway_id not in backend.nat_gateways:
        raise Refused("NatGatewayNotFound", f"NatGateway {nat_gateway_id} was not found")
    gateway: NatGateway = original(backend, nat_gateway_id)
    for address in backend.addresses:
        if address.eni is gateway._eni:
            address.eni = None
            address.association_id = None
    if gateway._eni.id in backend.enis:
        backend.delete_network_interface(gateway._eni.id)
    return gateway


@instead(EC2Backend, "create_vpc_endpoint")
def gateway_unless_told(
    original: Any, backend: EC2Backend, vpc_id: str, service_name: str, endpoint_type: str | None, *args: Any, **kw: Any
) -> Any:
    """CreateVpcEndpoint's default type is Gateway; moto leaves it empty and can't delete it then."""
    made = original(backend, vpc_id, service_name, endpoint_type or "Gateway", *args, **kw)
    # moto keeps the endpoint's security groups to itself; they are its interfaces'.
    for one in made.network_interface_ids:
        if one in backend.enis:
            groups = [backend.get_security_group_from_id(group) for group in made.security_group_ids]
            backend.enis[one]._group_set = [group for group in groups if group is not None]
    return made


@instead(EC2Backend, "delete_vpc_endpoints")
def delete_endpoints(_original: Any, backend: EC2Backend, vpce_ids: list[str] | None = None) -> None:
    """Takes the routes and interfaces along and is gone; moto fails if somebody removed a route before."""
    for endpoint_id in vpce_ids or []:
        endpoint = backend.vpc_end_points.pop(endpoint_id, None)
        if endpoint is None:
            continue
        for eni_id in endpoint.network_interface_ids:
            if eni_id in backend.enis:
                backend.delete_network_interface(eni_id)
        for table in backend.route_tables.values():
            table._routes = {k: r for k, r in table._routes.items() if r.gateway_id != endpoint_id}


@instead(EC2Backend, "modify_vpc_endpoint")
def endpoint_routes_follow(original: Any, backend: EC2Backend, *args: Any, **kw: Any) -> Any:
    """ModifyVpcEndpoint adds the gateway's route to a route table and takes it out; moto only notes the table."""
    answer = original(backend, *args, **kw)
    endpoint_id = kw.get("vpc_id") or args[0]
    endpoint = backend.vpc_end_points[endpoint_id]
    if str(endpoint.vpc_endpoint_type).lower() != "gateway":
        return answer
    for table in backend.route_tables.values():
        present = [k for k, r in table._routes.items() if r.gateway_id == endpoint_id]
        if present and table.id not in endpoint.route_table_ids:
            for key in present:
                del table._routes[key]
        elif not present and table.id in endpoint.route_table_ids and endpoint.destination_prefix_list_id:
            backend.create_route(
                table.id,
                None,
                gateway_id=endpoint_id,
                destination_prefix_list_id=endpoint.destination_prefix_list_id,
            )
    return answer
