"""The backplane's JSON, read into a State."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lab.network.state import (
    APPLICATION,
    NETWORK,
    AclEntry,
    BalancerAddress,
    BalancerListener,
    Certificate,
    Cidr,
    Condition,
    Forward,
    HealthCheck,
    Host,
    Instance,
    ListenerRule,
    LoadBalancer,
    NatGateway,
    NetworkAcl,
    Peering,
    Record,
    Route,
    RouteTable,
    Rule,
    SecurityGroup,
    ServiceEndpoint,
    State,
    Subnet,
    Target,
    TargetGroup,
    Vpc,
    Zone,
    cidr,
    name_key,
)


def parse(raw: Mapping[str, Any]) -> State:
    """The backplane's JSON as a State. Raises KeyError or ValueError where it isn't what the contract says."""
    instances = {i["id"]: _instance(i) for i in raw.get("instances", ())}
    hosts: dict[str, Host] = {}
    for interface in raw.get("interfaces", ()):
        if interface.get("instance"):
            continue  # the instance speaks for it, also once it is gone
        groups = tuple(interface.get("groups") or ())
        hosts[interface["ip"]] = Host(
            interface["ip"], interface["vpc"], interface.get("subnet"), groups, bool(groups), interface["id"]
        )
    for instance in instances.values():
        if instance.alive and instance.ip:
            hosts[instance.ip] = Host(instance.ip, instance.vpc, instance.subnet, instance.groups, True, instance.id)
    lists: dict[str, list[str]] = raw.get("prefix_lists") or {}
    balancers = {b["arn"]: _balancer(b) for b in raw.get("load_balancers", ())}
    for balancer in balancers.values():
        for address in balancer.addresses:
            hosts[address.ip] = Host(
                address.ip,
                balancer.vpc,
                address.subnet,
                balancer.groups,
                bool(balancer.groups),
                balancer.name,
            )
    return State(
        revision=int(raw["revision"]),
        vpcs={
            v["id"]: Vpc(v["id"], _cidrs(v["cidrs"]), (v.get("tags") or {}).get("Name", ""))
            for v in raw.get("vpcs", ())
        },
        subnets={
            s["id"]: Subnet(s["id"], s["vpc"], cidr(s["cidr"]), s["zone"], s.get("route_table"))
            for s in raw.get("subnets", ())
        },
        instances=instances,
        security_groups={g["id"]: _group(g, lists) for g in raw.get("security_groups", ())},
        acls={
            subnet: acl for a in raw.get("network_acls", ()) for acl in (_acl(a),) for subnet in a.get("subnets", ())
        },
        peerings=tuple(
            Peering(p["id"], p["requester_vpc"], p["accepter_vpc"], p["state"]) for p in raw.get("peerings", ())
        ),
        route_tables={t["id"]: _table(t, lists) for t in raw.get("route_tables", ())},
        nat_gateways={n["id"]: NatGateway(n["id"], n["subnet"], n["active"]) for n in raw.get("nat_gateways", ())},
        service_endpoints=tuple(
            ServiceEndpoint(e["id"], e["vpc"], e["service"], tuple(e["addresses"]), e["private_names"])
            for e in raw.get("service_endpoints", ())
        ),
        load_balancers=balancers,
        target_groups={t["arn"]: _target_group(t) for t in raw.get("target_groups", ())},
        zones=tuple(_zone(z) for z in raw.get("zones", ())),
        hosts=hosts,
    )


def _cidrs(texts: Iterable[str]) -> tuple[Cidr, ...]:
    return tuple(cidr(t) for t in texts if _is_ipv4(t))


def _is_ipv4(text: str | None) -> bool:
    """False for what matches no address here: IPv6 ranges (in default egress rules) and prefix lists (`pl-…`, the
    gateway endpoints' routes)."""
    return bool(text) and text[0].isdecimal() and ":" not in text


def _instance(raw: Mapping[str, Any]) -> Instance:
    return Instance(
        raw["id"], raw["state"], raw.get("private_ip") or "", raw.get("vpc") or "", raw.get("subnet") or "",
        raw.get("zone") or "", tuple(raw.get("security_groups") or ()),
    )  # fmt: skip


Lists = Mapping[str, list[str]]
"""Prefix lists' ranges, by id."""


def _rule(raw: Mapping[str, Any], lists: Lists) -> Rule:
    listed = [text for named in raw.get("prefix_lists") or () for text in lists.get(named, ())]
    return Rule(
        str(raw["protocol"]), raw.get("from"), raw.get("to"), _cidrs([*(raw.get("cidrs") or ()), *listed]),
        frozenset(raw.get("groups") or ()),
    )  # fmt: skip


def _acl(raw: Mapping[str, Any]) -> NetworkAcl:
    entries = [
        AclEntry(
            int(e["number"]),
            bool(e["allow"]),
            bool(e["egress"]),
            Rule(str(e["protocol"]), e.get("from"), e.get("to"), _cidrs([e["cidr"]]), frozenset()),
        )
        for e in raw.get("entries") or ()
        if _is_ipv4(e.get("cidr"))
    ]
    return NetworkAcl(raw["id"], tuple(sorted(entries, key=lambda entry: entry.number)))


def _group(raw: Mapping[str, Any], lists: Lists) -> SecurityGroup:
    return SecurityGroup(
        raw["id"],
        raw["vpc"],
        tuple(_rule(one, lists) for one in raw.get("ingress") or ()),
        tuple(_rule(one, lists) for one in raw.get("egress") or ()),
    )


def _table(raw: Mapping[str, Any], lists: Lists) -> RouteTable:
    """A route to a prefix list is one to each of its ranges; AWS's own lists have none here."""
    routes = tuple(
        Route(cidr(text), r["target"], r.get("state", "active") == "active")
        for r in raw.get("routes") or ()
        for text in lists.get(r.get("cidr") or "", [r.get("cidr")])
        if _is_ipv4(text)
    )
    return RouteTable(raw["id"], raw["vpc"], bool(raw.get("main")), routes)


def _balancer(raw: Mapping[str, Any]) -> LoadBalancer:
    return LoadBalancer(
        arn=raw["arn"],
        name=raw["name"],
        dns_name=name_key(raw["dns_name"]),
        vpc=raw["vpc"],
        groups=tuple(raw.get("security_groups") or ()),
        # An application balancer always sends across zones.
        cross_zone=bool(raw.get("cross_zone")) or raw.get("type") == APPLICATION,
        addresses=tuple(BalancerAddress(a["zone"], a["subnet"], a["ip"]) for a in raw.get("addresses") or ()),
        listeners=tuple(_listener(li) for li in raw.get("listeners") or () if li.get("target_group")),
        type=raw.get("type") or NETWORK,
        attributes={str(k): str(v) for k, v in (raw.get("attributes") or {}).items()},
    )


def _listener(raw: Mapping[str, Any]) -> BalancerListener:
    rules = [
        ListenerRule(
            int(one["priority"]),
            tuple(Condition(c["field"], tuple(map(str, c["values"]))) for c in one["conditions"]),
            _forwards(one["forward"]),
        )
        for one in raw.get("rules") or ()
    ]
    return BalancerListener(
        arn=raw["arn"],
        port=int(raw["port"]),
        protocol=(raw.get("protocol") or "TCP").upper(),
        forwards=_forwards(raw.get("forward") or ()) or (Forward(raw["target_group"], 1),),
        rules=tuple(sorted(rules, key=lambda rule: rule.priority)),
        certificates=tuple(Certificate(c["arn"], tuple(c["names"])) for c in raw.get("certificates") or ()),
        alpn=tuple(raw.get("alpn") or ()),
    )


def _forwards(raw: Iterable[Mapping[str, Any]]) -> tuple[Forward, ...]:
    return tuple(Forward(one["target_group"], int(one["weight"])) for one in raw)


def _target_group(raw: Mapping[str, Any]) -> TargetGroup:
    health = raw.get("health") or {}
    return TargetGroup(
        arn=raw["arn"],
        name=raw["name"],
        vpc=raw.get("vpc") or "",
        target_type=raw.get("target_type") or "instance",
        port=int(raw.get("port") or 0),
        health=HealthCheck(
            (health.get("protocol") or "TCP").upper(),
            str(health.get("port") or "traffic-port"),
            health.get("path") or "/",
            # A network balancer's check says nothing of statuses: 200 to 399 pass.
            str(health.get("matcher") or "200-399") if _by_requests(raw) else "200-399",
        ),
        attributes={str(k): str(v) for k, v in (raw.get("attributes") or {}).items()},
        protocol=(raw.get("protocol") or "TCP").upper(),
        targets=tuple(
            Target(
                t["id"],
                int(t.get("port") or raw.get("port") or 0),
                t.get("zone") or "",
                t.get("state") == "draining",
                float(t.get("since") or 0),
            )
            for t in raw.get("targets") or ()
        ),
    )


def _by_requests(raw: Mapping[str, Any]) -> bool:
    """Whether an application balancer uses the group."""
    return (raw.get("protocol") or "").upper() in ("HTTP", "HTTPS")


def _zone(raw: Mapping[str, Any]) -> Zone:
    apex = name_key(raw["name"])
    grouped: dict[tuple[str, str], list[Record]] = {}
    names = {apex}
    for item in raw.get("records") or ():
        alias = item.get("alias") or None
        if isinstance(alias, Mapping):
            alias = alias.get("DNSName") or alias.get("dns_name") or alias.get("name")
        record = Record(
            name_key(item["name"]), item["type"], int(item.get("ttl") or 0), tuple(item.get("values") or ()),
            name_key(alias) if alias else None, item.get("weight"),
        )  # fmt: skip
        grouped.setdefault((record.name, record.type), []).append(record)
        name = record.name
        while name.endswith(apex) and name not in names:
            names.add(name)
            name = name.partition(".")[2]
    return Zone(
        raw["id"], apex, bool(raw.get("private")), frozenset(raw.get("vpcs") or ()),
        {k: tuple(v) for k, v in grouped.items()}, frozenset(names),
    )  # fmt: skip
