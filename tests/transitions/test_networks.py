"""What the networks of an account make of what is declared."""

from __future__ import annotations

from typing import Any

from tests.samples import ZONES, configuration, settings
from tests.transitions.recorder import declare


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
