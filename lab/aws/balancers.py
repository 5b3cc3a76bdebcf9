"""Load balancers: one name once, a name in DNS each, network interfaces with addresses, a target group's one owner."""

from __future__ import annotations

import re
from typing import Any

from moto.elbv2.exceptions import DuplicateListenerError
from moto.elbv2.models import ELBv2Backend, FakeLoadBalancer, FakeTargetGroup

from lab.aws.hooks import Refused, instead, rule
from lab.aws.world import WORLD

API = "Elastic Load Balancing API reference, "
UNHEALTHY_TERMINATION = "target_health_state.unhealthy.connection_termination.enabled"
NLB_ZONE_ID = "Z3F0SRJ5LGBH90"
ALB_ZONE_ID = "Z215JYRZR1TBD5"
"""The hosted zones of balancers' names in eu-central-1 (AWS general reference, ELB endpoints)."""


@rule(ELBv2Backend, "create_load_balancer", source=API + "CreateLoadBalancer, Name: at most 32 characters")
def balancer_name_too_long(_backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    name = arguments["name"]
    if len(name) > 32:
        raise Refused("ValidationError", f"The load balancer name '{name}' cannot be longer than '32' characters")
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?", name) or name.startswith("internal-"):
        raise Refused(
            "ValidationError",
            f"The load balancer name '{name}' must contain only alphanumeric characters or hyphens, not begin or end"
            " with a hyphen, and not begin with 'internal-'",
        )


def _wanted(arguments: dict[str, Any]) -> dict[str, Any]:
    mapped = [m["SubnetId"] for m in arguments["subnet_mappings"] or []]
    return {
        "subnets": sorted([*(arguments["subnet_ids"] or []), *mapped]),
        "groups": sorted(arguments["security_groups"] or []),
        "scheme": arguments["scheme"] or "internet-facing",
        "type": arguments["loadbalancer_type"] or "application",
    }


def _same_settings(balancer: FakeLoadBalancer, arguments: dict[str, Any]) -> bool:
    have = {
        "subnets": sorted(s.id for s in balancer.subnets),
        "groups": sorted(balancer.security_groups or []),
        "scheme": balancer.scheme or "internet-facing",
        "type": balancer.type,
    }
    return have == _wanted(arguments)


@rule(ELBv2Backend, "create_load_balancer", source=API + "CreateLoadBalancer: DuplicateLoadBalancerName")
def balancer_name_taken(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    """A second balancer of a name is refused; the same call again isn't a second one (it answers the first's)."""
    for balancer in backend.load_balancers.values():
        if balancer.name == arguments["name"] and not _same_settings(balancer, arguments):
            raise Refused(
                "DuplicateLoadBalancerName",
                f"A load balancer with the same name '{balancer.name}' exists, but with different settings",
            )


@rule(ELBv2Backend, "create_load_balancer", source=API + "CreateLoadBalancer, Subnets: one per zone, in one VPC")
def balancer_subnets(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    subnets = [backend.ec2_backend.get_subnet(s) for s in _wanted(arguments)["subnets"]]
    if len({s.vpc_id for s in subnets}) > 1:
        raise Refused("InvalidSubnet", "All subnets must belong to the same VPC")
    if len({s.availability_zone for s in subnets}) < len(subnets):
        raise Refused(
            "InvalidConfigurationRequest",
            "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
        )


@rule(
    ELBv2Backend,
    "create_load_balancer",
    source=API + "CreateLoadBalancer, SecurityGroups: of the balancer's VPC (InvalidSecurityGroup)",
)
def balancer_group_of_another_vpc(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    wanted = _wanted(arguments)
    if not wanted["subnets"]:
        return
    vpc = backend.ec2_backend.get_subnet(wanted["subnets"][0]).vpc_id
    for group_id in wanted["groups"]:
        group = backend.ec2_backend.get_security_group_from_id(group_id)
        if group is None or group.vpc_id != vpc:
            raise Refused("InvalidConfigurationRequest", "One or more security groups are invalid")


@instead(ELBv2Backend, "create_target_group")
def create_target_group(original: Any, backend: ELBv2Backend, *arguments: Any, **named: Any) -> FakeTargetGroup:
    """CreateTargetGroup: what a network balancer does with flows of unhealthy targets is said from the start.

    Source: NLB user guide, Edit target group attributes (TCP and TLS; the default is `true`).
    """
    group: FakeTargetGroup = original(backend, *arguments, **named)
    if group.protocol in ("TCP", "TLS"):
        group.attributes.setdefault(UNHEALTHY_TERMINATION, "true")
    return group


@instead(ELBv2Backend, "create_load_balancer")
def create(original: Any, backend: ELBv2Backend, **arguments: Any) -> FakeLoadBalancer:
    """CreateLoadBalancer: idempotent for the same settings; a network balancer gets an interface in every subnet.

    Source: API reference, CreateLoadBalancer ("this operation is idempotent"); NLB user guide, Availability Zones.
    """
    full = {"subnet_mappings": None, "loadbalancer_type": None, **arguments}
    for balancer in backend.load_balancers.values():
        if balancer.name == arguments["name"] and _same_settings(balancer, full):
            return balancer
    arguments["scheme"] = arguments.get("scheme") or "internet-facing"
    balancer: FakeLoadBalancer = original(backend, **arguments)
    kind = {"network": "net", "gateway": "gwy"}.get(balancer.type, "app")
    _rename(backend, balancer, balancer.arn.replace(":loadbalancer/app/", f":loadbalancer/{kind}/"))
    digest = balancer.arn.rsplit("/", 1)[1]
    prefix = "internal-" if balancer.scheme == "internal" and kind == "app" else ""
    if kind == "net":
        balancer.dns_name = f"{balancer.name}-{digest}.elb.{backend.region_name}.amazonaws.com"
        balancer.canonical_hosted_zone_id = NLB_ZONE_ID
    else:
        # ALB user guide, Cross-zone load balancing: always on, and can't be turned off for the balancer.
        balancer.attrs["load_balancing.cross_zone.enabled"] = "true"
        balancer.dns_name = f"{prefix}{balancer.name}-{int(digest[:8], 16)}.{backend.region_name}.elb.amazonaws.com"
        balancer.canonical_hosted_zone_id = ALB_ZONE_ID
    wanted = {m["SubnetId"]: m.get("PrivateIPv4Address") for m in arguments.get("subnet_mappings") or []}
    balancer.lab_interfaces = [  # type: ignore[attr-defined]  # moto's balancers have none
        _interface(backend, balancer, subnet, kind, wanted.get(subnet.id)) for subnet in balancer.subnets
    ]
    WORLD.bump()
    return balancer


def _rename(backend: ELBv2Backend, balancer: FakeLoadBalancer, arn: str) -> None:
    """moto writes every balancer's ARN as an application balancer's; listeners take theirs from it."""
    if arn == balancer.arn:
        return
    tags = backend.tagging_service.get_tag_dict_for_resource(balancer.arn)
    backend.tagging_service.delete_all_tags_for_resource(balancer.arn)
    del backend.load_balancers[balancer.arn]
    balancer.arn = arn
    backend.load_balancers[arn] = balancer
    backend.tagging_service.tag_resource(arn, [{"Key": k, "Value": v} for k, v in tags.items()])


def _interface(backend: ELBv2Backend, balancer: FakeLoadBalancer, subnet: Any, kind: str, ip: str | None) -> Any:
    """The balancer's interface in a subnet; its address is what the balancer's name resolves to there."""
    if ip:
        subnet.request_ip(ip, None)
    eni = backend.ec2_backend.create_network_interface(
        subnet,
        ip or "",
        group_ids=list(balancer.security_groups or []) or None,
        description=f"ELB {kind}/{balancer.name}/{balancer.arn.rsplit('/', 1)[1]}",
    )
    if not balancer.security_groups:
        # A network balancer without groups isn't given the VPC's default one.
        eni._group_set = []
    eni.requester_managed = True
    eni.requester_id = "amazon-elb"
    eni.interface_type = "network_load_balancer" if kind == "net" else "interface"
    eni.status = "in-use"
    return eni


@instead(ELBv2Backend, "delete_load_balancer")
def delete(original: Any, backend: ELBv2Backend, arn: str) -> None:
    """DeleteLoadBalancer: takes listeners and interfaces along; unknown ones are no error; protected ones refused."""
    balancer = backend.load_balancers.get(arn)
    if balancer is None:
        return
    if balancer.attrs.get("deletion_protection.enabled") == "true":
        raise Refused(
            "OperationNotPermitted",
            f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
        )
    original(backend, arn)
    for eni in getattr(balancer, "lab_interfaces", []):
        if eni.id in backend.ec2_backend.enis:
            backend.ec2_backend.delete_network_interface(eni.id)


@instead(ELBv2Backend, "set_security_groups")
def set_groups(original: Any, backend: ELBv2Backend, arn: str, sec_groups: list[str]) -> None:
    """SetSecurityGroups: the interfaces get them too; a network balancer made without any stays without.

    Source: NLB user guide, Security groups.
    """
    balancer = backend.load_balancers.get(arn)
    if balancer is not None and balancer.type == "network" and not balancer.security_groups and sec_groups:
        raise Refused(
            "InvalidConfigurationRequest",
            f"You can't set security groups for load balancer '{arn}', which was created without any",
        )
    original(backend, arn, sec_groups)
    found = [backend.ec2_backend.get_security_group_from_id(g) for g in sec_groups]
    for eni in getattr(balancer, "lab_interfaces", []):
        eni._group_set = [g for g in found if g is not None]


@rule(ELBv2Backend, "create_listener", source=API + "CreateListener: DuplicateListener")
def listener_port_taken(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    balancer = backend.load_balancers.get(arguments["load_balancer_arn"])
    if balancer and any(int(x.port) == int(arguments["port"] or 0) for x in balancer.listeners.values()):
        raise DuplicateListenerError()


def _one_balancer(backend: ELBv2Backend, balancer_arn: str, actions: list[dict[str, Any]]) -> None:
    for action in actions:
        for arn in backend._get_target_group_arns_from(action):
            group = backend.target_groups.get(arn)
            if group is None:
                raise Refused("TargetGroupNotFound", f"Target groups '{arn}' not found")
            if any(used != balancer_arn for used in group.load_balancer_arns):
                raise Refused(
                    "TargetGroupAssociationLimit",
                    f"The following target groups cannot be associated with more than one load balancer: {arn}",
                )


@rule(ELBv2Backend, "create_listener", source=API + "CreateListener: TargetGroupAssociationLimit")
def target_group_on_two_balancers(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    _one_balancer(backend, arguments["load_balancer_arn"], arguments["actions"] or [])


@rule(ELBv2Backend, "modify_listener", source=API + "ModifyListener: TargetGroupAssociationLimit")
def target_group_moved_to_a_second_balancer(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    listener = backend.describe_listeners(load_balancer_arn=None, listener_arns=[arguments["arn"]])[0]
    _one_balancer(backend, listener.load_balancer_arn, arguments["actions"] or [])


@rule(ELBv2Backend, "create_rule", source=API + "CreateRule: TargetGroupAssociationLimit")
def target_group_of_a_rule(backend: ELBv2Backend, arguments: dict[str, Any]) -> None:
    listener = backend.describe_listeners(None, [arguments["listener_arn"]])[0]
    _one_balancer(backend, listener.load_balancer_arn, arguments["actions"] or [])
