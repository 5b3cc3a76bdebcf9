"""Quotas with AWS's defaults, each a setting (`quotas` in lab.json, `LAB_QUOTAS=rules-per-group=20,addresses=2`).

The numbers are those of AWS's general reference, "Service endpoints and quotas"; accounts get most of them raised on
request, and Service Quotas' API answers what counts here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moto.autoscaling.models import AutoScalingBackend
from moto.ec2.models import EC2Backend
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.elbv2.models import ELBv2Backend
from moto.servicequotas.models import ServiceQuotasBackend

from lab.aws.hooks import Refused, active, inner_rule, instead, rule
from lab.aws.world import WORLD
from lab.strictness import QUOTAS as DEFAULTS

VPC = "VPC user guide, Amazon VPC quotas; EC2 API reference, Error codes: "
ELB = "Elastic Load Balancing API reference, Errors; NLB user guide, Quotas: "


@dataclass(frozen=True)
class Quota:
    """`code` is Service Quotas' own; empty where it is not known here."""

    name: str
    service: str
    code: str
    title: str


KNOWN: dict[str, Quota] = {
    quota.name: quota
    for quota in (
        Quota("rules-per-group", "vpc", "L-0EA8095F", "Inbound or outbound rules per security group"),
        Quota("groups-per-interface", "vpc", "L-2AFB9258", "Security groups per network interface"),
        Quota("groups", "vpc", "L-E79EC296", "VPC security groups per Region"),
        Quota("routes-per-table", "vpc", "L-93826ACB", "Routes per route table"),
        Quota("tables-per-vpc", "vpc", "L-589F43AA", "Route tables per VPC"),
        Quota("subnets-per-vpc", "vpc", "L-407747CB", "Subnets per VPC"),
        Quota("vpcs", "vpc", "L-F678F1CE", "VPCs per Region"),
        Quota("ranges-per-vpc", "vpc", "L-83CA0A9D", "IPv4 CIDR blocks per VPC"),
        Quota("peerings-per-vpc", "vpc", "L-7E9ECCDB", "Active VPC peering connections per VPC"),
        Quota("internet-gateways", "vpc", "L-A4707A72", "Internet gateways per Region"),
        Quota("nat-gateways-per-zone", "vpc", "L-FE5A380F", "NAT gateways per Availability Zone"),
        Quota("addresses", "ec2", "L-0263D0A3", "EC2-VPC Elastic IPs"),
        Quota("network-balancers", "elasticloadbalancing", "L-69A177A2", "Network Load Balancers per Region"),
        Quota("target-groups", "elasticloadbalancing", "L-B22855CB", "Target Groups per Region"),
        Quota("targets-per-group", "elasticloadbalancing", "", "Targets per Target Group per Region"),
        Quota("listeners-per-balancer", "elasticloadbalancing", "", "Listeners per Network Load Balancer"),
        Quota("standard-processors", "ec2", "L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z)"),
        Quota("standard-spot-processors", "ec2", "L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot"),
        Quota("auto-scaling-groups", "autoscaling", "L-CDE20ADC", "Auto Scaling groups per region"),
    )
}


def most(name: str) -> int:
    """How many there may be. Raises KeyError for a quota that this lab doesn't know."""
    return WORLD.settings.quotas.get(name, DEFAULTS[name])


def _full(name: str, used: int, code: str, message: str, more: int = 1) -> None:
    if used + more > most(name):
        raise Refused(code, message)


# --- VPC


@rule(EC2Backend, "authorize_security_group_ingress", source=VPC + "RulesPerSecurityGroupLimitExceeded")
def too_many_rules_in(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    group = backend.get_security_group_by_name_or_id(arguments["group_name_or_id"], arguments.get("vpc_id"))
    if group is not None:
        _room_for_rules(backend, len(group.ingress_rules), arguments)


@rule(EC2Backend, "authorize_security_group_egress", source=VPC + "RulesPerSecurityGroupLimitExceeded")
def too_many_rules_out(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    group = backend.get_security_group_by_name_or_id(arguments["group_name_or_id"], arguments.get("vpc_id"))
    if group is not None:
        _room_for_rules(backend, len(group.egress_rules), arguments)


def _room_for_rules(backend: EC2Backend, used: int, arguments: dict[str, Any]) -> None:
    """A rule that names a customer's prefix list counts as the list's greatest size, AWS's own as their weight."""
    new = sum(len(arguments.get(key) or []) for key in ("ip_ranges", "source_groups"))
    for named in arguments.get("prefix_list_ids") or []:
        known = backend.managed_prefix_lists.get(named["PrefixListId"])
        new += int(known.max_entries or 1) if known else 1
    _full(
        "rules-per-group",
        used,
        "RulesPerSecurityGroupLimitExceeded",
        "The maximum number of rules per security group has been reached.",
        new,
    )


@instead(EC2Backend, "_verify_group_will_respect_rule_count_limit")
def counted_by_the_setting(_original: Any, _backend: EC2Backend, *_args: Any, **_more: Any) -> None:
    """moto's own 60 gives way to the setting."""


@rule(EC2Backend, "create_security_group", source=VPC + "SecurityGroupLimitExceeded")
def too_many_groups(backend: EC2Backend, _arguments: dict[str, Any]) -> None:
    used = sum(len(by_vpc) for by_vpc in backend.groups.values())
    _full("groups", used, "SecurityGroupLimitExceeded", "The maximum number of security groups has been reached.")


@rule(EC2Backend, "create_network_interface", source=VPC + "SecurityGroupsPerInterfaceLimitExceeded")
def too_many_groups_on_an_interface(_backend: EC2Backend, arguments: dict[str, Any]) -> None:
    _full(
        "groups-per-interface",
        len(arguments.get("group_ids") or []),
        "SecurityGroupsPerInterfaceLimitExceeded",
        "The maximum number of security groups per interface has been reached.",
        0,
    )


@rule(EC2Backend, "create_route", source=VPC + "RouteLimitExceeded")
def too_many_routes(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    """Local routes, and those that gateways propagate, don't count; nor do gateway endpoints' own."""
    table = backend.route_tables.get(arguments["route_table_id"])
    if table is None or arguments.get("local"):
        return
    used = sum(1 for r in table.routes if not r.local and not str(r.gateway_id or "").startswith("vpce-"))
    _full("routes-per-table", used, "RouteLimitExceeded", "The maximum number of routes per table has been reached.")


@rule(EC2Backend, "create_route_table", source=VPC + "RouteTableLimitExceeded")
def too_many_tables(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    used = sum(1 for table in backend.route_tables.values() if table.vpc_id == arguments["vpc_id"])
    _full("tables-per-vpc", used, "RouteTableLimitExceeded", "The maximum number of route tables has been reached.")


@rule(EC2Backend, "create_subnet", source=VPC + "SubnetLimitExceeded")
def too_many_subnets(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    vpc = arguments["vpc_id"]
    used = sum(1 for by_zone in backend.subnets.values() for subnet in by_zone.values() if subnet.vpc_id == vpc)
    _full("subnets-per-vpc", used, "SubnetLimitExceeded", "The maximum number of subnets has been reached.")


@rule(EC2Backend, "create_vpc", source=VPC + "VpcLimitExceeded")
def too_many_vpcs(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    if arguments.get("is_default"):
        return
    _full("vpcs", len(backend.vpcs), "VpcLimitExceeded", "The maximum number of VPCs has been reached.")


@rule(EC2Backend, "associate_vpc_cidr_block", source=VPC + "CidrLimitExceeded")
def too_many_ranges(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    vpc = backend.vpcs.get(arguments["vpc_id"])
    used = len(vpc.get_cidr_block_association_set()) if vpc else 0
    _full(
        "ranges-per-vpc", used, "CidrLimitExceeded", f"This network '{arguments['vpc_id']}' has met its maximum number"
        f" of allowed CIDRs: {most('ranges-per-vpc')}"
    )  # fmt: skip


@rule(EC2Backend, "accept_vpc_peering_connection", source=VPC + "VpcPeeringConnectionsPerVpcLimitExceeded")
def too_many_peerings(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    wanted = backend.vpc_pcxs.get(arguments["vpc_pcx_id"])
    for vpc in (wanted.vpc, wanted.peer_vpc) if wanted else ():
        used = sum(
            1 for p in backend.vpc_pcxs.values() if p._status.code == "active" and vpc.id in (p.vpc.id, p.peer_vpc.id)
        )
        _full(
            "peerings-per-vpc", used, "VpcPeeringConnectionsPerVpcLimitExceeded",
            f"The maximum number of active VPC peering connections has been reached for {vpc.id}",
        )  # fmt: skip


@rule(EC2Backend, "create_internet_gateway", source=VPC + "InternetGatewayLimitExceeded")
def too_many_internet_gateways(backend: EC2Backend, _arguments: dict[str, Any]) -> None:
    _full(
        "internet-gateways", len(backend.internet_gateways), "InternetGatewayLimitExceeded",
        "The maximum number of internet gateways has been reached.",
    )  # fmt: skip


@rule(EC2Backend, "create_nat_gateway", source=VPC + "NatGatewayLimitExceeded")
def too_many_nat_gateways(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    zone = backend.get_subnet(arguments["subnet_id"]).availability_zone
    used = sum(
        1
        for gateway in backend.nat_gateways.values()
        if gateway.state != "deleted" and backend.get_subnet(gateway.subnet_id).availability_zone == zone
    )
    _full(
        "nat-gateways-per-zone", used, "NatGatewayLimitExceeded",
        f"Performing this operation would exceed the limit of {most('nat-gateways-per-zone')} NAT gateways",
    )  # fmt: skip


@rule(EC2Backend, "allocate_address", source=VPC + "AddressLimitExceeded")
def too_many_addresses(backend: EC2Backend, _arguments: dict[str, Any]) -> None:
    _full(
        "addresses", len(backend.addresses), "AddressLimitExceeded",
        "The maximum number of addresses has been reached.",
    )  # fmt: skip


# --- machines

inner_rule("too_many_processors", "EC2 user guide, Amazon EC2 instance type quotas: VcpuLimitExceeded and, for spot, "
           "MaxSpotInstanceCountExceeded; vCPUs of running instances by family and market")  # fmt: skip
STANDARD = frozenset("acdhimrtz")


def room_for_processors(backend: EC2Backend, kind: str, market: str | None, count: int) -> None:
    """Raises Refused where `count` more machines of a standard type have more vCPUs than the quota leaves."""
    if not active("too_many_processors") or not _standard(kind):
        return
    spot = market == "spot"
    used = sum(
        _processors(one.instance_type)
        for reservation in backend.reservations.values()
        for one in reservation.instances
        if one.state in ("pending", "running") and _standard(one.instance_type) and (one.lifecycle == "spot") is spot
    )
    name, code, message = (
        ("standard-spot-processors", "MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
        if spot
        else ("standard-processors", "VcpuLimitExceeded", _VCPU_LIMIT.format(most("standard-processors")))
    )
    _full(name, used, code, message, count * _processors(kind))


_VCPU_LIMIT = (
    "You have requested more vCPU capacity than your current vCPU limit of {} allows for the instance bucket that the"
    " specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an"
    " adjustment to this limit."
)


def _standard(kind: str) -> bool:
    """By the letters before the generation: m5.large is of family M, inf1.xlarge not of I."""
    letters = kind[: next((i for i, letter in enumerate(kind) if letter.isdigit()), 0)]
    return letters[:1] in STANDARD and letters not in ("inf", "trn", "dl", "hpc", "mac")


def _processors(kind: str) -> int:
    return int(INSTANCE_TYPES[kind]["VCpuInfo"]["DefaultVCpus"])


# --- load balancing, Auto Scaling


@rule(ELBv2Backend, "create_load_balancer", source=ELB + "TooManyLoadBalancers")
def too_many_balancers(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    if arguments.get("loadbalancer_type") != "network":
        return
    used = sum(1 for balancer in backend.load_balancers.values() if balancer.type == "network")
    known = any(balancer.name == arguments["name"] for balancer in backend.load_balancers.values())
    _full("network-balancers", used, "TooManyLoadBalancers", _too_many("network load balancers"), 0 if known else 1)


@rule(ELBv2Backend, "create_target_group", source=ELB + "TooManyTargetGroups")
def too_many_target_groups(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    known = any(group.name == arguments["name"] for group in backend.target_groups.values())
    used = len(backend.target_groups)
    _full("target-groups", used, "TooManyTargetGroups", _too_many("target groups"), 0 if known else 1)


@rule(ELBv2Backend, "register_targets", source=ELB + "TooManyTargets")
def too_many_targets(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    group = backend.target_groups.get(arguments["target_group_arn"])
    if group is None:
        return
    new = {f"{t.get('Id', t.get('id'))}:{t.get('Port', t.get('port', group.port))}" for t in arguments["instances"]}
    _full(
        "targets-per-group", len(group.targets), "TooManyTargets",
        f"The maximum number of targets for the target group '{group.arn}' has been reached.",
        len(new - set(group.targets)),
    )  # fmt: skip


@rule(ELBv2Backend, "create_listener", source=ELB + "TooManyListeners")
def too_many_listeners(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    balancer = backend.load_balancers.get(arguments["load_balancer_arn"])
    used = len(balancer.listeners) if balancer else 0
    _full("listeners-per-balancer", used, "TooManyListeners", _too_many("listeners"))


def _too_many(what: str) -> str:
    return f"The maximum number of {what} has been reached."


@rule(
    AutoScalingBackend,
    "create_auto_scaling_group",
    source="EC2 Auto Scaling API reference, CreateAutoScalingGroup: LimitExceeded; user guide, Quotas",
)
def too_many_auto_scaling_groups(backend: AutoScalingBackend, _arguments: dict[str, Any]) -> None:
    _full(
        "auto-scaling-groups", len(backend.autoscaling_groups), "LimitExceeded",
        f"You have reached your limit of {most('auto-scaling-groups')} Auto Scaling groups.",
    )  # fmt: skip


# --- Service Quotas


def _described(quota: Quota, region: str) -> dict[str, Any]:
    return {
        "ServiceCode": quota.service,
        "QuotaCode": quota.code,
        "QuotaName": quota.title,
        "QuotaArn": f"arn:aws:servicequotas:{region}:{quota.service}:{quota.code}",
        "Value": float(most(quota.name)),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }


@instead(ServiceQuotasBackend, "get_service_quota")
def get_quota(original: Any, backend: ServiceQuotasBackend, service_code: str, quota_code: str) -> dict[str, Any]:
    """GetServiceQuota, of what counts here; the rest is moto's."""
    for quota in KNOWN.values():
        if quota.code and (quota.service, quota.code) == (service_code, quota_code):
            return _described(quota, backend.region_name)
    found: dict[str, Any] = original(backend, service_code, quota_code)
    return found
