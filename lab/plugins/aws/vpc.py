"""VPCs, subnets, gateways and addresses.

Sources: the provider's pages under registry.terraform.io/providers/hashicorp/aws/latest/docs/resources (which the
Pulumi pages are made from); "replace" is their "Forces new resource", or ForceNew in internal/service/ec2 where the
page is silent.
"""

from __future__ import annotations

from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.tags import TAGS, as_dict, specification, sync_ec2
from lab.plugins.schema import ResourceType, flag, text

DOCS = "registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/"
_LAGS = ("DependencyViolation",)  # a dependent that is on its way out


def first(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The only item, or None."""
    return found[0] if found else None


def arn(call: Call, resource: str, owner: str | None = None) -> str:
    """An EC2 ARN."""
    return f"arn:aws:ec2:{call.region}:{owner or call.clients.account}:{resource}"


# --- VPC

_VPC_FLAGS = {"enableDnsSupport": "EnableDnsSupport", "enableDnsHostnames": "EnableDnsHostnames"}


def _create_vpc(call: Call) -> str:
    made = call.ec2.create_vpc(CidrBlock=call.new["cidrBlock"], **specification(call, "vpc"))["Vpc"]
    call.made(made["VpcId"])
    call.wait("VPC available", lambda: first(call.ec2.describe_vpcs(VpcIds=[call.id])["Vpcs"]))
    _set_vpc_flags(call)
    return call.id


def _set_vpc_flags(call: Call) -> None:
    # Support before hostnames: AWS refuses hostnames without it.
    live = _vpc_flags(call)
    for name, attribute in _VPC_FLAGS.items():
        if live[name] != bool(call.new.get(name)):
            call.ec2.modify_vpc_attribute(VpcId=call.id, **{attribute: {"Value": bool(call.new.get(name))}})


def _vpc_flags(call: Call) -> dict[str, bool]:
    def value(attribute: str) -> bool:
        found = call.ec2.describe_vpc_attribute(VpcId=call.id, Attribute=attribute[0].lower() + attribute[1:])
        return bool(found[attribute]["Value"])

    return {name: value(attribute) for name, attribute in _VPC_FLAGS.items()}


def _read_vpc(call: Call) -> dict[str, Any] | None:
    vpc = first(call.ec2.describe_vpcs(VpcIds=[call.id])["Vpcs"])
    if vpc is None:
        return None
    return {
        "cidrBlock": vpc["CidrBlock"],
        **_vpc_flags(call),
        "arn": arn(call, f"vpc/{call.id}", vpc.get("OwnerId")),
        **call.tags_read(as_dict(vpc.get("Tags"))),
    }


def _update_vpc(call: Call) -> None:
    _set_vpc_flags(call)
    sync_ec2(call)


def _delete_vpc(call: Call) -> None:
    call.retry(_LAGS, lambda: call.ec2.delete_vpc(VpcId=call.id), timeout_s=min(call.timeout_s, 300))


# --- Subnet


def _create_subnet(call: Call) -> str:
    made = call.ec2.create_subnet(
        VpcId=call.new["vpcId"],
        CidrBlock=call.new["cidrBlock"],
        AvailabilityZone=call.new["availabilityZone"],
        **specification(call, "subnet"),
    )["Subnet"]
    call.made(made["SubnetId"])
    call.wait(
        "subnet available",
        lambda: any(s["State"] == "available" for s in call.ec2.describe_subnets(SubnetIds=[call.id])["Subnets"]),
    )
    return call.id


def _read_subnet(call: Call) -> dict[str, Any] | None:
    subnet = first(call.ec2.describe_subnets(SubnetIds=[call.id])["Subnets"])
    if subnet is None:
        return None
    return {
        "vpcId": subnet["VpcId"],
        "cidrBlock": subnet["CidrBlock"],
        "availabilityZone": subnet["AvailabilityZone"],
        "arn": subnet.get("SubnetArn") or arn(call, f"subnet/{call.id}"),
        **call.tags_read(as_dict(subnet.get("Tags"))),
    }


def _delete_subnet(call: Call) -> None:
    call.retry(_LAGS, lambda: call.ec2.delete_subnet(SubnetId=call.id))


# --- Internet gateway


def _create_internet_gateway(call: Call) -> str:
    made = call.ec2.create_internet_gateway(**specification(call, "internet-gateway"))["InternetGateway"]
    call.made(made["InternetGatewayId"])
    if call.new.get("vpcId"):
        call.ec2.attach_internet_gateway(InternetGatewayId=call.id, VpcId=call.new["vpcId"])
    return call.id


def _read_internet_gateway(call: Call) -> dict[str, Any] | None:
    gateway = first(call.ec2.describe_internet_gateways(InternetGatewayIds=[call.id])["InternetGateways"])
    if gateway is None:
        return None
    attached = [a["VpcId"] for a in gateway.get("Attachments", []) if a.get("State") != "detached"]
    return {
        "vpcId": attached[0] if attached else "",
        "arn": arn(call, f"internet-gateway/{call.id}", gateway.get("OwnerId")),
        **call.tags_read(as_dict(gateway.get("Tags"))),
    }


def _detach(call: Call) -> None:
    if vpc := call.old.get("vpcId"):
        call.retry(_LAGS, lambda: call.ec2.detach_internet_gateway(InternetGatewayId=call.id, VpcId=vpc))


def _update_internet_gateway(call: Call) -> None:
    if call.changed("vpcId"):
        _detach(call)
        if call.new.get("vpcId"):
            call.ec2.attach_internet_gateway(InternetGatewayId=call.id, VpcId=call.new["vpcId"])
    sync_ec2(call)


def _delete_internet_gateway(call: Call) -> None:
    live = _read_internet_gateway(call)
    if live and live["vpcId"]:
        call.old["vpcId"] = live["vpcId"]
        _detach(call)
    call.retry(_LAGS, lambda: call.ec2.delete_internet_gateway(InternetGatewayId=call.id))


# --- Elastic address


def _create_eip(call: Call) -> str:
    made = call.ec2.allocate_address(Domain="vpc", **specification(call, "elastic-ip"))
    return call.made(made["AllocationId"])


def _read_eip(call: Call) -> dict[str, Any] | None:
    address = first(call.ec2.describe_addresses(AllocationIds=[call.id])["Addresses"])
    if address is None:
        return None
    return {
        "domain": address.get("Domain", "vpc"),
        "allocationId": call.id,
        "publicIp": address["PublicIp"],
        "arn": arn(call, f"elastic-ip/{call.id}"),
        **call.tags_read(as_dict(address.get("Tags"))),
    }


def _delete_eip(call: Call) -> None:
    call.retry(("InvalidIPAddress.InUse", "AuthFailure"), lambda: call.ec2.release_address(AllocationId=call.id))


# --- NAT gateway


def _nat(call: Call) -> dict[str, Any] | None:
    found = first(call.ec2.describe_nat_gateways(NatGatewayIds=[call.id])["NatGateways"])
    return found if found and found["State"] not in ("deleted", "deleting") else None


def _create_nat(call: Call) -> str:
    made = call.ec2.create_nat_gateway(
        SubnetId=call.new["subnetId"],
        AllocationId=call.new["allocationId"],
        **specification(call, "natgateway"),
    )["NatGateway"]
    call.made(made["NatGatewayId"])

    def available() -> bool:
        nat = _nat(call)
        if nat is not None and nat["State"] == "failed":
            raise call.refuse(f"{call.id} failed: {nat.get('FailureCode')}: {nat.get('FailureMessage')}")
        return nat is not None and nat["State"] == "available"

    call.wait(f"NAT gateway {call.id} available", available)
    return call.id


def _read_nat(call: Call) -> dict[str, Any] | None:
    nat = _nat(call)
    if nat is None:
        return None
    address = (nat.get("NatGatewayAddresses") or [{}])[0]
    return {
        "subnetId": nat["SubnetId"],
        "allocationId": address.get("AllocationId"),
        "publicIp": address.get("PublicIp"),
        **call.tags_read(as_dict(nat.get("Tags"))),
    }


def _delete_nat(call: Call) -> None:
    call.ec2.delete_nat_gateway(NatGatewayId=call.id)
    call.wait(f"NAT gateway {call.id} deleted", lambda: _nat_gone(call))


def _nat_gone(call: Call) -> bool:
    found = first(
        call.ec2.describe_nat_gateways(Filters=[{"Name": "nat-gateway-id", "Values": [call.id]}])["NatGateways"]
    )
    return found is None or found["State"] == "deleted"


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:ec2/vpc:Vpc",
        source=DOCS + "vpc",
        props={
            "cidrBlock": text(required=True, replace=True),
            "enableDnsSupport": flag(default=True),
            "enableDnsHostnames": flag(),
            **TAGS,
        },
        computed=("arn",),
        create=_create_vpc,
        read=_read_vpc,
        update=_update_vpc,
        delete=_delete_vpc,
        gone=("InvalidVpcID.NotFound",),
    ),
    ResourceType(
        token="aws:ec2/subnet:Subnet",
        source=DOCS + "subnet",
        props={
            "vpcId": text(required=True, replace=True),
            "cidrBlock": text(required=True, replace=True),
            "availabilityZone": text(required=True, replace=True),
            **TAGS,
        },
        computed=("arn",),
        create=_create_subnet,
        read=_read_subnet,
        update=sync_ec2,
        delete=_delete_subnet,
        gone=("InvalidSubnetID.NotFound",),
    ),
    ResourceType(
        token="aws:ec2/internetGateway:InternetGateway",
        source=DOCS + "internet_gateway",
        props={"vpcId": text(computed=True), **TAGS},
        computed=("arn",),
        create=_create_internet_gateway,
        read=_read_internet_gateway,
        update=_update_internet_gateway,
        delete=_delete_internet_gateway,
        gone=("InvalidInternetGatewayID.NotFound",),
    ),
    ResourceType(
        token="aws:ec2/eip:Eip",
        source=DOCS + "eip",
        props={"domain": text(default="vpc", choices=("vpc",), replace=True), **TAGS},
        computed=("allocationId", "publicIp", "arn"),
        create=_create_eip,
        read=_read_eip,
        update=sync_ec2,
        delete=_delete_eip,
        gone=("InvalidAllocationID.NotFound", "InvalidAddress.NotFound"),
    ),
    ResourceType(
        token="aws:ec2/natGateway:NatGateway",
        source=DOCS + "nat_gateway",
        props={
            "subnetId": text(required=True, replace=True),
            "allocationId": text(required=True, replace=True),
            **TAGS,
        },
        computed=("publicIp",),
        create=_create_nat,
        read=_read_nat,
        update=sync_ec2,
        delete=_delete_nat,
        gone=("NatGatewayNotFound", "InvalidNatGatewayID.NotFound"),
    ),
)
