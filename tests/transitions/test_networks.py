"""What the networks of an account make of what is declared."""

from __future__ import annotations

from typing import Any

from tests.samples import ZONES, configuration, settings
from tests.transitions.recorder import Declared, Key, at, declare


def sides(**old: Any) -> dict[str, Any]:
    found = configuration()["sides"]
    found["legacy"].update(old)
    return found


def test_every_range_of_the_old_vpc_has_its_routes_and_rules() -> None:
    found = declare(settings(2, sides=sides(secondaryCidrs=["10.2.0.0/16", "10.3.0.0/20"])))
    for zone in ZONES:
        routes = {
            one.inputs["destinationCidrBlock"]
            for (kind, name), one in found.items()
            if kind == "Route" and name.startswith(f"main-{zone}-to-legacy")
        }
        assert routes == {"10.0.0.0/16", "10.2.0.0/16", "10.3.0.0/20"}
    for direction, role in (("Ingress", "api-from"), ("Ingress", "ingress-from"), ("Egress", "nodes-to")):
        ranges = {
            one.inputs["cidrIpv4"]
            for (kind, name), one in found.items()
            if kind == f"SecurityGroup{direction}Rule"
            and name.startswith(f"main-{role}-legacy")
            and "cidrIpv4" in one.inputs
        }
        assert ranges == {"10.0.0.0/16", "10.2.0.0/16", "10.3.0.0/20"}, role


def test_a_first_range_keeps_its_names_when_others_come() -> None:
    before, after = declare(settings(2)), declare(settings(2, sides=sides(secondaryCidrs=["10.2.0.0/16"])))
    assert set(before) <= set(after)
    same = {key for key in before if key[0] not in ("Gate",)}
    assert {key for key in same if before[key].inputs != after[key].inputs} == set()


def test_every_range_of_a_connected_network_has_its_routes_and_rules() -> None:
    networks = configuration()["connectedNetworks"]
    networks[0]["secondaryCidrs"] = ["10.51.0.0/16"]
    found = declare(settings(2, connectedNetworks=networks))
    for zone in ZONES:
        route = found[("Route", f"main-{zone}-to-corp-10.51.0.0/16")]
        assert route.inputs["destinationCidrBlock"] == "10.51.0.0/16"
    assert found[("SecurityGroupIngressRule", "main-api-from-corp-10.51.0.0/16")].inputs["cidrIpv4"] == "10.51.0.0/16"
    # One network, one peering; its own tables lead to the new VPC's only range.
    assert {name for kind, name in found if kind == "VpcPeeringConnection"} == {"main-legacy", "main-corp"}


def with_rules(*rules: dict[str, Any], stage: int = 2, **changes: Any) -> dict[Key, Declared]:
    found = configuration()["sides"]
    found["main"]["rules"] = list(rules)
    return declare(settings(stage, sides=found, **changes))


def new_rules(found: dict[Key, Declared], stage: int = 2) -> dict[str, dict[str, Any]]:
    """What is declared beside what is declared without any rules."""
    without = at(stage)
    return {key[1]: one.inputs for key, one in found.items() if "Rule" in key[0] and key not in without}


HTTPS = {"protocol": "tcp", "fromPort": 443, "toPort": 443}
OPEN = {"group": "nodes", "direction": "egress", "cidr": "0.0.0.0/0"}


def test_what_the_old_groups_let_out_the_new_ones_let_out_too() -> None:
    found = new_rules(
        with_rules(OPEN, {"group": "control-plane", "direction": "egress", "prefixList": "pl-s3", **HTTPS})
    )
    assert found["main-nodes-to-0.0.0.0/0-all"]["securityGroupId"] == "id-main-nodes"
    listed = found["main-control-plane-to-pl-s3-tcp-443"]
    assert (listed["prefixListId"], listed["fromPort"], listed["securityGroupId"]) == (
        "pl-s3",
        443,
        "id-main-control-plane",
    )


def test_old_groups_that_are_shut_are_opened_to_the_new_range() -> None:
    found = new_rules(with_rules(OPEN, {"group": "control-plane", "direction": "egress", "prefixList": "pl-1"}))
    assert {name for name in found if name.startswith("legacy-")} == {"legacy-control-plane-to-main"}
    opened = found["legacy-control-plane-to-main"]
    assert (opened["securityGroupId"], opened["cidrIpv4"], opened["ipProtocol"]) == ("sg-masters", "10.1.0.0/16", "-1")


def test_what_is_let_in_already_gets_no_rule_of_its_own() -> None:
    port = {"protocol": "tcp", "fromPort": 6443, "toPort": 6443}
    there = {"group": "control-plane", "direction": "ingress", "cidr": "10.50.0.0/16", **port}
    more = {"group": "control-plane", "direction": "ingress", "cidr": "10.9.0.0/16", **port}
    egress = [OPEN, {**OPEN, "group": "control-plane"}]
    found = new_rules(with_rules(there, more, *egress))
    assert [name for name in found if "-from-" in name] == ["main-control-plane-from-10.9.0.0/16-tcp-6443"]


def test_rules_among_the_clusters_groups_hold_on_each_side_and_across() -> None:
    bgp = {"protocol": "tcp", "fromPort": 179, "toPort": 179, "group": "control-plane", "direction": "ingress"}
    found = new_rules(with_rules({**bgp, "role": "nodes"}, OPEN, {**OPEN, "group": "control-plane"}))
    peers = {
        name: (one["securityGroupId"], one["referencedSecurityGroupId"])
        for name, one in found.items()
        if "-from-" in name
    }
    assert peers == {
        "main-control-plane-from-nodes-tcp-179": ("id-main-control-plane", "id-main-nodes"),
        "main-control-plane-from-legacy-nodes-tcp-179": ("id-main-control-plane", "sg-nodes"),
        "legacy-control-plane-from-main-nodes-tcp-179": ("sg-masters", "id-main-nodes"),
    }
    # What leads across goes with the peering.
    at_the_end = new_rules(with_rules({**bgp, "role": "nodes"}, stage=8), 8)
    assert [name for name in at_the_end if "-from-" in name] == ["main-control-plane-from-nodes-tcp-179"]


def test_somebodys_group_is_let_in_as_long_as_it_can_be_named() -> None:
    ssh = {"protocol": "tcp", "fromPort": 22, "toPort": 22, "group": "nodes", "direction": "ingress"}
    rules = ({**ssh, "securityGroup": "sg-bastion"}, {**ssh, "securityGroup": "sg-corp", "vpcId": "vpc-corp"}, OPEN)
    for stage, names in ((2, {"sg-bastion", "sg-corp"}), (8, {"sg-corp"})):
        found = new_rules(with_rules(*rules, stage=stage), stage)
        assert {one["referencedSecurityGroupId"] for name, one in found.items() if "-from-sg-" in name} == names


def test_operators_reach_etcd_and_the_api_and_collide_with_nothing() -> None:
    port = {"protocol": "tcp", "fromPort": 6443, "toPort": 6443}
    there = {"group": "control-plane", "direction": "ingress", "cidr": "10.50.0.0/16", **port}
    every = {
        f"{side}-{what}-from-operator-{network}"
        for side in ("legacy", "main")
        for what in ("etcd", "api")
        for network in ("10.50.0.0/16", "10.60.0.0/16")
    }
    networks = ["10.50.0.0/16", "10.60.0.0/16"]
    found = with_rules(there, stage=6, operatorNetworks=networks)
    operators = {name for kind, name in found if kind == "SecurityGroupIngressRule" and "-operator-" in name}
    # The office is let in to the old API by a rule that was there, to the new one by its clients' rule.
    assert every - operators == {"legacy-api-from-operator-10.50.0.0/16", "main-api-from-operator-10.50.0.0/16"}
    # Where the old groups' rules aren't known, nothing is made that might be there.
    plain = declare(settings(6, operatorNetworks=networks))
    assert {name for kind, name in plain if "-api-from-operator" in name} == set()


def test_no_two_rules_of_a_group_say_the_same() -> None:
    etcd = {"group": "etcd", "direction": "ingress", "role": "nodes", **HTTPS}
    found = with_rules(etcd, {**etcd, "group": "control-plane"}, {**OPEN, "direction": "ingress"}, OPEN, stage=6)
    said = [
        tuple(sorted((key, value) for key, value in one.inputs.items() if key not in ("description", "tags")))
        for (kind, _), one in found.items()
        if "SecurityGroup" in kind and "Rule" in kind
    ]
    kinds = [kind for kind, _ in found if "SecurityGroup" in kind and "Rule" in kind]
    together = list(zip(kinds, said, strict=True))
    assert len(together) == len(set(together))


def test_rules_elsewhere_get_their_twins_at_2_and_lose_them_on_the_way_back_to_1() -> None:
    found = {stage: declare(settings(stage, references="apply")) for stage in (0, 1, 2, 7, 8)}
    asked = {stage: one.get(("References", "references")) for stage, one in found.items()}
    wanted = {stage: one.asked["wanted"] if one else None for stage, one in asked.items()}
    assert wanted == {0: None, 1: "absent", 2: "answered", 7: "answered", 8: None}
    at_2 = asked[2]
    assert at_2 is not None
    assert at_2.asked["new"]["groups"] == {"nodes": "id-main-nodes", "control-plane": "id-main-control-plane"}
    assert at_2.asked["old"]["groups"] == {"nodes": "sg-nodes", "control-plane": "sg-masters"}
    # A group of another VPC is named over the peering, so that must stand.
    assert ("VpcPeeringConnection", "main-legacy") in reached(found[2], ("References", "references"))
    assert ("References", "references") not in at(2)
    assert not any(kind == "References" for kind, _ in declare(settings(2, references="list")))


def reached(found: dict[Key, Declared], start: Key) -> set[Key]:
    """Everything that a resource waits for."""
    seen: set[Key] = set()
    waiting = [start]
    while waiting:
        key = waiting.pop()
        if key in found and key not in seen:
            seen.add(key)
            waiting += found[key].after
            waiting += [one for one in found if f"::{key[1]}" in found[one].parent and one not in seen]
    return seen


def test_what_the_old_vpc_offers_is_declared_for_the_new_one() -> None:
    found = configuration()["sides"]
    found["main"] |= {
        "endpoints": [
            {"service": "com.amazonaws.eu-central-1.dynamodb", "type": "Gateway"},
            {"service": "com.amazonaws.eu-central-1.ecr.api", "type": "Interface", "policy": "{}"},
        ],
        "dhcpOptions": "dopt-1",
        "resolverRules": ["rslvr-rr-1"],
        "privateZones": ["Z2"],
    }
    made = {key: one for key, one in declare(settings(1, sides=found)).items() if key not in at(1)}
    table = made[("VpcEndpoint", "main-endpoint-eu-central-1.dynamodb")].inputs
    assert len(table["routeTableIds"]) == 3
    ecr = made[("VpcEndpoint", "main-endpoint-eu-central-1.ecr.api")].inputs
    assert (len(ecr["subnetIds"]), ecr["securityGroupIds"], ecr["privateDnsEnabled"], ecr["policy"]) == (
        3,
        ["id-main-endpoints"],
        True,
        "{}",
    )
    door = made[("SecurityGroupIngressRule", "main-endpoints-from-main")].inputs
    assert (door["cidrIpv4"], door["fromPort"]) == ("10.1.0.0/16", 443)
    assert made[("VpcDhcpOptionsAssociation", "main-dhcp")].inputs["dhcpOptionsId"] == "dopt-1"
    assert made[("ResolverRuleAssociation", "main-rslvr-rr-1")].inputs["resolverRuleId"] == "rslvr-rr-1"
    assert made[("ZoneAssociation", "main-Z2")].inputs["zoneId"] == "Z2"
