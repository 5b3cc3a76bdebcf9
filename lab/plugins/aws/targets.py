"""Target groups and single targets.

Source: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lb_target_group and
lb_target_group_attachment ("Forces new resource" there).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from lab.plugins.aws.balancing import attribute, elb, sync_tags, tags_of, with_tags
from lab.plugins.aws.call import Call
from lab.plugins.aws.naming import name_wanted
from lab.plugins.aws.tags import TAGS
from lab.plugins.aws.vpc import DOCS, REGION, first
from lab.plugins.errors import PluginError
from lab.plugins.schema import ResourceType, block, flag, number, text

_AS_BALANCER = "use_load_balancer_configuration"
# Wire name → attribute key and what AWS has where nothing was said.
_ATTRIBUTES: dict[str, tuple[str, Any]] = {
    "deregistrationDelay": ("deregistration_delay.timeout_seconds", 300),
    "connectionTermination": ("deregistration_delay.connection_termination.enabled", None),
    "preserveClientIp": ("preserve_client_ip.enabled", None),
    "proxyProtocolV2": ("proxy_protocol_v2.enabled", False),
    "loadBalancingCrossZoneEnabled": ("load_balancing.cross_zone.enabled", _AS_BALANCER),
}
_HEALTH = {
    "enabled": ("HealthCheckEnabled", bool),
    "protocol": ("HealthCheckProtocol", str),
    "port": ("HealthCheckPort", str),
    "path": ("HealthCheckPath", str),
    "interval": ("HealthCheckIntervalSeconds", int),
    "timeout": ("HealthCheckTimeoutSeconds", int),
    "healthyThreshold": ("HealthyThresholdCount", int),
    "unhealthyThreshold": ("UnhealthyThresholdCount", int),
}


def _health(call: Call) -> dict[str, Any]:
    check = call.new.get("healthCheck")
    if not check:
        return {}
    filled = {name: check.get(name) if check.get(name) is not None else prop.default for name, prop in _CHECK.items()}
    if filled["protocol"] == "TCP":
        filled["path"] = None
    arguments = {
        argument: kind(filled[name]) for name, (argument, kind) in _HEALTH.items() if filled.get(name) is not None
    }
    if filled.get("matcher") and filled["protocol"] != "TCP":
        arguments["Matcher"] = {"HttpCode": str(filled["matcher"])}
    return arguments


def _create_group(call: Call) -> str:
    made = elb(call).create_target_group(
        Name=name_wanted(call),
        TargetType=call.new["targetType"],
        Port=int(call.new["port"]),
        **call.given(Protocol="protocol", VpcId="vpcId", IpAddressType="ipAddressType"),
        **_health(call),
        **with_tags(call),
    )["TargetGroups"][0]
    call.made(made["TargetGroupArn"])
    _set_attributes(call)
    return call.id


def _live_attributes(call: Call) -> dict[str, str]:
    pairs = elb(call).describe_target_group_attributes(TargetGroupArn=call.id)["Attributes"]
    return {p["Key"]: p["Value"] for p in pairs}


def _set_attributes(call: Call) -> None:
    live = _live_attributes(call)
    wanted: dict[str, str] = {}
    for name, (key, usual) in _ATTRIBUTES.items():
        value = call.new.get(name)
        if value is not None and live.get(key, "" if usual is None else attribute(usual)) != attribute(value):
            wanted[key] = attribute(value)
    sticky = call.new.get("stickiness")
    if sticky:
        enabled = sticky.get("enabled", True)
        wanted["stickiness.enabled"] = attribute(enabled)
        if enabled:
            wanted["stickiness.type"] = str(sticky["type"])
    if wanted:
        pairs = [{"Key": k, "Value": v} for k, v in sorted(wanted.items())]
        elb(call).modify_target_group_attributes(TargetGroupArn=call.id, Attributes=pairs)


def _read_group(call: Call) -> dict[str, Any] | None:
    group = first(elb(call).describe_target_groups(TargetGroupArns=[call.id])["TargetGroups"])
    if group is None:
        return None
    live = _live_attributes(call)
    check = {name: group.get(argument) for name, (argument, _) in _HEALTH.items()}
    check["matcher"] = (group.get("Matcher") or {}).get("HttpCode")
    if check["protocol"] == "TCP":
        check["path"] = check["matcher"] = None

    def truth(key: str, usual: str) -> bool:
        return live.get(key, usual) == "true"

    return {
        "name": group["TargetGroupName"],
        "port": group.get("Port"),
        "protocol": group.get("Protocol"),
        "vpcId": group.get("VpcId"),
        "targetType": group.get("TargetType", "instance"),
        "ipAddressType": group.get("IpAddressType"),
        "healthCheck": {k: v for k, v in check.items() if v is not None},
        "deregistrationDelay": int(live.get("deregistration_delay.timeout_seconds", "300")),
        "connectionTermination": truth("deregistration_delay.connection_termination.enabled", "false"),
        "preserveClientIp": live.get("preserve_client_ip.enabled"),
        "proxyProtocolV2": truth("proxy_protocol_v2.enabled", "false"),
        "loadBalancingCrossZoneEnabled": live.get("load_balancing.cross_zone.enabled", _AS_BALANCER),
        "stickiness": {
            "enabled": truth("stickiness.enabled", "false"),
            "type": live.get("stickiness.type", "source_ip"),
        },
        "loadBalancerArns": sorted(group.get("LoadBalancerArns", [])),
        "arn": call.id,
        "arnSuffix": call.id.rpartition(":")[2],
        **call.tags_read(tags_of(call)),
    }


def _update_group(call: Call) -> None:
    if call.changed("healthCheck"):
        # `enabled` and, for some types, the protocol are only sent when they change: AWS refuses to be told twice.
        elb(call).modify_target_group(TargetGroupArn=call.id, **_health(call))
    if call.changed(*_ATTRIBUTES, "stickiness"):
        _set_attributes(call)
    sync_tags(call)


def _delete_group(call: Call) -> None:
    # A listener that has just been deleted still holds its group for a moment.
    call.retry(("ResourceInUse",), lambda: elb(call).delete_target_group(TargetGroupArn=call.id), timeout_s=120)


def _suitable_group(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [
        (name, f"a target group of type {values.get('targetType')} needs '{name}'")
        for name in ("port", "protocol", "vpcId")
        if values.get(name) is None
    ]
    name = values.get("name")
    if isinstance(name, str) and (len(name) > 32 or name.startswith("-") or name.endswith("-")):
        found.append(("name", f"'{name}' ({len(name)} characters): at most 32, neither beginning nor ending with '-'"))
    return found


# --- One target


def _target(values: Mapping[str, Any]) -> dict[str, Any]:
    target: dict[str, Any] = {"Id": values["targetId"]}
    if values.get("port") is not None:
        target["Port"] = int(values["port"])
    if values.get("availabilityZone"):
        target["AvailabilityZone"] = values["availabilityZone"]
    return target


def _create_target(call: Call) -> str:
    group = call.new["targetGroupArn"]
    call.retry(
        ("InvalidTarget",),  # an instance that isn't running yet
        lambda: elb(call).register_targets(TargetGroupArn=group, Targets=[_target(call.new)]),
        timeout_s=min(call.timeout_s, 60),
    )
    return call.made(f"{group}-{secrets.token_hex(8)}")


def _read_target(call: Call) -> dict[str, Any] | None:
    known = call.new or call.old_inputs or call.old
    answer = elb(call).describe_target_health(TargetGroupArn=known["targetGroupArn"], Targets=[_target(known)])
    for found in answer["TargetHealthDescriptions"]:
        health = found.get("TargetHealth", {})
        if health.get("Reason") in ("Target.NotRegistered", "Target.DeregistrationInProgress"):
            continue
        if health.get("State") == "draining":
            continue
        return {name: known.get(name) for name in ("targetGroupArn", "targetId", "port", "availabilityZone")}
    return None


def _delete_target(call: Call) -> None:
    elb(call).deregister_targets(TargetGroupArn=call.old["targetGroupArn"], Targets=[_target(call.old)])


def _identify_target(given: str) -> tuple[str, dict[str, Any]]:
    group, *rest = given.split(",")
    if not rest:
        raise PluginError(f"a target is imported as <group arn>,<target>[,<port>[,<zone>]]; '{given}' isn't that")
    names = ("targetId", "port", "availabilityZone")
    return f"{group}-{secrets.token_hex(8)}", {"targetGroupArn": group, **dict(zip(names, rest, strict=False))}


_CHECK = {
    "enabled": flag(default=True),
    "protocol": text(default="HTTP", choices=("TCP", "HTTP", "HTTPS")),
    "port": text(default="traffic-port"),
    "path": text(computed=True),
    "matcher": text(computed=True),
    "interval": number(default=30),
    "timeout": number(computed=True),
    "healthyThreshold": number(default=3),
    "unhealthyThreshold": number(default=3),
}

ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:lb/targetGroup:TargetGroup",
        source=DOCS + "lb_target_group",
        props={
            "name": text(computed=True, replace=True),
            "namePrefix": text(replace=True, unreadable=True),
            "port": number(replace=True),
            "protocol": text(replace=True, choices=("TCP", "UDP", "TCP_UDP", "TLS")),
            "vpcId": text(replace=True),
            "targetType": text(default="instance", choices=("instance", "ip"), replace=True),
            "ipAddressType": text(computed=True, replace=True),
            "healthCheck": block(_CHECK, computed=True),
            "deregistrationDelay": number(default=300),
            "connectionTermination": flag(computed=True),
            "preserveClientIp": text(computed=True),
            "proxyProtocolV2": flag(default=False),
            "loadBalancingCrossZoneEnabled": text(computed=True),
            "stickiness": block({"enabled": flag(default=True), "type": text(required=True)}, computed=True),
            **TAGS,
            **REGION,
        },
        computed=("arn", "arnSuffix", "loadBalancerArns"),
        generated="name",
        unique="name",
        longest=32,
        validate=_suitable_group,
        create=_create_group,
        read=_read_group,
        update=_update_group,
        delete=_delete_group,
        gone=("TargetGroupNotFound",),
    ),
    ResourceType(
        token="aws:lb/targetGroupAttachment:TargetGroupAttachment",
        source=DOCS + "lb_target_group_attachment",
        props={
            "targetGroupArn": text(required=True, replace=True),
            "targetId": text(required=True, replace=True),
            "port": number(replace=True),
            "availabilityZone": text(replace=True),
            **REGION,
        },
        create=_create_target,
        read=_read_target,
        delete=_delete_target,
        identify=_identify_target,
        gone=("TargetGroupNotFound", "InvalidTarget"),
    ),
)
