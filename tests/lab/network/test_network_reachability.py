"""What AWS would carry: one world, one change at a time, one verdict."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.network.reachability import allowed, routed
from tests.lab.network.world import OPERATOR, World, rule

OLD, NEIGHBOUR, NEW = "127.17.1.4", "127.17.2.5", "127.37.1.4"


def world(*, groups: bool = True) -> World:
    built = World()
    built.group("sg-cp-old", "vpc-legacy", ingress=[rule(2380, groups=("sg-cp-old", "sg-cp-new"))])
    built.group("sg-cp-new", "vpc-main", ingress=[rule(2380, groups=("sg-cp-old", "sg-cp-new"))])
    built.instance(OLD, groups=["sg-cp-old"] if groups else None)
    built.instance(NEIGHBOUR, groups=["sg-cp-old"] if groups else None)
    built.instance(NEW, groups=["sg-cp-new"] if groups else None)
    return built


def drop_route(side: str, target: str) -> Callable[[World], None]:
    def change(built: World) -> None:
        table = built.table(side)
        table["routes"] = [r for r in table["routes"] if r["target"] != target]

    return change


def blackhole(built: World) -> None:
    for route in built.table("main")["routes"]:
        if route["target"] == "pcx-legacy-main":
            route["state"] = "blackhole"


def delete_peering(built: World) -> None:
    built.item("peerings", "pcx-legacy-main")["state"] = "deleted"


def route_to_another_peering(built: World) -> None:
    for route in built.table("legacy")["routes"]:
        if route["target"] == "pcx-legacy-main":
            route["target"] = "pcx-legacy-corp"


def more_specific_route_elsewhere(built: World) -> None:
    built.table("legacy")["routes"].append({"cidr": "127.37.1.0/24", "target": "igw-1", "state": "active"})


def no_egress(built: World) -> None:
    built.item("security_groups", "sg-cp-old")["egress"] = []


def without_the_other_sides_group(built: World) -> None:
    built.item("security_groups", "sg-cp-new")["ingress"] = [rule(2380, groups=("sg-cp-new",))]


def test_members_reach_each_other_within_and_across_vpcs() -> None:
    state = world().state()
    assert allowed(state, OLD, NEIGHBOUR, 2380).ok
    assert allowed(state, OLD, NEW, 2380).ok
    assert allowed(state, NEW, OLD, 2380).ok
    assert allowed(state, OLD, OLD, 9).ok  # itself, whatever the rules


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (drop_route("legacy", "pcx-legacy-main"), "no route"),
        (drop_route("main", "pcx-legacy-main"), "no route"),  # the answer couldn't come back
        (blackhole, "blackhole"),
        (delete_peering, "deleted"),
        (route_to_another_peering, "joins"),
        (more_specific_route_elsewhere, "igw-1"),
        (no_egress, "egress"),
        (without_the_other_sides_group, "ingress"),
    ],
)
def test_one_missing_thing_drops_it_and_is_named(change: Callable[[World], None], word: str) -> None:
    built = world()
    assert allowed(built.state(), OLD, NEW, 2380).ok
    change(built)
    verdict = allowed(built.state(), OLD, NEW, 2380)
    assert not verdict.ok
    assert word in verdict.reason


def test_a_port_no_rule_names_is_closed() -> None:
    assert not allowed(world().state(), OLD, NEIGHBOUR, 2379).ok


def test_a_rule_of_another_protocol_opens_nothing() -> None:
    built = world()
    built.item("security_groups", "sg-cp-old")["ingress"] = [{**rule(2380, cidrs=("0.0.0.0/0",)), "protocol": "udp"}]
    assert not allowed(built.state(), NEIGHBOUR, OLD, 2380).ok


def test_peering_is_not_transitive() -> None:
    built = World()
    built.raw["peerings"] = [p for p in built.raw["peerings"] if p["id"] != "pcx-main-corp"]
    built.instance(NEW)
    # Routed through the legacy VPC as somebody might try; the peering there doesn't lead on.
    for route in built.table("corp")["routes"]:
        if route["target"] == "pcx-main-corp":
            route["target"] = "pcx-legacy-corp"
    assert not allowed(built.state(), OPERATOR, NEW, 6443).ok


def test_a_subnets_own_route_table_counts_rather_than_the_main_one() -> None:
    built = world()
    local = {"cidr": built.cidrs["legacy"], "target": "local", "state": "active"}
    built.raw["route_tables"].append(
        {"id": "rtb-a", "vpc": "vpc-legacy", "subnets": ["subnet-legacy-a"], "main": False, "routes": [local]}
    )
    built.item("subnets", "subnet-legacy-a")["route_table"] = "rtb-a"
    state = built.state()
    assert not allowed(state, OLD, NEW, 2380).ok
    assert allowed(state, NEIGHBOUR, NEW, 2380).ok


def test_a_client_without_security_groups_is_judged_by_the_receivers_cidr_rules() -> None:
    built = world()
    built.item("security_groups", "sg-cp-old")["ingress"].append(rule(6443, cidrs=(built.cidrs["corp"],)))
    state = built.state()
    assert allowed(state, OPERATOR, OLD, 6443).ok
    assert not allowed(state, NEW, OLD, 6443).ok


def test_a_balancers_security_group_is_a_member_like_any_other() -> None:
    built = world()
    group = built.target_group("t", "legacy", 6443, [])
    built.balancer("lb", "legacy", 6443, group, security_groups=["sg-legacy"])
    built.item("security_groups", "sg-cp-old")["ingress"].append(rule(6443, groups=("sg-legacy",)))
    assert allowed(built.state(), "127.17.1.200", OLD, 6443).ok
    assert not allowed(built.state(), "127.17.1.201", OLD, 6443).ok


def test_an_instance_without_any_known_group_takes_nothing() -> None:
    built = world()
    built.item("instances", "i-127-17-2-5")["security_groups"] = []
    assert not allowed(built.state(), OLD, NEIGHBOUR, 2380).ok


def test_an_address_of_no_vpc_is_nowhere() -> None:
    state = world().state()
    assert not routed(state, "100.71.0.1", OLD).ok
    assert not routed(state, OLD, "100.71.0.1").ok


def test_prefix_lists_and_ipv6_ranges_match_no_address_and_stop_nobody_from_reading_on() -> None:
    built = world()
    for odd in ("pl-75cf9e9f64c32bb4c", "::/0"):
        built.table("legacy")["routes"].append({"cidr": odd, "target": "vpce-1", "state": "active"})
        built.item("security_groups", "sg-cp-old")["ingress"].append(rule(2379, cidrs=(odd,)))
    state = built.state()
    assert allowed(state, OLD, NEW, 2380).ok
    assert not allowed(state, NEIGHBOUR, OLD, 2379).ok
