"""Network load balancers and their listeners.

Source: registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/lb and lb_listener, and the provider's
customizeDiffLoadBalancerNLB for what replaces: taking a subnet away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.plugins.aws.call import Call
from lab.plugins.aws.tags import TAGS, as_dict, as_list
from lab.plugins.aws.vpc import DOCS, first
from lab.plugins.schema import ResourceType, flag, listed, number, text, texts

_CROSS_ZONE = "load_balancing.cross_zone.enabled"


def elb(call: Call) -> Any:
    """The client of both modules."""
    return call.client("elbv2")


def attribute(value: Any) -> str:
    """An attribute's value as AWS takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


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
        **with_tags(call),
    )["LoadBalancers"][0]
    call.made(made["LoadBalancerArn"])

    def active() -> bool:
        state = (_balancer(call) or {"State": {"Code": ""}})["State"]
        if state["Code"] == "failed":
            raise call.refuse(f"load balancer {name} failed: {state.get('Reason', '')}")
        return state["Code"] in ("active", "active_impaired")

    call.wait(f"load balancer {name} active", active)
    _set_cross_zone(call)
    return call.id


def _cross_zone(call: Call) -> bool:
    pairs = elb(call).describe_load_balancer_attributes(LoadBalancerArn=call.id)["Attributes"]
    return {"Key": _CROSS_ZONE, "Value": "true"} in pairs


def _set_cross_zone(call: Call) -> None:
    wanted = bool(call.new.get("enableCrossZoneLoadBalancing"))
    if _cross_zone(call) != wanted:
        pair = {"Key": _CROSS_ZONE, "Value": attribute(wanted)}
        elb(call).modify_load_balancer_attributes(LoadBalancerArn=call.id, Attributes=[pair])


def _read_balancer(call: Call) -> dict[str, Any] | None:
    balancer = _balancer(call)
    if balancer is None:
        return None
    return {
        "name": balancer["LoadBalancerName"],
        "internal": balancer.get("Scheme") == "internal",
        "loadBalancerType": balancer["Type"],
        "subnets": sorted(z["SubnetId"] for z in balancer.get("AvailabilityZones", [])),
        "enableCrossZoneLoadBalancing": _cross_zone(call),
        "arn": call.id,
        "dnsName": balancer["DNSName"],
        "zoneId": balancer.get("CanonicalHostedZoneId"),
        **call.tags_read(tags_of(call)),
    }


def _update_balancer(call: Call) -> None:
    if call.changed("subnets"):
        elb(call).set_subnets(LoadBalancerArn=call.id, Subnets=sorted(call.new["subnets"]))
    _set_cross_zone(call)
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
    subnets = new.get("subnets")
    taken = isinstance(subnets, list) and set(old.get("subnets") or ()) - {str(s) for s in subnets}
    return {"subnets"} if taken else set()


def _suitable_balancer(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    name = values.get("name")
    if isinstance(name, str) and (len(name) > 32 or name.startswith(("-", "internal-")) or name.endswith("-")):
        return [("name", f"'{name}' ({len(name)} characters): at most 32, no '-' or 'internal-' first, no '-' last")]
    return []


# --- Listener


def _listener_arguments(call: Call) -> dict[str, Any]:
    # One action: a network load balancer has no rules, and what is forwarded goes to one group here.
    groups = [action["targetGroupArn"] for action in call.new["defaultActions"]]
    return {
        "Port": int(call.new["port"]),
        "Protocol": call.new["protocol"],
        "DefaultActions": [{"Type": "forward", "TargetGroupArn": group} for group in groups],
    }


def _create_listener(call: Call) -> str:
    made = elb(call).create_listener(
        LoadBalancerArn=call.new["loadBalancerArn"], **_listener_arguments(call), **with_tags(call)
    )["Listeners"][0]
    return call.made(made["ListenerArn"])


def _read_listener(call: Call) -> dict[str, Any] | None:
    listener = first(elb(call).describe_listeners(ListenerArns=[call.id])["Listeners"])
    if listener is None:
        return None
    return {
        "loadBalancerArn": listener["LoadBalancerArn"],
        "port": listener.get("Port"),
        "protocol": listener.get("Protocol"),
        "defaultActions": [
            {"type": action["Type"], "targetGroupArn": action.get("TargetGroupArn")}
            for action in listener.get("DefaultActions", [])
        ],
        "arn": call.id,
        **call.tags_read(tags_of(call)),
    }


def _update_listener(call: Call) -> None:
    if call.changed("port", "protocol", "defaultActions"):
        elb(call).modify_listener(ListenerArn=call.id, **_listener_arguments(call))
    sync_tags(call)


def _delete_listener(call: Call) -> None:
    elb(call).delete_listener(ListenerArn=call.id)


ROWS: tuple[ResourceType[Call], ...] = (
    ResourceType(
        token="aws:lb/loadBalancer:LoadBalancer",
        source=DOCS + "lb",
        props={
            "name": text(required=True, replace=True),
            "internal": flag(computed=True, replace=True),
            "loadBalancerType": text(required=True, choices=("network",), replace=True),
            "subnets": texts(required=True),
            "enableCrossZoneLoadBalancing": flag(default=False),
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
    ResourceType(
        token="aws:lb/listener:Listener",
        source=DOCS + "lb_listener",
        props={
            "loadBalancerArn": text(required=True, replace=True),
            "port": number(required=True),
            "protocol": text(required=True, choices=("TCP", "UDP", "TCP_UDP", "TLS")),
            "defaultActions": listed(
                {"type": text(required=True, choices=("forward",)), "targetGroupArn": text(required=True)},
                required=True,
            ),
            **TAGS,
        },
        computed=("arn",),
        create=_create_listener,
        read=_read_listener,
        update=_update_listener,
        delete=_delete_listener,
        gone=("ListenerNotFound", "LoadBalancerNotFound"),
    ),
)
