"""Security groups: of one VPC each, named across VPCs only over an active peering, not deleted while in use."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models import EC2Backend
from moto.ec2.models.security_groups import SecurityGroup, SecurityGroupRule
from moto.ec2.responses.security_groups import SecurityGroups

from lab.aws.hooks import Refused, define, instead, rule
from lab.aws.peering import active_peering
from lab.aws.world import WORLD

API = "EC2 API reference, "


@rule(
    EC2Backend,
    "authorize_security_group_ingress",
    "authorize_security_group_egress",
    source="VPC peering guide, Update your security groups to reference peer security groups",
)
def group_of_an_unpeered_vpc(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    group = backend.get_security_group_by_name_or_id(arguments["group_name_or_id"], arguments.get("vpc_id"))
    if group is None:
        return
    for pair in arguments["source_groups"] or []:
        other = backend.get_security_group_from_id(pair.get("GroupId", ""))
        if other is None or other.vpc_id == group.vpc_id:
            continue
        if active_peering(group.vpc_id, other.vpc_id) is None:
            raise Refused(
                "InvalidGroup.NotFound", "You have specified two resources that belong to different networks."
            )


@instead(SecurityGroups, "authorize_security_group_ingress")
def authorize_ingress(_original: Any, response: SecurityGroups) -> ActionResult:
    return _authorize(response, "ingress")


@instead(SecurityGroups, "authorize_security_group_egress")
def authorize_egress(_original: Any, response: SecurityGroups) -> ActionResult:
    return _authorize(response, "egress")


def _authorize(response: SecurityGroups, direction: str) -> ActionResult:
    """All permissions or none, and every new rule in the answer (moto answers with the last permission's only)."""
    response.error_on_dryrun()
    backend: EC2Backend = response.ec2_backend
    call = getattr(backend, f"authorize_security_group_{direction}")
    added: list[Any] = []
    try:
        for permission in response._process_rules_from_querystring():
            rules, _group = call(**permission)
            added.extend(rules)
    except Exception:
        for made in added:
            group = backend.get_security_group_from_id(made.group_id)
            if group is not None:
                group.ingress_rules = [r for r in group.ingress_rules if r.id != made.id]
                group.egress_rules = [r for r in group.egress_rules if r.id != made.id]
        raise
    return ActionResult({"Return": True, "SecurityGroupRules": added})


@rule(SecurityGroups, "delete_security_group", source=API + "DeleteSecurityGroup: CannotDelete")
def default_group(response: SecurityGroups, _arguments: dict[str, Any]) -> None:
    group = response.ec2_backend.get_security_group_from_id(response._get_param("GroupId") or "")
    if group is not None and group.is_default:
        raise Refused(
            "CannotDelete", f'the specified group: "{group.id}" name: "{group.name}" cannot be deleted by a user'
        )


@rule(EC2Backend, "delete_security_group", source=API + "DeleteSecurityGroup: DependencyViolation")
def group_in_use(backend: EC2Backend, arguments: dict[str, Any]) -> None:
    group_id = arguments["group_id"]
    group = backend.get_security_group_from_id(group_id or "")
    if group is None:
        return
    if user_of(backend, group):
        raise Refused("DependencyViolation", f"resource {group_id} has a dependent object")


def user_of(backend: EC2Backend, group: SecurityGroup) -> str | None:
    """The id of one thing that keeps a group from being deleted: interface, balancer, or another group of its VPC.

    A rule in a peer VPC's group doesn't: it becomes stale.
    """
    for eni in backend.enis.values():
        if any(g.id == group.id for g in eni.group_set):
            return eni.id
    for balancer in WORLD.elbv2.load_balancers.values():
        if group.id in (balancer.security_groups or []):
            return balancer.arn
    for other in backend.groups.get(group.vpc_id or "", {}).values():
        if other.id != group.id and any(
            r.source_group.get("GroupId") == group.id for r in (*other.ingress_rules, *other.egress_rules)
        ):
            return other.id
    return None


@instead(SecurityGroupRule, "__init__")
def remember_the_prefix_lists_description(
    original: Any, security_rule: SecurityGroupRule, *args: Any, **kwargs: Any
) -> None:
    original(security_rule, *args, **kwargs)
    # ec2_backend, protocol, group, from, to, ip range, source group, prefix list
    given = kwargs.get("prefix_list_id") or (args[7] if len(args) > 7 else None) or {}
    if given.get("Description"):
        security_rule.ip_range = {**security_rule.ip_range, "Description": given["Description"]}


def _source(security_rule: SecurityGroupRule) -> tuple[Any, ...]:
    """What makes two rules the same for AWS: protocol, ports, source; a description doesn't.

    Source: API reference, AuthorizeSecurityGroupIngress: InvalidPermission.Duplicate.
    """
    return (
        security_rule.ip_protocol,
        security_rule.from_port,
        security_rule.to_port,
        security_rule.ip_range.get("CidrIp"),
        security_rule.ip_range.get("CidrIpv6"),
        security_rule.source_group.get("GroupId"),
        security_rule.prefix_list_id,
    )


define(SecurityGroupRule, "__eq__", lambda self, other: _source(self) == _source(other))
define(
    SecurityGroupRule,
    "description",
    property(lambda self: self.ip_range.get("Description") or self.source_group.get("Description")),
)


@instead(EC2Backend, "modify_security_group_rules")
def modify_rules(_original: Any, backend: EC2Backend, group_id: str, rules: dict[str, dict[str, Any]]) -> None:
    """ModifySecurityGroupRules, also of rules that name a group or a prefix list (moto: addresses only)."""
    group = backend.get_security_group_from_id(group_id)
    if group is None:
        raise Refused("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
    for rule_id, wanted in rules.items():
        existing = group.get_rule(rule_id)
        if existing is None:
            raise Refused(
                "InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{rule_id}' does not exist"
            )
        _modify_rule(backend, group, existing, wanted)


def _modify_rule(
    backend: EC2Backend, group: SecurityGroup, existing: SecurityGroupRule, wanted: dict[str, Any]
) -> None:
    sources = [k for k in ("CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId") if wanted.get(k)]
    if len(sources) != 1:
        raise Refused(
            "InvalidParameterCombination" if sources else "MissingParameter",
            "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId",
        )
    have = {
        "CidrIpv4": existing.cidr_ipv4,
        "CidrIpv6": existing.cidr_ipv6,
        "PrefixListId": existing.prefix_list_id,
        "ReferencedGroupId": existing.source_group.get("GroupId"),
    }
    if not have[sources[0]]:
        raise Refused(
            "InvalidParameterValue",
            f"Invalid rule type for security group rule '{existing.id}'. You may not specify {sources[0]} for it.",
        )
    if named := wanted.get("ReferencedGroupId"):
        group_of_an_unpeered_vpc(
            backend, {"group_name_or_id": group.id, "source_groups": [{"GroupId": named}], "vpc_id": None}
        )
        existing.source_group = {**existing.source_group, "GroupId": named}
        existing.source_group.pop("Description", None)
    existing.prefix_list_id = wanted.get("PrefixListId")
    existing.ip_range = {
        k: v
        for k, v in (
            ("CidrIp", wanted.get("CidrIpv4")),
            ("CidrIpv6", wanted.get("CidrIpv6")),
            ("Description", wanted.get("Description")),
        )
        if v
    }
    protocol = str(wanted.get("IpProtocol") or existing.ip_protocol)
    existing.ip_protocol = {"6": "tcp", "17": "udp", "1": "icmp", "all": "-1"}.get(protocol, protocol)
    every = existing.ip_protocol == "-1"
    existing.from_port = None if every else int(wanted.get("FromPort", -1))
    existing.to_port = None if every else int(wanted.get("ToPort", -1))
