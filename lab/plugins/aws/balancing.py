"""Network load balancers and their listeners.

Source: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lb and lb_listener, and the provider's
customizeDiffLoadBalancerNLB for what replaces: taking a subnet away, and going from no security groups to some or back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.naming import name_wanted
from lab.plugins.aws.tags import TAGS, as_dict, as_list
from lab.plugins.aws.vpc import DOCS, REGION, first
from lab.plugins.errors import PluginError
from lab.plugins.schema import ResourceType, block, blocks, flag, listed, number, text, texts

# Wire name → attribute key, for what AWS keeps as attributes of a network load balancer.
_ATTRIBUTES = {
    "enableDeletionProtection": "deletion_protection.enabled",
    "enableCrossZoneLoadBalancing": "load_balancing.cross_zone.enabled",
    "dnsRecordClientRoutingPolicy": "dns_record.client_routing_policy",
}


def elb(call: Call) -> Any:
    """The client of both modules."""
    return call.client("elbv2")


def attribute(value: Any) -> str:
    """An attribute's value as AWS takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def sync_tags(call: Call) -> None:
    """Makes the tags of a balancer, listener or target group the wanted ones."""
    wanted, recorded = call.tags_wanted, call.old.get("tagsAll") or {}
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


def _mappings(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {"subnetId": "SubnetId", "privateIpv4Address": "PrivateIPv4Address", "allocationId": "AllocationId"}
    return [{names[k]: v for k, v in m.items() if k in names and v} for m in given]


def _where(call: Call) -> dict[str, Any]:
    if call.new.get("subnetMappings"):
        return {"SubnetMappings": _mappings(call.new["subnetMappings"])}
    return {"Subnets": sorted(call.new["subnets"])}


def _create_balancer(call: Call) -> str:
    name = name_wanted(call)
    made = elb(call).create_load_balancer(
        Name=name,
        Type=call.new["loadBalancerType"],
        Scheme="internal" if call.new.get("internal") else "internet-facing",
        **_where(call),
        **call.given(SecurityGroups="securityGroups", IpAddressType="ipAddressType"),
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


def _live_attributes(call: Call) -> dict[str, Any]:
    pairs = elb(call).describe_load_balancer_attributes(LoadBalancerArn=call.id)["Attributes"]
    return {p["Key"]: p["Value"] for p in pairs}


def _set_attributes(call: Call) -> None:
    live = _live_attributes(call)
    wanted = {
        key: attribute(call.new[name])
        for name, key in _ATTRIBUTES.items()
        if call.new.get(name) is not None and live.get(key, attribute(_DEFAULTS[name])) != attribute(call.new[name])
    }
    if wanted:
        pairs = [{"Key": k, "Value": v} for k, v in sorted(wanted.items())]
        elb(call).modify_load_balancer_attributes(LoadBalancerArn=call.id, Attributes=pairs)


_DEFAULTS = {
    "enableDeletionProtection": False,
    "enableCrossZoneLoadBalancing": False,
    "dnsRecordClientRoutingPolicy": "any_availability_zone",
}


def _read_balancer(call: Call) -> dict[str, Any] | None:
    balancer = _balancer(call)
    if balancer is None:
        return None
    live = _live_attributes(call)
    zones = balancer.get("AvailabilityZones", [])

    def address(zone: dict[str, Any], key: str) -> str | None:
        return next((a[key] for a in zone.get("LoadBalancerAddresses") or () if a.get(key)), None)

    return {
        "name": balancer["LoadBalancerName"],
        "internal": balancer.get("Scheme") == "internal",
        "loadBalancerType": balancer["Type"],
        "ipAddressType": balancer.get("IpAddressType"),
        "subnets": sorted(z["SubnetId"] for z in zones),
        "subnetMappings": [
            {
                "subnetId": z["SubnetId"],
                "privateIpv4Address": address(z, "PrivateIPv4Address"),
                "allocationId": address(z, "AllocationId"),
            }
            for z in sorted(zones, key=lambda z: z["SubnetId"])
        ],
        "securityGroups": sorted(balancer.get("SecurityGroups") or []),
        "enableDeletionProtection": live.get("deletion_protection.enabled") == "true",
        "enableCrossZoneLoadBalancing": live.get("load_balancing.cross_zone.enabled") == "true",
        "dnsRecordClientRoutingPolicy": live.get(
            "dns_record.client_routing_policy", _DEFAULTS["dnsRecordClientRoutingPolicy"]
        ),
        "arn": call.id,
        "arnSuffix": call.id.rpartition(":loadbalancer/")[2],
        "dnsName": balancer["DNSName"],
        "zoneId": balancer.get("CanonicalHostedZoneId"),
        "vpcId": balancer.get("VpcId"),
        **call.tags_read(tags_of(call)),
    }


def _update_balancer(call: Call) -> None:
    if call.changed("subnets", "subnetMappings"):
        elb(call).set_subnets(LoadBalancerArn=call.id, **_where(call))
    if call.changed("securityGroups"):
        elb(call).set_security_groups(LoadBalancerArn=call.id, SecurityGroups=sorted(call.new["securityGroups"]))
    if call.changed("ipAddressType"):
        elb(call).set_ip_address_type(LoadBalancerArn=call.id, IpAddressType=call.new["ipAddressType"])
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
    replaced: set[str] = set()
    subnets, groups = new.get("subnets"), new.get("securityGroups")
    if isinstance(subnets, list) and set(old.get("subnets") or ()) - {str(s) for s in subnets}:
        replaced.add("subnets")
    if isinstance(groups, list) and bool(old.get("securityGroups")) != bool(groups):
        replaced.add("securityGroups")
    return replaced


def _suitable_balancer(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if bool(values.get("subnets")) == bool(values.get("subnetMappings")):
        found.append(("subnets", "a load balancer needs either subnets or subnetMappings"))
    name = values.get("name")
    if isinstance(name, str) and (len(name) > 32 or name.startswith(("-", "internal-")) or name.endswith("-")):
        found.append(
            (
                "name",
                f"'{name}' ({len(name)} characters): at most 32, no '-' or 'internal-' first, no '-' last",
            )
        )
    return found


# --- Listener

_FORWARD = {
    "targetGroups": blocks({"arn": text(required=True), "weight": number(computed=True)}),
    "stickiness": block({"enabled": flag(), "duration": number(computed=True)}, computed=True),
}
_ACTION = {
    "type": text(required=True, choices=("forward",)),
    "targetGroupArn": text(computed=True),
    "forward": block(_FORWARD, computed=True),
    "order": number(computed=True),
}


def _weighted(group: Mapping[str, Any]) -> dict[str, Any]:
    weight = {} if group.get("weight") is None else {"Weight": int(group["weight"])}
    return {"TargetGroupArn": group["arn"], **weight}


def _actions(call: Call) -> list[dict[str, Any]]:
    actions: list[dict[str, Any]] = []
    for action in call.new["defaultActions"]:
        made: dict[str, Any] = {"Type": action["type"]}
        groups = (action.get("forward") or {}).get("targetGroups")
        if action.get("targetGroupArn"):
            made["TargetGroupArn"] = action["targetGroupArn"]
        elif groups:
            made["ForwardConfig"] = {"TargetGroups": [_weighted(g) for g in groups]}
        else:
            raise PluginError("a forward action needs targetGroupArn or forward")
        if action.get("order") is not None and len(call.new["defaultActions"]) > 1:
            made["Order"] = int(action["order"])
        actions.append(made)
    return actions


def _listener_arguments(call: Call) -> dict[str, Any]:
    certificates = [{"CertificateArn": call.new["certificateArn"]}] if call.new.get("certificateArn") else None
    return {
        **call.given(Protocol="protocol", SslPolicy="sslPolicy"),
        **({"Port": int(call.new["port"])} if call.new.get("port") is not None else {}),
        **({"Certificates": certificates} if certificates else {}),
        **({"AlpnPolicy": [call.new["alpnPolicy"]]} if call.new.get("alpnPolicy") else {}),
        "DefaultActions": _actions(call),
    }


def _create_listener(call: Call) -> str:
    made = elb(call).create_listener(
        LoadBalancerArn=call.new["loadBalancerArn"], **_listener_arguments(call), **with_tags(call)
    )["Listeners"][0]
    call.made(made["ListenerArn"])
    _set_idle_timeout(call)
    return call.id


def _set_idle_timeout(call: Call) -> None:
    if call.new.get("tcpIdleTimeoutSeconds") is not None:
        pair = {"Key": "tcp.idle_timeout.seconds", "Value": str(call.new["tcpIdleTimeoutSeconds"])}
        elb(call).modify_listener_attributes(ListenerArn=call.id, Attributes=[pair])


def _read_listener(call: Call) -> dict[str, Any] | None:
    listener = first(elb(call).describe_listeners(ListenerArns=[call.id])["Listeners"])
    if listener is None:
        return None
    wanted = (call.new or call.old_inputs or call.old).get("defaultActions") or []
    actions: list[dict[str, Any]] = []
    for index, action in enumerate(listener.get("DefaultActions", [])):
        given = wanted[index] if index < len(wanted) else {}
        groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
        only = action.get("TargetGroupArn") or (groups[0]["TargetGroupArn"] if len(groups) == 1 else None)
        made: dict[str, Any] = {"type": action["Type"], "order": action.get("Order") or index + 1}
        # One group can be written two ways; keep the program's.
        if given.get("forward") or (only is None and groups):
            made["forward"] = {
                "targetGroups": [{"arn": g["TargetGroupArn"], "weight": g.get("Weight", 1)} for g in groups]
            }
        else:
            made["targetGroupArn"] = only
        actions.append(made)
    return {
        "loadBalancerArn": listener["LoadBalancerArn"],
        "port": listener.get("Port"),
        "protocol": listener.get("Protocol"),
        "sslPolicy": listener.get("SslPolicy"),
        "certificateArn": next((c["CertificateArn"] for c in listener.get("Certificates") or ()), None),
        "alpnPolicy": next(iter(listener.get("AlpnPolicy") or ()), None),
        "defaultActions": actions,
        "arn": call.id,
        **call.tags_read(tags_of(call)),
    }


def _update_listener(call: Call) -> None:
    if call.changed("port", "protocol", "sslPolicy", "certificateArn", "alpnPolicy", "defaultActions"):
        elb(call).modify_listener(ListenerArn=call.id, **_listener_arguments(call))
    if call.changed("tcpIdleTimeoutSeconds"):
        _set_idle_timeout(call)
    sync_tags(call)


def _delete_listener(call: Call) -> None:
    elb(call).delete_listener(ListenerArn=call.id)


_MAPPING = {
    "subnetId": text(required=True),
    "privateIpv4Address": text(computed=True),
    "allocationId": text(computed=True),
}

ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:lb/loadBalancer:LoadBalancer",
        source=DOCS + "lb",
        props={
            "name": text(computed=True, replace=True),
            "namePrefix": text(replace=True, unreadable=True),
            "internal": flag(computed=True, replace=True),
            "loadBalancerType": text(required=True, choices=("network",), replace=True),
            "ipAddressType": text(computed=True),
            "subnets": texts(computed=True),
            "subnetMappings": blocks(_MAPPING, computed=True),
            "securityGroups": texts(computed=True),
            "enableDeletionProtection": flag(default=False),
            "enableCrossZoneLoadBalancing": flag(default=False),
            "dnsRecordClientRoutingPolicy": text(default="any_availability_zone"),
            **TAGS,
            **REGION,
        },
        computed=("arn", "arnSuffix", "dnsName", "zoneId", "vpcId"),
        derived=("subnetMappings",),
        generated="name",
        unique="name",
        longest=32,
        validate=_suitable_balancer,
        also_replaces=_balancer_replaces,
        create=_create_balancer,
        read=_read_balancer,
        update=_update_balancer,
        delete=_delete_balancer,
        gone=("LoadBalancerNotFound",),
    ),
    ResourceType(
        token="aws:lb/listener:Listener",
        source=DOCS + "lb_listener",
        props={
            "loadBalancerArn": text(required=True, replace=True),
            "port": number(),
            "protocol": text(computed=True, choices=("TCP", "UDP", "TCP_UDP", "TLS")),
            "sslPolicy": text(computed=True),
            "certificateArn": text(),
            "alpnPolicy": text(),
            "defaultActions": listed(_ACTION, required=True),
            "tcpIdleTimeoutSeconds": number(computed=True, unreadable=True),
            **TAGS,
            **REGION,
        },
        computed=("arn",),
        create=_create_listener,
        read=_read_listener,
        update=_update_listener,
        delete=_delete_listener,
        gone=("ListenerNotFound", "LoadBalancerNotFound"),
    ),
)
