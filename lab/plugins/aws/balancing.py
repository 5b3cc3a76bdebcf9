"""Load balancers: network and application ones.

Source: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lb, and the provider's
customizeDiffLoadBalancerNLB for what replaces a network balancer: a subnet taken away, security groups where there
were none, none where there were some. An application balancer changes in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.aws import attributes
from lab.plugins.aws.attributes import Attribute, Nested
from lab.plugins.aws.call import Call
from lab.plugins.aws.tags import TAGS, as_dict, as_list
from lab.plugins.aws.vpc import DOCS, first
from lab.plugins.schema import ResourceType, flag, number, text, texts

_CROSS_ZONE = "load_balancing.cross_zone.enabled"


def _logs(kind: str) -> Nested:
    return Nested(
        {
            "enabled": Attribute(f"{kind}.s3.enabled", flag(usual=False)),
            "bucket": Attribute(f"{kind}.s3.bucket", text(required=True)),
            "prefix": Attribute(f"{kind}.s3.prefix", text(usual="")),
        }
    )


_HTTP = "routing.http."
_BOTH: attributes.Table = {
    "accessLogs": _logs("access_logs"),
    "enableDeletionProtection": Attribute("deletion_protection.enabled", flag(usual=False)),
    "enableZonalShift": Attribute("zonal_shift.config.enabled", flag(usual=False)),
}
_NETWORK: attributes.Table = {
    **_BOTH,
    "enableCrossZoneLoadBalancing": Attribute(_CROSS_ZONE, flag(default=False)),
    "dnsRecordClientRoutingPolicy": Attribute("dns_record.client_routing_policy", text(usual="any_availability_zone")),
}
# Not whether it balances across zones: an application balancer always does.
_APPLICATION: attributes.Table = {
    **_BOTH,
    "connectionLogs": _logs("connection_logs"),
    "clientKeepAlive": Attribute("client_keep_alive.seconds", number(usual=3600)),
    "desyncMitigationMode": Attribute(f"{_HTTP}desync_mitigation_mode", text(usual="defensive")),
    "dropInvalidHeaderFields": Attribute(f"{_HTTP}drop_invalid_header_fields.enabled", flag(usual=False)),
    "enableHttp2": Attribute("routing.http2.enabled", flag(usual=True)),
    "enableTlsVersionAndCipherSuiteHeaders": Attribute(
        f"{_HTTP}x_amzn_tls_version_and_cipher_suite.enabled", flag(usual=False)
    ),
    "enableWafFailOpen": Attribute("waf.fail_open.enabled", flag(usual=False)),
    "enableXffClientPort": Attribute(f"{_HTTP}xff_client_port.enabled", flag(usual=False)),
    "idleTimeout": Attribute("idle_timeout.timeout_seconds", number(usual=60)),
    "preserveHostHeader": Attribute(f"{_HTTP}preserve_host_header.enabled", flag(usual=False)),
    "xffHeaderProcessingMode": Attribute(f"{_HTTP}xff_header_processing.mode", text(usual="append")),
}


def elb(call: Call) -> Any:
    """The client of both modules."""
    return call.client("elbv2")


def sync_tags(call: Call) -> None:
    """Makes the tags of a balancer, listener or target group the wanted ones."""
    wanted, recorded = call.tags_wanted, call.old.get("tags") or {}
    if gone := sorted(k for k in recorded if k not in wanted):
        elb(call).remove_tags(ResourceArns=[call.id], TagKeys=gone)
    if fresh := {k: v for k, v in wanted.items() if recorded.get(k) != v}:
        elb(call).add_tags(ResourceArns=[call.id], Tags=as_list(fresh))


def tags_of(call: Call) -> dict[str, str]:
    """The live tags."""
    found = elb(call).describe_tags(ResourceArns=[call.id])["TagDescriptions"]
    return as_dict(found[0]["Tags"]) if found else {}


def with_tags(call: Call) -> dict[str, Any]:
    """The `Tags` argument of a create, if there are any."""
    return {"Tags": as_list(call.tags_wanted)} if call.tags_wanted else {}


# --- Load balancer


def _balancer(call: Call) -> dict[str, Any] | None:
    return first(elb(call).describe_load_balancers(LoadBalancerArns=[call.id])["LoadBalancers"])


def _create_balancer(call: Call) -> str:
    name = call.new["name"]
    made = elb(call).create_load_balancer(
        Name=name,
        Type=call.new["loadBalancerType"],
        Scheme="internal" if call.new.get("internal") else "internet-facing",
        Subnets=sorted(call.new["subnets"]),
        **({"SecurityGroups": sorted(groups)} if (groups := call.new.get("securityGroups")) else {}),
        **with_tags(call),
    )["LoadBalancers"][0]
    call.made(made["LoadBalancerArn"])

    def active() -> bool:
        state = (_balancer(call) or {"State": {"Code": ""}})["State"]
        if state["Code"] == "failed":
            raise call.refuse(f"load balancer {name} failed: {state.get('Reason', '')}")
        return state["Code"] in ("active", "active_impaired")

    call.wait(f"load balancer {name} active", active)
    _set_attributes(call)
    return call.id


def _table(call: Call) -> attributes.Table:
    kind = call.new.get("loadBalancerType") or call.old.get("loadBalancerType")
    return _APPLICATION if kind == "application" else _NETWORK


def _live_attributes(call: Call) -> dict[str, str]:
    return attributes.by_key(elb(call).describe_load_balancer_attributes(LoadBalancerArn=call.id))


def _set_attributes(call: Call) -> None:
    if changes := attributes.to_change(_table(call), call.new, _live_attributes(call)):
        elb(call).modify_load_balancer_attributes(LoadBalancerArn=call.id, Attributes=attributes.pairs(changes))


def _read_balancer(call: Call) -> dict[str, Any] | None:
    balancer = _balancer(call)
    if balancer is None:
        return None
    return {
        "name": balancer["LoadBalancerName"],
        "internal": balancer.get("Scheme") == "internal",
        "loadBalancerType": balancer["Type"],
        "subnets": sorted(z["SubnetId"] for z in balancer.get("AvailabilityZones", [])),
        # What is said of an application balancer's zones, the provider neither sets nor compares.
        "enableCrossZoneLoadBalancing": bool((call.new or call.old).get("enableCrossZoneLoadBalancing")),
        **attributes.found(_APPLICATION if balancer["Type"] == "application" else _NETWORK, _live_attributes(call)),
        "securityGroups": sorted(balancer.get("SecurityGroups", [])),
        "arn": call.id,
        "dnsName": balancer["DNSName"],
        "zoneId": balancer.get("CanonicalHostedZoneId"),
        **call.tags_read(tags_of(call)),
    }


def _update_balancer(call: Call) -> None:
    if call.changed("subnets"):
        elb(call).set_subnets(LoadBalancerArn=call.id, Subnets=sorted(call.new["subnets"]))
    if call.changed("securityGroups"):
        elb(call).set_security_groups(LoadBalancerArn=call.id, SecurityGroups=sorted(call.new["securityGroups"]))
    _set_attributes(call)
    sync_tags(call)


def _delete_balancer(call: Call) -> None:
    call.retry(("ResourceInUse",), lambda: elb(call).delete_load_balancer(LoadBalancerArn=call.id), timeout_s=60)
    # The page's "delete" waits for the interfaces too: what they hold (subnets, groups) can't go before.
    suffix = call.id.rpartition(":loadbalancer/")[2]
    call.wait(
        f"interfaces of {suffix} gone",
        lambda: (
            not call.ec2.describe_network_interfaces(Filters=[{"Name": "description", "Values": [f"ELB {suffix}"]}])[
                "NetworkInterfaces"
            ]
        ),
        timeout_s=min(call.timeout_s, 300),
    )


def _balancer_replaces(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    if old.get("loadBalancerType") != "network":
        return set()
    replaced: set[str] = set()
    subnets, groups = new.get("subnets"), new.get("securityGroups")
    if isinstance(subnets, list) and set(old.get("subnets") or ()) - {str(s) for s in subnets}:
        replaced.add("subnets")
    if isinstance(groups, list) and bool(groups) != bool(old.get("securityGroups")):
        replaced.add("securityGroups")
    return replaced


def _suitable_balancer(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    name = values.get("name")
    if isinstance(name, str) and (len(name) > 32 or name.startswith(("-", "internal-")) or name.endswith("-")):
        return [("name", f"'{name}' ({len(name)} characters): at most 32, no '-' or 'internal-' first, no '-' last")]
    return []


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:lb/loadBalancer:LoadBalancer",
        source=DOCS + "lb",
        props={
            "name": text(required=True, replace=True),
            "internal": flag(computed=True, replace=True),
            "loadBalancerType": text(required=True, choices=("network", "application"), replace=True),
            "subnets": texts(required=True),
            "securityGroups": texts(computed=True),
            **attributes.props(_APPLICATION),
            **attributes.props(_NETWORK),
            **TAGS,
        },
        computed=("arn", "dnsName", "zoneId"),
        unique="name",
        validate=_suitable_balancer,
        also_replaces=_balancer_replaces,
        create=_create_balancer,
        read=_read_balancer,
        update=_update_balancer,
        delete=_delete_balancer,
        gone=("LoadBalancerNotFound",),
    ),
)
