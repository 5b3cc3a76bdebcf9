"""Security groups and their rules, one resource a rule (inline rules are not supported: they undo single ones).

Sources as in `vpc.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.tags import TAGS, as_dict, as_list, specification, sync_ec2
from lab.plugins.aws.vpc import DOCS, arn, first
from lab.plugins.schema import ResourceType, number, text

_GONE = (
    "InvalidGroup.NotFound",
    "InvalidGroupId.NotFound",
    "InvalidSecurityGroupRuleId.NotFound",
    "InvalidPermission.NotFound",
)
# A group stays in use until the interfaces and rules that name it are gone, which AWS sees late.
_LAGS = ("DependencyViolation", "InvalidGroup.InUse")


# --- Group


def _create_group(call: Call) -> str:
    made = call.ec2.create_security_group(
        GroupName=call.new["name"],
        Description=call.new["description"],
        **call.given(VpcId="vpcId"),
        **specification(call, "security-group"),
    )
    call.made(made["GroupId"])
    group = call.wait(f"{call.id} visible", lambda: _group(call))
    # The page: AWS's allow-all egress rule is removed, so that what the program says is all there is.
    if permissions := group.get("IpPermissionsEgress"):
        call.ec2.revoke_security_group_egress(GroupId=call.id, IpPermissions=permissions)
    return call.id


def _group(call: Call) -> dict[str, Any] | None:
    return first(call.ec2.describe_security_groups(GroupIds=[call.id])["SecurityGroups"])


def _read_group(call: Call) -> dict[str, Any] | None:
    group = _group(call)
    if group is None:
        return None
    return {
        "name": group["GroupName"],
        "description": group["Description"],
        "vpcId": group.get("VpcId"),
        "arn": group.get("SecurityGroupArn") or arn(call, f"security-group/{call.id}", group.get("OwnerId")),
        "ownerId": group.get("OwnerId") or call.clients.account,
        **call.tags_read(as_dict(group.get("Tags"))),
    }


def _delete_group(call: Call) -> None:
    call.retry(_LAGS, lambda: call.ec2.delete_security_group(GroupId=call.id), timeout_s=min(call.timeout_s, 300))


# --- Rule

_SOURCES = {
    "cidrIpv4": "CidrIpv4",
    "prefixListId": "PrefixListId",
    "referencedSecurityGroupId": "ReferencedGroupId",
}
_PROTOCOLS = {"all": "-1", "6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6"}


def _protocol(values: Mapping[str, Any]) -> str:
    given = str(values["ipProtocol"]).lower()
    return _PROTOCOLS.get(given, given)


def _source(values: Mapping[str, Any]) -> str | None:
    return next((name for name in _SOURCES if values.get(name)), None)


def _permission(call: Call) -> dict[str, Any]:
    new, note = call.new, call.given(Description="description")
    permission: dict[str, Any] = {"IpProtocol": _protocol(new), **call.given(FromPort="fromPort", ToPort="toPort")}
    source = _source(new)
    if source == "cidrIpv4":
        permission["IpRanges"] = [{"CidrIp": new[source], **note}]
    elif source == "prefixListId":
        permission["PrefixListIds"] = [{"PrefixListId": new[source], **note}]
    elif source == "referencedSecurityGroupId":
        permission["UserIdGroupPairs"] = [{"GroupId": new[source], **note}]
    return permission


def _create_rule(call: Call) -> str:
    egress = call.row.token.endswith("EgressRule")
    authorize = call.ec2.authorize_security_group_egress if egress else call.ec2.authorize_security_group_ingress
    # A group named by a rule may be younger than AWS's view of it.
    made = call.retry(
        ("InvalidGroup.NotFound",),
        lambda: authorize(GroupId=call.new["securityGroupId"], IpPermissions=[_permission(call)]),
        timeout_s=10,
    )["SecurityGroupRules"][0]
    call.made(made["SecurityGroupRuleId"])
    if call.tags_wanted:
        call.ec2.create_tags(Resources=[call.id], Tags=as_list(call.tags_wanted))
    return call.id


def _read_rule(call: Call) -> dict[str, Any] | None:
    rule = first(call.ec2.describe_security_group_rules(SecurityGroupRuleIds=[call.id])["SecurityGroupRules"])
    if rule is None:
        return None
    known = call.new or call.old_inputs or call.old
    protocol = rule["IpProtocol"]
    # The provider keeps the protocol as it was written, and a port of -1 that nobody wrote is none.
    if known.get("ipProtocol") is not None and _protocol(known) == protocol:
        protocol = known["ipProtocol"]

    def port(key: str, name: str) -> int | None:
        live = rule.get(key)
        return None if live == -1 and known.get(name) is None else live

    return {
        "securityGroupId": rule["GroupId"],
        "ipProtocol": protocol,
        "fromPort": port("FromPort", "fromPort"),
        "toPort": port("ToPort", "toPort"),
        "cidrIpv4": rule.get("CidrIpv4"),
        "prefixListId": rule.get("PrefixListId"),
        "referencedSecurityGroupId": (rule.get("ReferencedGroupInfo") or {}).get("GroupId"),
        # moto (5.2.5) forgets the description of a rule that names a group; AWS doesn't.
        "description": rule.get("Description") or (known.get("description") if not rule.get("CidrIpv4") else None),
        "securityGroupRuleId": call.id,
        "arn": arn(call, f"security-group-rule/{call.id}"),
        **call.tags_read(as_dict(rule.get("Tags"))),
    }


def _update_rule(call: Call) -> None:
    if call.changed("ipProtocol", "fromPort", "toPort", "description", *_SOURCES):
        source = _source(call.new)
        rule = {
            "IpProtocol": _protocol(call.new),
            **({"FromPort": -1, "ToPort": -1} if _protocol(call.new) == "-1" else {}),
            **call.given(FromPort="fromPort", ToPort="toPort", Description="description"),
            **({_SOURCES[source]: call.new[source]} if source else {}),
        }
        call.ec2.modify_security_group_rules(
            GroupId=call.new["securityGroupId"],
            SecurityGroupRules=[{"SecurityGroupRuleId": call.id, "SecurityGroupRule": rule}],
        )
    sync_ec2(call)


def _delete_rule(call: Call) -> None:
    egress = call.row.token.endswith("EgressRule")
    revoke = call.ec2.revoke_security_group_egress if egress else call.ec2.revoke_security_group_ingress
    revoke(GroupId=call.old["securityGroupId"], SecurityGroupRuleIds=[call.id])


def _suitable_rule(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    given = [n for n in _SOURCES if values.get(n) is not None]
    if len(given) != 1:
        named = ", ".join(given) or "none"
        return [("cidrIpv4", f"a rule needs exactly one of {', '.join(_SOURCES)}; given: {named}")]
    return []


def _source_type_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    # "When you modify a rule, you cannot change the rule's source type" (ModifyPlan of the provider's resource).
    was, wanted = _source(old), _source(new)
    return set() if was == wanted else {n for n in (was, wanted) if n}


def _rule_row(token: str, page: str) -> ResourceType[Call]:
    return ResourceType(
        token=token,
        source=DOCS + page,
        props={
            "securityGroupId": text(required=True, replace=True),
            "ipProtocol": text(required=True),
            "fromPort": number(),
            "toPort": number(),
            **{name: text() for name in _SOURCES},
            "description": text(),
            **TAGS,
        },
        computed=("arn", "securityGroupRuleId"),
        validate=_suitable_rule,
        also_replaces=_source_type_changed,
        create=_create_rule,
        read=_read_rule,
        update=_update_rule,
        delete=_delete_rule,
        gone=_GONE,
    )


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:ec2/securityGroup:SecurityGroup",
        source=DOCS + "security_group",
        props={
            "name": text(required=True, replace=True),
            "description": text(default="Managed by Pulumi", replace=True),
            "vpcId": text(computed=True, replace=True),
            **TAGS,
        },
        computed=("arn", "ownerId"),
        unique="name",
        create=_create_group,
        read=_read_group,
        update=sync_ec2,
        delete=_delete_group,
        gone=_GONE,
    ),
    _rule_row("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "vpc_security_group_ingress_rule"),
    _rule_row("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "vpc_security_group_egress_rule"),
)
