"""ACLs and prefix lists, as packets meet them."""

from __future__ import annotations

from typing import Any

from lab.network.reachability import allowed
from tests.lab.network.test_network_reachability import NEW, OLD, world
from tests.lab.network.world import World, rule


def entry(number: int, cidr: str, first: int | None = None, last: int | None = None, **more: Any) -> dict[str, Any]:
    protocol = "-1" if first is None else "6"
    same: dict[str, Any] = {"number": number, "protocol": protocol, "allow": True, "egress": False, "cidr": cidr}
    return {**same, "from": first, "to": last, **more}


def with_acl(built: World, ip: str, *entries: dict[str, Any]) -> World:
    subnet = built.state().hosts[ip].subnet
    built.raw.setdefault("network_acls", []).append(
        {"id": "acl-1", "vpc": "", "subnets": [subnet], "entries": list(entries)}
    )
    return built


def verdict(built: World) -> tuple[bool, str]:
    found = allowed(built.state(), OLD, NEW, 2380)
    return found.ok, found.reason


def test_an_acl_asks_both_ways_and_has_no_memory() -> None:
    out = entry(100, "0.0.0.0/0", egress=True)
    assert verdict(with_acl(world(), OLD, out, entry(100, "0.0.0.0/0")))[0]
    ok, why = verdict(with_acl(world(), OLD, out))
    assert not ok and "lets nothing with port 1024 the answer into" in why
    ok, why = verdict(with_acl(world(), OLD, entry(100, "0.0.0.0/0")))
    assert not ok and "port 2380 out of" in why
    ok, why = verdict(with_acl(world(), NEW, entry(100, "127.17.0.0/16", 2380, 2380)))
    assert not ok and "port 1024 the answer out of" in why
    answered = entry(100, "127.17.0.0/16", 1_024, 65_535, egress=True)
    assert verdict(with_acl(world(), NEW, entry(100, "127.17.0.0/16", 2380, 2380), answered))[0]


def test_the_first_entry_that_fits_decides() -> None:
    everything = (entry(100, "0.0.0.0/0"), entry(100, "0.0.0.0/0", egress=True))
    denied = entry(50, "127.17.0.0/16", 2380, 2380, allow=False)
    assert not verdict(with_acl(world(), NEW, *everything, denied))[0]
    assert verdict(with_acl(world(), NEW, *everything, {**denied, "number": 150}))[0]


def test_within_a_subnet_no_acl_is_asked() -> None:
    built = world()
    built.instance("127.17.1.9", groups=["sg-cp-old"])
    with_acl(built, OLD)
    assert allowed(built.state(), OLD, "127.17.1.9", 2380).ok


def test_a_rule_by_prefix_list_admits_its_ranges() -> None:
    built = world()
    built.item("security_groups", "sg-cp-new")["ingress"] = [{**rule(2380), "prefix_lists": ["pl-1"]}]
    assert not verdict(built)[0]
    built.raw["prefix_lists"] = {"pl-1": ["127.17.0.0/16"]}
    assert verdict(built)[0]


def test_a_route_to_a_prefix_list_leads_to_its_ranges() -> None:
    built = world()
    table = built.table("legacy")
    for route in table["routes"]:
        if route["target"] == "pcx-legacy-main":
            route["cidr"] = "pl-1"
    assert not verdict(built)[0]
    built.raw["prefix_lists"] = {"pl-1": ["127.37.0.0/16"]}
    assert verdict(built)[0]
