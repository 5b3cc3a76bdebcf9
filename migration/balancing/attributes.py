"""Attributes of load balancers, target groups and listeners that are carried, and what Pulumi calls them. Pure.

What isn't in a table is unknown here: it is refused by name where it says anything. Defaults are AWS's, from "Load
balancer attributes", "Target group attributes" and "Listener attributes" in the guides of network and application
balancers; an attribute that has its default is left out of a configuration.
https://docs.aws.amazon.com/elasticloadbalancing/latest/network/network-load-balancers.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    # Settings' own rules ask these tables.
    from migration.settings.balancers import Protocol

Kind = Literal["text", "number", "flag"]
WEB = frozenset({"HTTP", "HTTPS"})
"""Protocols of application balancers."""

PROTECTION = "deletion_protection.enabled"
"""Never copied: a way back deletes the copy. The original's is refused, since the last stage deletes that."""


@dataclass(frozen=True)
class Attribute:
    """`argument` is Pulumi's, with dots into its blocks (``[]``: a list of one). No `default`: never left out."""

    argument: str
    kind: Kind = "text"
    default: str | None = None


Table = Mapping[str, Attribute]

_LOGS = {
    f"{logs}.s3.{part}": Attribute(f"{logs}.{part}", "flag" if part == "enabled" else "text", default)
    for logs in ("access_logs", "connection_logs")
    for part, default in (("enabled", "false"), ("bucket", ""), ("prefix", ""))
}
_CROSS_ZONE = "load_balancing.cross_zone.enabled"

NETWORK: Table = {
    _CROSS_ZONE: Attribute("enable_cross_zone_load_balancing", "flag", "false"),
    "dns_record.client_routing_policy": Attribute("dns_record_client_routing_policy", "text", "any_availability_zone"),
    "zonal_shift.config.enabled": Attribute("enable_zonal_shift", "flag", "false"),
    **{key: one for key, one in _LOGS.items() if key.startswith("access")},
}
APPLICATION: Table = {
    _CROSS_ZONE: Attribute("enable_cross_zone_load_balancing", "flag", "true"),
    "idle_timeout.timeout_seconds": Attribute("idle_timeout", "number", "60"),
    "client_keep_alive.seconds": Attribute("client_keep_alive", "number", "3600"),
    "routing.http2.enabled": Attribute("enable_http2", "flag", "true"),
    "routing.http.drop_invalid_header_fields.enabled": Attribute("drop_invalid_header_fields", "flag", "false"),
    "routing.http.desync_mitigation_mode": Attribute("desync_mitigation_mode", "text", "defensive"),
    "routing.http.preserve_host_header.enabled": Attribute("preserve_host_header", "flag", "false"),
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": Attribute(
        "enable_tls_version_and_cipher_suite_headers", "flag", "false"
    ),
    "routing.http.xff_client_port.enabled": Attribute("enable_xff_client_port", "flag", "false"),
    "routing.http.xff_header_processing.mode": Attribute("xff_header_processing_mode", "text", "append"),
    "waf.fail_open.enabled": Attribute("enable_waf_fail_open", "flag", "false"),
    "zonal_shift.config.enabled": Attribute("enable_zonal_shift", "flag", "false"),
    **_LOGS,
}
_OF_EVERY_GROUP: Table = {
    "deregistration_delay.timeout_seconds": Attribute("deregistration_delay", "number", "300"),
    _CROSS_ZONE: Attribute("load_balancing_cross_zone_enabled", "text", "use_load_balancer_configuration"),
    "stickiness.enabled": Attribute("stickiness.enabled", "flag", "false"),
    "target_group_health.dns_failover.minimum_healthy_targets.count": Attribute(
        "target_group_health.dns_failover.minimum_healthy_targets_count", "text", "1"
    ),
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": Attribute(
        "target_group_health.dns_failover.minimum_healthy_targets_percentage", "text", "off"
    ),
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": Attribute(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets_count", "number", "1"
    ),
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": Attribute(
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets_percentage", "text", "off"
    ),
}
NETWORK_GROUP: Table = {
    **_OF_EVERY_GROUP,
    "deregistration_delay.connection_termination.enabled": Attribute("connection_termination", "flag", "false"),
    "preserve_client_ip.enabled": Attribute("preserve_client_ip", "text", "true"),
    "proxy_protocol_v2.enabled": Attribute("proxy_protocol_v2", "flag", "false"),
    "stickiness.type": Attribute("stickiness.type", "text", "source_ip"),
    "target_health_state.unhealthy.connection_termination.enabled": Attribute(
        "target_health_states[].enable_unhealthy_connection_termination", "flag", "true"
    ),
    "target_health_state.unhealthy.draining_interval_seconds": Attribute(
        "target_health_states[].unhealthy_draining_interval", "number", "0"
    ),
}
# AWS: "For new UDP/TCP_UDP target groups the default is true"; what old ones say is always written down.
UDP_GROUP: Table = {
    **NETWORK_GROUP,
    "deregistration_delay.connection_termination.enabled": Attribute("connection_termination", "flag"),
}
APPLICATION_GROUP: Table = {
    **_OF_EVERY_GROUP,
    "slow_start.duration_seconds": Attribute("slow_start", "number", "0"),
    "load_balancing.algorithm.type": Attribute("load_balancing_algorithm_type", "text", "round_robin"),
    "load_balancing.algorithm.anomaly_mitigation": Attribute("load_balancing_anomaly_mitigation", "text", "off"),
    # Pulumi's block asks for the type, whatever it is.
    "stickiness.type": Attribute("stickiness.type"),
    "stickiness.lb_cookie.duration_seconds": Attribute("stickiness.cookie_duration", "number"),
    "stickiness.app_cookie.duration_seconds": Attribute("stickiness.cookie_duration", "number"),
    "stickiness.app_cookie.cookie_name": Attribute("stickiness.cookie_name", "text", ""),
}
NETWORK_LISTENER: Table = {"tcp.idle_timeout.seconds": Attribute("tcp_idle_timeout_seconds", "number", "350")}
APPLICATION_LISTENER: Table = {
    "routing.http.response.server.enabled": Attribute("routing_http_response_server_enabled", "flag", "true"),
} | {
    f"routing.http.{key}": Attribute(f"routing_http_{key.replace('.', '_')}", "text", default)
    for key, default in (
        ("response.strict_transport_security.header_value", ""),
        ("response.access_control_allow_origin.header_value", ""),
        ("response.access_control_allow_methods.header_value", ""),
        ("response.access_control_allow_headers.header_value", ""),
        ("response.access_control_allow_credentials.header_value", ""),
        ("response.access_control_expose_headers.header_value", ""),
        ("response.access_control_max_age.header_value", ""),
        ("response.content_security_policy.header_value", ""),
        ("response.x_content_type_options.header_value", ""),
        ("response.x_frame_options.header_value", ""),
        ("request.x_amzn_tls_version.header_name", "X-Amzn-Tls-Version"),
        ("request.x_amzn_tls_cipher_suite.header_name", "X-Amzn-Tls-Cipher-Suite"),
    )
}
# Said only of what a form doesn't hold: mutual TLS, which is refused by its mode.
_OF_MUTUAL_TLS = "routing.http.request.x_amzn_mtls_clientcert"

# AWS's defaults of Pulumi's blocks of a group's health.
_HEALTHY: Mapping[str, Mapping[str, Any]] = {
    "dns_failover": {"minimum_healthy_targets_count": "1", "minimum_healthy_targets_percentage": "off"},
    "unhealthy_state_routing": {"minimum_healthy_targets_count": 1, "minimum_healthy_targets_percentage": "off"},
}
# What an attribute says that says nothing.
_NOTHING = frozenset({"", "false", "0", "off"})
# Flags without which their neighbours mean nothing.
_SWITCHES = ("stickiness.enabled", "access_logs.s3.enabled", "connection_logs.s3.enabled")

# What balancers and groups of another kind have by default says nothing where it means nothing.
_OF_OTHERS = {
    key: one.default
    for table in (NETWORK, APPLICATION, NETWORK_GROUP, APPLICATION_GROUP, NETWORK_LISTENER)
    for key, one in table.items()
}


def of_balancer(kind: str) -> Table:
    """The table for a balancer of a type."""
    return APPLICATION if kind == "application" else NETWORK


def of_group(protocol: Protocol) -> Table:
    """The table for a target group."""
    if protocol in WEB:
        return APPLICATION_GROUP
    return UDP_GROUP if protocol in ("UDP", "TCP_UDP") else NETWORK_GROUP


def of_listener(protocol: Protocol) -> Table:
    """The table for a listener; one for UDP has no attributes."""
    return APPLICATION_LISTENER if protocol in WEB else NETWORK_LISTENER


def carried(table: Table, live: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Of what AWS says: what a configuration holds, and what says something that isn't known here."""
    off = {switch.removesuffix("enabled") for switch in _SWITCHES if live.get(switch, "false") != "true"}
    said = {key: value for key, value in live.items() if not any(key.startswith(prefix) for prefix in off)}
    if (kind := said.get("stickiness.type")) in ("lb_cookie", "app_cookie"):
        other = "app_cookie" if kind == "lb_cookie" else "lb_cookie"
        said = {key: value for key, value in said.items() if not key.startswith(f"stickiness.{other}.")}
    known = {key: value for key, value in said.items() if key in table and value != table[key].default}
    unknown = {
        key: value
        for key, value in said.items()
        if key not in table
        and key != PROTECTION
        and not key.startswith(_OF_MUTUAL_TLS)
        and value.lower() not in _NOTHING
        and value != _OF_OTHERS.get(key)
    }
    return known, unknown


def arguments(table: Table, attributes: Mapping[str, str]) -> dict[str, Any]:
    """Pulumi's arguments for attributes; raises `KeyError` for one that isn't in the table."""
    found: dict[str, Any] = {}
    for key, value in sorted(attributes.items()):
        one = table[key]
        block, *rest = one.argument.split(".")
        place = found
        for part in rest:
            if block.endswith("[]"):
                place = place.setdefault(block.removesuffix("[]"), [{}])[0]
            else:
                place = place.setdefault(block, {})
            block = part
        place[block] = _value(one.kind, value)
    if "stickiness" in found:
        found["stickiness"].setdefault("type", "source_ip")
    if health := found.get("target_group_health"):
        # What isn't said in these blocks, the provider sets to defaults of its own, which aren't AWS's.
        for block, usual in _HEALTHY.items():
            health[block] = {**usual, **health.get(block, {})}
    for state in found.get("target_health_states", ()):
        state.setdefault("enable_unhealthy_connection_termination", True)
    return found


def _value(kind: Kind, value: str) -> Any:
    if kind == "number":
        return int(value)
    return value.lower() == "true" if kind == "flag" else value


def misread(table: Table, attributes: Mapping[str, str]) -> dict[str, str]:
    """Attributes that can't be carried, each with why: unknown, or of a value that isn't one."""
    found: dict[str, str] = {}
    for key, value in attributes.items():
        one = table.get(key)
        if one is None:
            found[key] = f"isn't an attribute that is carried here; those are {', '.join(sorted(table))}"
        elif one.kind == "number" and not value.isdecimal():
            found[key] = "is no whole number"
        elif one.kind == "flag" and value.lower() not in ("true", "false"):
            found[key] = "is neither true nor false"
    return found
