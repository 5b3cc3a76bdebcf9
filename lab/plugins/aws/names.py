"""What a VPC resolves names by: its DHCP options and the resolver's rules.

Sources: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/ vpc_dhcp_options_association,
route53_resolver_rule_association; "replace" is their ForceNew: another set of options is associated in place.
"""

from __future__ import annotations

from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.vpc import DOCS, first
from lab.plugins.errors import PluginError
from lab.plugins.schema import ResourceType, text

# --- DHCP options of a VPC. The provider's id is both ids; its delete gives the VPC the default set.


def _associate_options(call: Call) -> str:
    vpc, options = call.new["vpcId"], call.new["dhcpOptionsId"]
    call.ec2.associate_dhcp_options(VpcId=vpc, DhcpOptionsId=options)
    return call.made(f"{options}-{vpc}")


def _read_options(call: Call) -> dict[str, Any] | None:
    values = call.new or call.old_inputs or call.old
    vpc = first(call.ec2.describe_vpcs(VpcIds=[values["vpcId"]])["Vpcs"])
    if vpc is None or vpc.get("DhcpOptionsId", "default") == "default":
        return None
    if vpc["DhcpOptionsId"] != values.get("dhcpOptionsId", vpc["DhcpOptionsId"]):
        return None  # the provider looks for both: another set is another association
    return {"vpcId": vpc["VpcId"], "dhcpOptionsId": vpc["DhcpOptionsId"]}


def _delete_options(call: Call) -> None:
    call.ec2.associate_dhcp_options(VpcId=call.old["vpcId"], DhcpOptionsId="default")


def _identify_options(given: str) -> tuple[str, dict[str, Any]]:
    if not given.startswith("vpc-"):
        raise PluginError(f"an association of DHCP options is imported by its VPC; '{given}' isn't that")
    return given, {"vpcId": given}


# --- A resolver rule in a VPC


def _associate_rule(call: Call) -> str:
    made = call.client("route53resolver").associate_resolver_rule(
        ResolverRuleId=call.new["resolverRuleId"], VPCId=call.new["vpcId"], **call.given(Name="name")
    )
    return call.made(made["ResolverRuleAssociation"]["Id"])


def _read_rule(call: Call) -> dict[str, Any]:
    found = call.client("route53resolver").get_resolver_rule_association(ResolverRuleAssociationId=call.id)
    one = found["ResolverRuleAssociation"]
    return {"resolverRuleId": one["ResolverRuleId"], "vpcId": one["VPCId"], "name": one.get("Name")}


def _delete_rule(call: Call) -> None:
    call.client("route53resolver").disassociate_resolver_rule(
        ResolverRuleId=call.old["resolverRuleId"], VPCId=call.old["vpcId"]
    )


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:ec2/vpcDhcpOptionsAssociation:VpcDhcpOptionsAssociation",
        source=DOCS + "vpc_dhcp_options_association",
        props={
            "vpcId": text(required=True, replace=True),
            "dhcpOptionsId": text(required=True),
        },
        create=_associate_options,
        read=_read_options,
        update=_associate_options,
        delete=_delete_options,
        identify=_identify_options,
        gone=("InvalidVpcID.NotFound",),
    ),
    ResourceType(
        token="aws:route53/resolverRuleAssociation:ResolverRuleAssociation",
        source=DOCS + "route53_resolver_rule_association",
        props={
            "resolverRuleId": text(required=True, replace=True),
            "vpcId": text(required=True, replace=True),
            "name": text(replace=True),
        },
        create=_associate_rule,
        read=_read_rule,
        delete=_delete_rule,
        gone=("ResourceNotFoundException",),
    ),
)
