"""Target groups.

Source: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lb_target_group ("Forces new resource").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.aws.balancing import attribute, elb, sync_tags, tags_of, with_tags
from lab.plugins.aws.call import Call
from lab.plugins.aws.tags import TAGS
from lab.plugins.aws.vpc import DOCS, first
from lab.plugins.schema import ResourceType, block, number, text

# Wire name → attribute key and what AWS has where nothing was said.
_ATTRIBUTES = {
    "deregistrationDelay": ("deregistration_delay.timeout_seconds", "300"),
    "preserveClientIp": ("preserve_client_ip.enabled", ""),
}
_HEALTH = {
    "protocol": ("HealthCheckProtocol", str),
    "port": ("HealthCheckPort", str),
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
    return {argument: kind(filled[name]) for name, (argument, kind) in _HEALTH.items() if filled[name] is not None}


def _create_group(call: Call) -> str:
    made = elb(call).create_target_group(
        Name=call.new["name"],
        TargetType=call.new["targetType"],
        Port=int(call.new["port"]),
        Protocol=call.new["protocol"],
        VpcId=call.new["vpcId"],
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
        if value is not None and live.get(key, usual) != attribute(value):
            wanted[key] = attribute(value)
    if wanted:
        pairs = [{"Key": k, "Value": v} for k, v in sorted(wanted.items())]
        elb(call).modify_target_group_attributes(TargetGroupArn=call.id, Attributes=pairs)


def _read_group(call: Call) -> dict[str, Any] | None:
    group = first(elb(call).describe_target_groups(TargetGroupArns=[call.id])["TargetGroups"])
    if group is None:
        return None
    live = _live_attributes(call)
    check = {name: group.get(argument) for name, (argument, _) in _HEALTH.items()}
    return {
        "name": group["TargetGroupName"],
        "port": group.get("Port"),
        "protocol": group.get("Protocol"),
        "vpcId": group.get("VpcId"),
        "targetType": group.get("TargetType", "instance"),
        "healthCheck": {k: v for k, v in check.items() if v is not None},
        "deregistrationDelay": int(live.get("deregistration_delay.timeout_seconds", "300")),
        "preserveClientIp": live.get("preserve_client_ip.enabled"),
        "arn": call.id,
        **call.tags_read(tags_of(call)),
    }


def _update_group(call: Call) -> None:
    if call.changed("healthCheck"):
        elb(call).modify_target_group(TargetGroupArn=call.id, **_health(call))
    if call.changed(*_ATTRIBUTES):
        _set_attributes(call)
    sync_tags(call)


def _delete_group(call: Call) -> None:
    # A listener that has just been deleted still holds its group for a moment.
    call.retry(("ResourceInUse",), lambda: elb(call).delete_target_group(TargetGroupArn=call.id), timeout_s=120)


def _suitable_group(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    name = values.get("name")
    if isinstance(name, str) and (len(name) > 32 or name.startswith("-") or name.endswith("-")):
        return [("name", f"'{name}' ({len(name)} characters): at most 32, neither beginning nor ending with '-'")]
    return []


_CHECK = {
    "protocol": text(default="HTTP", choices=("TCP", "HTTP", "HTTPS")),
    "port": text(default="traffic-port"),
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
            "name": text(required=True, replace=True),
            "port": number(required=True, replace=True),
            "protocol": text(required=True, replace=True, choices=("TCP", "UDP", "TCP_UDP", "TLS")),
            "vpcId": text(required=True, replace=True),
            "targetType": text(default="instance", choices=("instance", "ip"), replace=True),
            "healthCheck": block(_CHECK, computed=True),
            "deregistrationDelay": number(default=300),
            "preserveClientIp": text(computed=True),
            **TAGS,
        },
        computed=("arn",),
        unique="name",
        validate=_suitable_group,
        create=_create_group,
        read=_read_group,
        update=_update_group,
        delete=_delete_group,
        gone=("TargetGroupNotFound",),
    ),
)
