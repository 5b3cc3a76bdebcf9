"""Two VPCs beside each other. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from migration.contracts.parity import NAT, NONE, Difference, Parity, VpcFacts, VpcPlanned


def planned(side: VpcPlanned, known: VpcFacts) -> VpcFacts:
    """What a side will offer once it is made. What it shares with the old VPC is called as there (`known`)."""
    return VpcFacts(
        dns_support=True,
        dns_hostnames=True,
        default_route=(side.default_route,),
        endpoints=side.endpoints,
        resolver_rules={one: known.resolver_rules.get(one, "") for one in side.resolver_rules},
        zones={one: known.zones.get(one, "") for one in side.zones},
        dhcp=known.dhcp if side.same_dhcp else {},
    )


def compared(old: VpcFacts, new: VpcFacts, *, made: bool, without: Collection[str] = ()) -> Parity:
    """What both have and in what they differ. More in the new VPC than in the old is no difference."""
    every = list(_differences(old, new))
    names = {"dns", "default-route", "dhcp-options", "endpoints", "resolver-rules", "private-zones"}
    differing = {one.key.partition(":")[0] for one in every}
    kinds = {"endpoint": "endpoints", "resolver-rule": "resolver-rules", "private-zone": "private-zones"}
    return Parity(
        made=made,
        alike=tuple(sorted(names - {kinds.get(one, one) for one in differing})),
        differences=tuple(one for one in every if one.key not in without),
        accepted=tuple(one for one in every if one.key in without),
    )


def _differences(old: VpcFacts, new: VpcFacts) -> Iterator[Difference]:
    for attribute, was, now in (
        ("enableDnsSupport", old.dns_support, new.dns_support),
        ("enableDnsHostnames", old.dns_hostnames, new.dns_hostnames),
    ):
        if was and not now:
            yield Difference(key=f"dns:{attribute}", old="on", new="off", cure="switch it on in the new VPC")
    if set(old.default_route) - set(new.default_route) - {NONE}:
        yield Difference(
            key="default-route",
            old=", ".join(old.default_route),
            new=", ".join(new.default_route) or NONE,
            cure=_way_out(old.default_route),
        )
    if old.dhcp != new.dhcp:
        told = (", ".join(f"{key} {value}" for key, value in sorted(one.dhcp.items())) for one in (old, new))
        was, now = (one or "the default" for one in told)
        yield Difference(key="dhcp-options", old=was, new=now, cure="name the set in sides.<new>.dhcpOptions")
    for service in sorted(set(old.endpoints) - set(new.endpoints)):
        key, cure = f"endpoint:{service.partition(' ')[0]}", "add it to sides.<new>.endpoints"
        yield Difference(key=key, old=service, new="missing", cure=cure)
    for rule, what in sorted(old.resolver_rules.items()):
        if rule not in new.resolver_rules:
            cure = "add it to sides.<new>.resolverRules"
            yield Difference(key=f"resolver-rule:{rule}", old=what or "associated", new="missing", cure=cure)
    for zone, name in sorted(old.zones.items()):
        if zone not in new.zones:
            cure = "add it to sides.<new>.privateZones, or let the zone's account associate it"
            yield Difference(key=f"private-zone:{zone}", old=name or "associated", new="missing", cure=cure)


def _way_out(old: tuple[str, ...]) -> str:
    if NAT in old:
        return "set sides.<new>.nat to per-zone"
    return f"attach the new VPC to {', '.join(one for one in old if one != NONE)} and route 0.0.0.0/0 there"
