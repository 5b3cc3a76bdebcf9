"""Listeners of load balancers, their further certificates and their rules.

Sources: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/ lb_listener, lb_listener_certificate,
lb_listener_rule; "replace" is their ForceNew. A rule's priority changes in place (SetRulePriorities).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.aws import attributes
from lab.plugins.aws.attributes import Attribute
from lab.plugins.aws.balancing import elb, sync_tags, tags_of, with_tags
from lab.plugins.aws.call import Call
from lab.plugins.aws.tags import TAGS
from lab.plugins.aws.vpc import DOCS, first
from lab.plugins.errors import PluginError
from lab.plugins.schema import ResourceType, block, blocks, flag, listed, number, text, texts

_IDLE: attributes.Table = {
    "tcpIdleTimeoutSeconds": Attribute("tcp.idle_timeout.seconds", number(usual=350)),
}
_HEADERS = {
    "routingHttpRequestXAmznTlsVersionHeaderName": "request.x_amzn_tls_version.header_name",
    "routingHttpRequestXAmznTlsCipherSuiteHeaderName": "request.x_amzn_tls_cipher_suite.header_name",
    "routingHttpResponseAccessControlAllowCredentialsHeaderValue": "response.access_control_allow_credentials",
    "routingHttpResponseAccessControlAllowHeadersHeaderValue": "response.access_control_allow_headers",
    "routingHttpResponseAccessControlAllowMethodsHeaderValue": "response.access_control_allow_methods",
    "routingHttpResponseAccessControlAllowOriginHeaderValue": "response.access_control_allow_origin",
    "routingHttpResponseAccessControlExposeHeadersHeaderValue": "response.access_control_expose_headers",
    "routingHttpResponseAccessControlMaxAgeHeaderValue": "response.access_control_max_age",
    "routingHttpResponseContentSecurityPolicyHeaderValue": "response.content_security_policy",
    "routingHttpResponseStrictTransportSecurityHeaderValue": "response.strict_transport_security",
    "routingHttpResponseXContentTypeOptionsHeaderValue": "response.x_content_type_options",
    "routingHttpResponseXFrameOptionsHeaderValue": "response.x_frame_options",
}
_ATTRIBUTES: attributes.Table = {
    **_IDLE,
    "routingHttpResponseServerEnabled": Attribute("routing.http.response.server.enabled", flag(computed=True)),
    **{
        name: Attribute(
            f"routing.http.{key}" if key.endswith("_name") else f"routing.http.{key}.header_value", text(computed=True)
        )
        for name, key in _HEADERS.items()
    },
}

# --- What a listener or a rule does: it forwards, to one target group or to several by weight.

_FORWARD = {
    "targetGroups": listed({"arn": text(required=True), "weight": number(usual=1)}, required=True),
    "stickiness": block({"enabled": flag(), "duration": number(required=True)}, computed=True),
}
_ACTION = {
    "type": text(required=True, choices=("forward",)),
    "targetGroupArn": text(),
    "forward": block(_FORWARD),
    "order": number(computed=True),
}


def _actions(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_action(one) for one in given]


def _action(given: Mapping[str, Any]) -> dict[str, Any]:
    several = given.get("forward")
    if not several:
        return {"Type": "forward", "TargetGroupArn": given["targetGroupArn"]}
    config: dict[str, Any] = {
        "TargetGroups": [
            {"TargetGroupArn": one["arn"], "Weight": int(1 if one.get("weight") is None else one["weight"])}
            for one in several["targetGroups"]
        ]
    }
    if sticky := several.get("stickiness"):
        config["TargetGroupStickinessConfig"] = {
            "Enabled": bool(sticky.get("enabled")),
            "DurationSeconds": int(sticky["duration"]),
        }
    return {"Type": "forward", "ForwardConfig": config}


def _actions_read(live: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_action_read(one) for one in live]


def _action_read(live: Mapping[str, Any]) -> dict[str, Any]:
    # AWS answers one target group in both ways; the provider keeps the simple one.
    config = live.get("ForwardConfig") or {}
    several = config.get("TargetGroups") or []
    if live.get("TargetGroupArn") or len(several) == 1:
        return {"type": live["Type"], "targetGroupArn": live.get("TargetGroupArn") or several[0]["TargetGroupArn"]}
    read: dict[str, Any] = {
        "targetGroups": [{"arn": one["TargetGroupArn"], "weight": one.get("Weight", 1)} for one in several]
    }
    sticky = config.get("TargetGroupStickinessConfig") or {}
    if "DurationSeconds" in sticky:
        read["stickiness"] = {"enabled": bool(sticky.get("Enabled")), "duration": sticky["DurationSeconds"]}
    return {"type": live["Type"], "forward": read}


def _one_way(name: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    wrong = [one for one in values.get(name) or () if bool(one.get("targetGroupArn")) is bool(one.get("forward"))]
    return [(name, "an action that forwards needs one of targetGroupArn and forward")] if wrong else []


# --- Listener


def _listener_arguments(call: Call) -> dict[str, Any]:
    return {
        "Port": int(call.new["port"]),
        "Protocol": call.new["protocol"],
        "DefaultActions": _actions(call.new["defaultActions"]),
        **call.given(SslPolicy="sslPolicy"),
        **({"Certificates": [{"CertificateArn": one}]} if (one := call.new.get("certificateArn")) else {}),
        **({"AlpnPolicy": [policy]} if (policy := call.new.get("alpnPolicy")) else {}),
    }


def _create_listener(call: Call) -> str:
    # A certificate may be younger than the balancers' view of it.
    made = call.retry(
        ("CertificateNotFound",),
        lambda: elb(call).create_listener(
            LoadBalancerArn=call.new["loadBalancerArn"], **_listener_arguments(call), **with_tags(call)
        ),
        timeout_s=10,
    )["Listeners"][0]
    call.made(made["ListenerArn"])
    _set_attributes(call)
    return call.id


def _live_attributes(call: Call) -> dict[str, str]:
    return attributes.by_key(elb(call).describe_listener_attributes(ListenerArn=call.id))


def _set_attributes(call: Call) -> None:
    if changes := attributes.to_change(_ATTRIBUTES, call.new, _live_attributes(call)):
        elb(call).modify_listener_attributes(ListenerArn=call.id, Attributes=attributes.pairs(changes))


def _read_listener(call: Call) -> dict[str, Any] | None:
    listener = first(elb(call).describe_listeners(ListenerArns=[call.id])["Listeners"])
    if listener is None:
        return None
    certificates, alpn = listener.get("Certificates") or [{}], listener.get("AlpnPolicy") or [None]
    return {
        "loadBalancerArn": listener["LoadBalancerArn"],
        "port": listener.get("Port"),
        "protocol": listener.get("Protocol"),
        "sslPolicy": listener.get("SslPolicy"),
        "certificateArn": certificates[0].get("CertificateArn"),
        "alpnPolicy": alpn[0],
        "defaultActions": _actions_read(listener.get("DefaultActions", [])),
        **attributes.found(_ATTRIBUTES, _live_attributes(call)),
        "arn": call.id,
        **call.tags_read(tags_of(call)),
    }


def _update_listener(call: Call) -> None:
    if call.changed("port", "protocol", "defaultActions", "sslPolicy", "certificateArn", "alpnPolicy"):
        elb(call).modify_listener(ListenerArn=call.id, **_listener_arguments(call))
    if call.changed(*_ATTRIBUTES):
        _set_attributes(call)
    sync_tags(call)


def _delete_listener(call: Call) -> None:
    elb(call).delete_listener(ListenerArn=call.id)


# --- A listener's further certificate. The provider's id is both ARNs.


def _add_certificate(call: Call) -> str:
    listener, certificate = call.new["listenerArn"], call.new["certificateArn"]
    call.retry(
        ("CertificateNotFound",),
        lambda: elb(call).add_listener_certificates(
            ListenerArn=listener, Certificates=[{"CertificateArn": certificate}]
        ),
        timeout_s=10,
    )
    return call.made(f"{listener}_{certificate}")


def _read_certificate(call: Call) -> dict[str, Any] | None:
    listener, _, certificate = call.id.partition("_")
    pages = elb(call).get_paginator("describe_listener_certificates").paginate(ListenerArn=listener)
    for page in pages:
        if any(one["CertificateArn"] == certificate and not one.get("IsDefault") for one in page["Certificates"]):
            return {"listenerArn": listener, "certificateArn": certificate}
    return None


def _remove_certificate(call: Call) -> None:
    listener, _, certificate = call.id.partition("_")
    elb(call).remove_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": certificate}])


def _identify_certificate(given: str) -> tuple[str, dict[str, Any]]:
    listener, _, certificate = given.partition("_")
    if not certificate:
        raise PluginError(f"a listener's certificate is imported as <listener>_<certificate>; '{given}' isn't that")
    return given, {"listenerArn": listener, "certificateArn": certificate}


# --- A rule

# Property → AWS's field and the argument that has its values.
_FIELDS = {
    "hostHeader": ("host-header", "HostHeaderConfig"),
    "httpHeader": ("http-header", "HttpHeaderConfig"),
    "httpRequestMethod": ("http-request-method", "HttpRequestMethodConfig"),
    "pathPattern": ("path-pattern", "PathPatternConfig"),
    "queryStrings": ("query-string", "QueryStringConfig"),
    "sourceIp": ("source-ip", "SourceIpConfig"),
}
_VALUES = block({"values": texts(required=True)})
_CONDITION = {
    **dict.fromkeys(("hostHeader", "httpRequestMethod", "pathPattern", "sourceIp"), _VALUES),
    "httpHeader": block({"httpHeaderName": text(required=True), "values": texts(required=True)}),
    "queryStrings": blocks({"key": text(), "value": text(required=True)}),
}


def _conditions(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_condition(name, one[name]) for one in given for name in _FIELDS if one.get(name)]


def _condition(name: str, said: Any) -> dict[str, Any]:
    field, argument = _FIELDS[name]
    if name == "queryStrings":
        pairs = [{**({"Key": one["key"]} if one.get("key") else {}), "Value": one["value"]} for one in said]
        return {"Field": field, argument: {"Values": pairs}}
    header = {"HttpHeaderName": said["httpHeaderName"]} if name == "httpHeader" else {}
    return {"Field": field, argument: {**header, "Values": sorted(said["values"])}}


def _condition_read(live: Mapping[str, Any]) -> dict[str, Any]:
    name, argument = next((name, one[1]) for name, one in _FIELDS.items() if one[0] == live["Field"])
    config = live.get(argument) or {}
    values = config.get("Values") or live.get("Values") or []
    if name == "queryStrings":
        found = [{**({"key": one["Key"]} if one.get("Key") else {}), "value": one["Value"]} for one in values]
        return {name: sorted(found, key=lambda one: (one.get("key", ""), one["value"]))}
    header = {"httpHeaderName": config["HttpHeaderName"]} if name == "httpHeader" else {}
    return {name: {**header, "values": sorted(values)}}


def _create_rule(call: Call) -> str:
    made = elb(call).create_rule(
        ListenerArn=call.new["listenerArn"],
        Priority=int(call.new["priority"]),
        Conditions=_conditions(call.new["conditions"]),
        Actions=_actions(call.new["actions"]),
        **with_tags(call),
    )["Rules"][0]
    return call.made(made["RuleArn"])


def _read_rule(call: Call) -> dict[str, Any] | None:
    rule = first(elb(call).describe_rules(RuleArns=[call.id])["Rules"])
    if rule is None:
        return None
    return {
        "listenerArn": call.id.replace(":listener-rule/", ":listener/").rpartition("/")[0],
        "priority": int(rule["Priority"]),
        "conditions": [_condition_read(one) for one in rule.get("Conditions", [])],
        "actions": _actions_read(rule.get("Actions", [])),
        "arn": call.id,
        **call.tags_read(tags_of(call)),
    }


def _update_rule(call: Call) -> None:
    if call.changed("priority"):
        elb(call).set_rule_priorities(RulePriorities=[{"RuleArn": call.id, "Priority": int(call.new["priority"])}])
    if call.changed("conditions", "actions"):
        elb(call).modify_rule(
            RuleArn=call.id, Conditions=_conditions(call.new["conditions"]), Actions=_actions(call.new["actions"])
        )
    sync_tags(call)


def _delete_rule(call: Call) -> None:
    elb(call).delete_rule(RuleArn=call.id)


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:lb/listener:Listener",
        source=DOCS + "lb_listener",
        props={
            "loadBalancerArn": text(required=True, replace=True),
            "port": number(required=True),
            "protocol": text(required=True, choices=("TCP", "UDP", "TCP_UDP", "TLS", "HTTP", "HTTPS")),
            "sslPolicy": text(computed=True),
            "certificateArn": text(),
            "alpnPolicy": text(),
            "defaultActions": listed(_ACTION, required=True),
            **attributes.props(_ATTRIBUTES),
            **TAGS,
        },
        computed=("arn",),
        validate=lambda values: _one_way("defaultActions", values),
        create=_create_listener,
        read=_read_listener,
        update=_update_listener,
        delete=_delete_listener,
        gone=("ListenerNotFound", "LoadBalancerNotFound"),
    ),
    ResourceType(
        token="aws:lb/listenerCertificate:ListenerCertificate",
        source=DOCS + "lb_listener_certificate",
        props={
            "listenerArn": text(required=True, replace=True),
            "certificateArn": text(required=True, replace=True),
        },
        create=_add_certificate,
        read=_read_certificate,
        delete=_remove_certificate,
        identify=_identify_certificate,
        gone=("ListenerNotFound", "LoadBalancerNotFound", "CertificateNotFound"),
    ),
    ResourceType(
        token="aws:lb/listenerRule:ListenerRule",
        source=DOCS + "lb_listener_rule",
        props={
            "listenerArn": text(required=True, replace=True),
            "priority": number(required=True),
            "conditions": blocks(_CONDITION, required=True),
            "actions": listed(_ACTION, required=True),
            **TAGS,
        },
        computed=("arn",),
        validate=lambda values: _one_way("actions", values),
        create=_create_rule,
        read=_read_rule,
        update=_update_rule,
        delete=_delete_rule,
        gone=("RuleNotFound", "ListenerNotFound", "LoadBalancerNotFound"),
    ),
)
