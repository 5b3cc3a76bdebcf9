"""Route tables, their routes and associations, and endpoints of both types.

Sources as in `vpc.py`. A route table's inline routes are not supported: they and single routes undo each other.
"""

from __future__ import annotations

import zlib
from typing import Any

from botocore.exceptions import ClientError

from lab.plugins.aws.call import Call
from lab.plugins.aws.tags import TAGS, as_dict, specification, sync_ec2
from lab.plugins.aws.vpc import DOCS, arn, first
from lab.plugins.errors import PluginError
from lab.plugins.schema import ResourceType, document, flag, text, texts

# --- Route table


def _create_table(call: Call) -> str:
    made = call.ec2.create_route_table(VpcId=call.new["vpcId"], **specification(call, "route-table"))["RouteTable"]
    return call.made(made["RouteTableId"])


def _table(call: Call, table: str) -> dict[str, Any] | None:
    return first(call.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"])


def _read_table(call: Call) -> dict[str, Any] | None:
    table = _table(call, call.id)
    if table is None:
        return None
    return {
        "vpcId": table["VpcId"],
        "arn": arn(call, f"route-table/{call.id}", table.get("OwnerId")),
        **call.tags_read(as_dict(table.get("Tags"))),
    }


def _delete_table(call: Call) -> None:
    # As the provider does: associations made elsewhere would hold the table.
    for association in (_table(call, call.id) or {}).get("Associations", []):
        if not association.get("Main"):
            call.ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
    call.retry(("DependencyViolation",), lambda: call.ec2.delete_route_table(RouteTableId=call.id))


# --- Route

_TARGETS = {
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
}


def _find_route(call: Call, values: dict[str, Any]) -> dict[str, Any] | None:
    routes = (_table(call, values["routeTableId"]) or {}).get("Routes", [])
    return next((r for r in routes if r.get("DestinationCidrBlock") == values["destinationCidrBlock"]), None)


def _route_arguments(call: Call) -> dict[str, Any]:
    return {
        "RouteTableId": call.new["routeTableId"],
        "DestinationCidrBlock": call.new["destinationCidrBlock"],
        **{argument: call.new[prop] for prop, argument in _TARGETS.items() if call.new.get(prop)},
    }


def _create_route(call: Call) -> str:
    table, destination = call.new["routeTableId"], call.new["destinationCidrBlock"]
    if (there := _find_route(call, call.new)) and there.get("Origin") != "CreateRouteTable":
        raise PluginError(f"RouteAlreadyExists: route table {table} already has a route to {destination}; import it")
    # A route may be asked for in the same moment as what it leads to.
    lags = ("InvalidParameterException", "InvalidNatGatewayID.NotFound")
    call.retry(lags, lambda: call.ec2.create_route(**_route_arguments(call)), timeout_s=60)
    return call.made(f"r-{table}{zlib.crc32(destination.encode())}")


def _read_route(call: Call) -> dict[str, Any] | None:
    known = call.new or call.old_inputs or call.old
    route = _find_route(call, known)
    if route is None:
        return None
    return {
        "routeTableId": known["routeTableId"],
        "destinationCidrBlock": known["destinationCidrBlock"],
        **{prop: route[argument] for prop, argument in _TARGETS.items() if route.get(argument)},
        "state": route.get("State"),
        "origin": route.get("Origin"),
    }


def _update_route(call: Call) -> None:
    call.ec2.replace_route(**_route_arguments(call))


def _delete_route(call: Call) -> None:
    call.ec2.delete_route(RouteTableId=call.old["routeTableId"], DestinationCidrBlock=call.old["destinationCidrBlock"])


def _identify_route(given: str) -> tuple[str, dict[str, Any]]:
    table, _, destination = given.partition("_")
    if not destination:
        raise PluginError(f"a route is imported as <route table id>_<destination>; '{given}' isn't that")
    known = {"routeTableId": table, "destinationCidrBlock": destination}
    return f"r-{table}{zlib.crc32(destination.encode())}", known


def _one_target(values: Any) -> list[tuple[str, str]]:
    given = [n for n in _TARGETS if values.get(n)]
    if len(given) != 1:
        named = ", ".join(given) or "none"
        return [
            ("vpcPeeringConnectionId", f"a route needs exactly one target of {', '.join(_TARGETS)}; given: {named}")
        ]
    return []


# --- Association


def _association(call: Call, values: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    tables = call.ec2.describe_route_tables(
        Filters=[{"Name": "association.subnet-id", "Values": [values["subnetId"]]}]
    )["RouteTables"]
    for table in tables:
        for association in table.get("Associations", []):
            if association.get("SubnetId") == values["subnetId"]:
                return association, table["RouteTableId"]
    return None


def _create_association(call: Call) -> str:
    made = call.ec2.associate_route_table(RouteTableId=call.new["routeTableId"], SubnetId=call.new["subnetId"])
    return call.made(made["AssociationId"])


def _read_association(call: Call) -> dict[str, Any] | None:
    # By subnet, which is associated once: a replaced association has another id than the one recorded.
    values = call.new or call.old_inputs or call.old
    found = _association(call, values)
    if found is None:
        return None
    return {"subnetId": values["subnetId"], "routeTableId": found[1]}


def _update_association(call: Call) -> None:
    if found := _association(call, call.new):
        call.ec2.replace_route_table_association(
            AssociationId=found[0]["RouteTableAssociationId"], RouteTableId=call.new["routeTableId"]
        )


def _delete_association(call: Call) -> None:
    found = _association(call, call.old)
    if found and found[1] == call.old["routeTableId"]:
        call.ec2.disassociate_route_table(AssociationId=found[0]["RouteTableAssociationId"])


def _identify_association(given: str) -> tuple[str, dict[str, Any]]:
    subnet, _, table = given.partition("/")
    if not table:
        raise PluginError(f"an association is imported as <subnet id>/<route table id>; '{given}' isn't that")
    return f"rtbassoc-{zlib.crc32(given.encode()):08x}", {"subnetId": subnet, "routeTableId": table}


# --- Endpoint


def _endpoint(call: Call) -> dict[str, Any] | None:
    found = first(call.ec2.describe_vpc_endpoints(VpcEndpointIds=[call.id])["VpcEndpoints"])
    return found if found and found["State"].lower() not in ("deleted", "deleting") else None


def _create_endpoint(call: Call) -> str:
    made = call.ec2.create_vpc_endpoint(
        VpcId=call.new["vpcId"],
        ServiceName=call.new["serviceName"],
        VpcEndpointType=call.new["vpcEndpointType"],
        **call.given(
            RouteTableIds="routeTableIds",
            SubnetIds="subnetIds",
            SecurityGroupIds="securityGroupIds",
            PrivateDnsEnabled="privateDnsEnabled",
            PolicyDocument="policy",
        ),
        **specification(call, "vpc-endpoint"),
    )["VpcEndpoint"]
    call.made(made["VpcEndpointId"])
    call.wait(
        f"endpoint {call.id} available", lambda: (_endpoint(call) or {"State": ""})["State"].lower() == "available"
    )
    return call.id


def _read_endpoint(call: Call) -> dict[str, Any] | None:
    endpoint = _endpoint(call)
    if endpoint is None:
        return None
    return {
        "vpcId": endpoint["VpcId"],
        "serviceName": endpoint["ServiceName"],
        "vpcEndpointType": endpoint.get("VpcEndpointType", "Gateway"),
        "routeTableIds": sorted(endpoint.get("RouteTableIds", [])),
        "subnetIds": sorted(endpoint.get("SubnetIds", [])),
        "securityGroupIds": sorted(one["GroupId"] for one in endpoint.get("Groups", [])),
        "privateDnsEnabled": endpoint.get("PrivateDnsEnabled"),
        "policy": endpoint.get("PolicyDocument"),
        "state": endpoint["State"].lower(),
        "arn": arn(call, f"vpc-endpoint/{call.id}", endpoint.get("OwnerId")),
        **call.tags_read(as_dict(endpoint.get("Tags"))),
    }


def _update_endpoint(call: Call) -> None:
    arguments: dict[str, Any] = {}
    for name, what in (
        ("routeTableIds", "RouteTableIds"),
        ("subnetIds", "SubnetIds"),
        ("securityGroupIds", "SecurityGroupIds"),
    ):
        was, wanted = set(call.old.get(name) or ()), set(call.new.get(name) or ())
        if call.changed(name):
            arguments |= {f"Add{what}": sorted(wanted - was), f"Remove{what}": sorted(was - wanted)}
    if call.changed("policy"):
        arguments["PolicyDocument"] = call.new.get("policy")
    if call.changed("privateDnsEnabled"):
        call.ec2.modify_vpc_endpoint(VpcEndpointId=call.id, PrivateDnsEnabled=bool(call.new.get("privateDnsEnabled")))
    if given := {k: v for k, v in arguments.items() if v}:
        call.ec2.modify_vpc_endpoint(VpcEndpointId=call.id, **given)
    sync_ec2(call)


def _delete_endpoint(call: Call) -> None:
    unsuccessful = call.ec2.delete_vpc_endpoints(VpcEndpointIds=[call.id]).get("Unsuccessful") or []
    for item in unsuccessful:
        if item["Error"]["Code"] != "InvalidVpcEndpoint.NotFound":
            raise PluginError(f"{item['Error']['Code']}: {item['Error']['Message']}")
    # An interface endpoint holds its security group and its subnets for as long as it is on its way out.
    call.wait(f"endpoint {call.id} deleted", lambda: _deleted(call))


def _deleted(call: Call) -> bool:
    try:
        found = first(call.ec2.describe_vpc_endpoints(VpcEndpointIds=[call.id])["VpcEndpoints"])
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "InvalidVpcEndpointId.NotFound":
            raise
        return True
    return found is None or found["State"].lower() == "deleted"


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:ec2/routeTable:RouteTable",
        source=DOCS + "route_table",
        props={"vpcId": text(required=True, replace=True), **TAGS},
        computed=("arn",),
        create=_create_table,
        read=_read_table,
        update=sync_ec2,
        delete=_delete_table,
        gone=("InvalidRouteTableID.NotFound", "InvalidRouteTableId.NotFound"),
    ),
    ResourceType(
        token="aws:ec2/route:Route",
        source=DOCS + "route",
        props={
            "routeTableId": text(required=True, replace=True),
            "destinationCidrBlock": text(required=True, replace=True),
            **{name: text() for name in _TARGETS},
        },
        computed=("state", "origin"),
        validate=_one_target,
        create=_create_route,
        read=_read_route,
        update=_update_route,
        delete=_delete_route,
        identify=_identify_route,
        gone=("InvalidRoute.NotFound", "InvalidRouteTableID.NotFound", "InvalidRouteTableId.NotFound"),
    ),
    ResourceType(
        token="aws:ec2/routeTableAssociation:RouteTableAssociation",
        source=DOCS + "route_table_association",
        props={"subnetId": text(required=True, replace=True), "routeTableId": text(required=True)},
        create=_create_association,
        read=_read_association,
        update=_update_association,
        delete=_delete_association,
        identify=_identify_association,
        gone=("InvalidAssociationID.NotFound", "InvalidRouteTableID.NotFound", "InvalidSubnetID.NotFound"),
    ),
    ResourceType(
        token="aws:ec2/vpcEndpoint:VpcEndpoint",
        source=DOCS + "vpc_endpoint",
        props={
            "vpcId": text(required=True, replace=True),
            "serviceName": text(required=True, replace=True),
            "vpcEndpointType": text(default="Gateway", choices=("Gateway", "Interface"), replace=True),
            "routeTableIds": texts(computed=True),
            "subnetIds": texts(computed=True),
            "securityGroupIds": texts(computed=True),
            "privateDnsEnabled": flag(computed=True),
            "policy": document(computed=True),
            **TAGS,
        },
        computed=("state", "arn"),
        create=_create_endpoint,
        read=_read_endpoint,
        update=_update_endpoint,
        delete=_delete_endpoint,
        gone=("InvalidVpcEndpointId.NotFound",),
    ),
)
