"""Target groups.

Source: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lb_target_group ("Forces new resource"),
and the provider's target_group.go for what it sets of a block that is said in part: the rest of it, to its defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.aws import attributes
from lab.plugins.aws.attributes import Attribute, Nested
from lab.plugins.aws.balancing import elb, sync_tags, tags_of, with_tags
from lab.plugins.aws.call import Call
from lab.plugins.aws.tags import TAGS
from lab.plugins.aws.vpc import DOCS, first
from lab.plugins.schema import ResourceType, block, flag, number, text

_HEALTHY = "target_group_health."
_UNHEALTHY = "target_health_state.unhealthy."
_ATTRIBUTES: attributes.Table = {
    "deregistrationDelay": Attribute("deregistration_delay.timeout_seconds", number(default=300)),
    "connectionTermination": Attribute("deregistration_delay.connection_termination.enabled", flag(computed=True)),
    "preserveClientIp": Attribute("preserve_client_ip.enabled", text(computed=True)),
    "proxyProtocolV2": Attribute("proxy_protocol_v2.enabled", flag(usual=False)),
    "slowStart": Attribute("slow_start.duration_seconds", number(usual=0)),
    "loadBalancingAlgorithmType": Attribute("load_balancing.algorithm.type", text(computed=True)),
    "loadBalancingAnomalyMitigation": Attribute("load_balancing.algorithm.anomaly_mitigation", text(computed=True)),
    "loadBalancingCrossZoneEnabled": Attribute("load_balancing.cross_zone.enabled", text(computed=True)),
    "targetGroupHealth": Nested(
        {
            "dnsFailover": Nested(
                {
                    "minimumHealthyTargetsCount": Attribute(
                        f"{_HEALTHY}dns_failover.minimum_healthy_targets.count", text(usual="off")
                    ),
                    "minimumHealthyTargetsPercentage": Attribute(
                        f"{_HEALTHY}dns_failover.minimum_healthy_targets.percentage", text(usual="off")
                    ),
                },
                computed=False,
            ),
            "unhealthyStateRouting": Nested(
                {
                    "minimumHealthyTargetsCount": Attribute(
                        f"{_HEALTHY}unhealthy_state_routing.minimum_healthy_targets.count", number(usual=1)
                    ),
                    "minimumHealthyTargetsPercentage": Attribute(
                        f"{_HEALTHY}unhealthy_state_routing.minimum_healthy_targets.percentage", text(usual="off")
                    ),
                },
                computed=False,
            ),
        }
    ),
    "targetHealthStates": Nested(
        {
            "enableUnhealthyConnectionTermination": Attribute(
                f"{_UNHEALTHY}connection_termination.enabled", flag(required=True)
            ),
            "unhealthyDrainingInterval": Attribute(f"{_UNHEALTHY}draining_interval_seconds", number(usual=0)),
        },
        many=True,
    ),
}
_DURATION = {
    "lb_cookie": "stickiness.lb_cookie.duration_seconds",
    "app_cookie": "stickiness.app_cookie.duration_seconds",
}
_HEALTH = {
    "protocol": ("HealthCheckProtocol", str),
    "port": ("HealthCheckPort", str),
    "interval": ("HealthCheckIntervalSeconds", int),
    "timeout": ("HealthCheckTimeoutSeconds", int),
    "healthyThreshold": ("HealthyThresholdCount", int),
    "unhealthyThreshold": ("UnhealthyThresholdCount", int),
    "enabled": ("HealthCheckEnabled", bool),
    "path": ("HealthCheckPath", str),
}


def _health(call: Call) -> dict[str, Any]:
    check = call.new.get("healthCheck")
    if not check:
        return {}
    filled = {
        name: check.get(name) if check.get(name) is not None else (prop.usual if prop.default is None else prop.default)
        for name, prop in _CHECK.items()
    }
    if filled["protocol"] == "TCP":
        # The provider doesn't send what only HTTP has.
        filled |= {"path": None, "matcher": None}
    arguments = {argument: kind(filled[name]) for name, (argument, kind) in _HEALTH.items() if filled[name] is not None}
    if filled["matcher"]:
        code = "GrpcCode" if _version(call) == "GRPC" else "HttpCode"
        arguments["Matcher"] = {code: str(filled["matcher"])}
    return arguments


def _version(call: Call) -> str | None:
    return call.new.get("protocolVersion") or call.old.get("protocolVersion")


def _create_group(call: Call) -> str:
    made = elb(call).create_target_group(
        Name=call.new["name"],
        TargetType=call.new["targetType"],
        Port=int(call.new["port"]),
        Protocol=call.new["protocol"],
        VpcId=call.new["vpcId"],
        **(call.given(ProtocolVersion="protocolVersion") if call.new["protocol"] in _WEB else {}),
        **_health(call),
        **with_tags(call),
    )["TargetGroups"][0]
    call.made(made["TargetGroupArn"])
    _set_attributes(call)
    return call.id


def _live_attributes(call: Call) -> dict[str, str]:
    return attributes.by_key(elb(call).describe_target_group_attributes(TargetGroupArn=call.id))


def _set_attributes(call: Call) -> None:
    live = _live_attributes(call)
    wanted = attributes.to_change(_ATTRIBUTES, call.new, live)
    sticky = _stickiness(call)
    if any(live.get(key) != value for key, value in sticky.items()):
        # Together: AWS takes a cookie's name only beside its type.
        wanted |= sticky
    if wanted:
        elb(call).modify_target_group_attributes(TargetGroupArn=call.id, Attributes=attributes.pairs(wanted))


def _stickiness(call: Call) -> dict[str, str]:
    said = call.new.get("stickiness")
    if not said:
        return {}
    kind, enabled = said["type"], said.get("enabled")
    wanted = {"stickiness.enabled": attributes.written(enabled is None or bool(enabled)), "stickiness.type": kind}
    if kind in _DURATION:
        wanted[_DURATION[kind]] = str(int(said.get("cookieDuration") or 86400))
    if kind == "app_cookie":
        wanted["stickiness.app_cookie.cookie_name"] = said["cookieName"]
    return wanted


def _sticks(live: Mapping[str, str]) -> dict[str, Any] | None:
    kind = live.get("stickiness.type")
    if kind is None:
        return None
    return {
        "enabled": live.get("stickiness.enabled") == "true",
        "type": kind,
        **({"cookieDuration": int(live[_DURATION[kind]])} if _DURATION.get(kind) in live else {}),
        **({"cookieName": live.get("stickiness.app_cookie.cookie_name")} if kind == "app_cookie" else {}),
    }


def _read_group(call: Call) -> dict[str, Any] | None:
    group = first(elb(call).describe_target_groups(TargetGroupArns=[call.id])["TargetGroups"])
    if group is None:
        return None
    live = _live_attributes(call)
    matcher = group.get("Matcher") or {}
    check = {name: group.get(argument) for name, (argument, _) in _HEALTH.items()}
    check["matcher"] = matcher.get("GrpcCode") or matcher.get("HttpCode")
    return {
        "name": group["TargetGroupName"],
        "port": group.get("Port"),
        "protocol": group.get("Protocol"),
        "vpcId": group.get("VpcId"),
        "targetType": group.get("TargetType", "instance"),
        "healthCheck": {k: v for k, v in check.items() if v is not None},
        "protocolVersion": group.get("ProtocolVersion") if group.get("Protocol") in _WEB else None,
        **attributes.found(_ATTRIBUTES, live),
        "stickiness": _sticks(live),
        "arn": call.id,
        **call.tags_read(tags_of(call)),
    }


def _update_group(call: Call) -> None:
    if call.changed("healthCheck"):
        elb(call).modify_target_group(TargetGroupArn=call.id, **_health(call))
    if call.changed("stickiness", *_ATTRIBUTES):
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


_WEB = ("HTTP", "HTTPS")
_CHECK = {
    "protocol": text(default="HTTP", choices=("TCP", "HTTP", "HTTPS")),
    "port": text(default="traffic-port"),
    "interval": number(default=30),
    "timeout": number(computed=True),
    "healthyThreshold": number(default=3),
    "unhealthyThreshold": number(default=3),
    "enabled": flag(usual=True),
    "path": text(computed=True),
    "matcher": text(computed=True),
}
_STICKINESS = {
    "enabled": flag(usual=True),
    "type": text(required=True, choices=("source_ip", "lb_cookie", "app_cookie")),
    "cookieDuration": number(computed=True),
    "cookieName": text(),
}

ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:lb/targetGroup:TargetGroup",
        source=DOCS + "lb_target_group",
        props={
            "name": text(required=True, replace=True),
            "port": number(required=True, replace=True),
            "protocol": text(required=True, replace=True, choices=("TCP", "UDP", "TCP_UDP", "TLS", *_WEB)),
            "protocolVersion": text(computed=True, replace=True, choices=("HTTP1", "HTTP2", "GRPC")),
            "vpcId": text(required=True, replace=True),
            "targetType": text(default="instance", choices=("instance", "ip"), replace=True),
            "healthCheck": block(_CHECK, computed=True),
            **attributes.props(_ATTRIBUTES),
            "stickiness": block(_STICKINESS, computed=True),
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
