"""A Service of type LoadBalancer through all stages and back: its balancer's copy, and who takes which nodes."""

from __future__ import annotations

from typing import Any

import pytest

from migration.settings import ConfigurationError, Settings, load
from tests.samples import configuration, flat
from tests.transitions.recorder import Declared, Key, at, declare

ARN = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:"
FIRST, SECOND = ("ServiceBalancers", "service-balancers"), ("ServiceBalancers", "service-balancers-new-nodes")
OLD = {"arn": f"{ARN}loadbalancer/net/a1/1", "dnsName": "a1.elb.example", "targetGroups": [f"{ARN}targetgroup/k8s/1"]}


def carried() -> dict[str, Any]:
    c = configuration()
    c["sides"]["legacy"]["loadBalancers"]["more"] = {"shop-web": OLD}
    c["moreIngress"] = [
        {
            "name": "shop-web",
            "service": {"namespace": "shop", "service": "web", "externalTrafficPolicy": "Cluster"},
            "balancer": {
                "groups": {"31000": {"port": 31000}},
                "listeners": [{"port": 80, "forward": [{"group": "31000"}]}],
            },
        }
    ]
    c["traffic"] |= {"loadBalancerServices": "carried", "serviceBalancers": ["shop-web"], "afterwards": "keep"}
    name = {"name": "shop.pet.example", "serves": "shop-web", "ttl": 60, "value": "a1.elb.example"}
    c["traffic"]["records"].append(name)
    return c


def settings(stage: int) -> Settings:
    return load(flat(carried()), f"stage-{stage}")


def declared(stage: int) -> dict[Key, Declared]:
    return declare(settings(stage))


def reached(found: dict[Key, Declared], start: Key) -> set[Key]:
    """Everything that a resource waits for."""
    seen: set[Key] = set()
    ahead = [start]
    while ahead:
        for key in found[ahead.pop()].after - seen:
            seen.add(key)
            ahead += [key] if key in found else []
    return seen


def test_the_services_balancer_has_a_copy_that_takes_its_names_and_stays() -> None:
    third = declared(3)
    assert third[("Record", "main-shop.pet.example")].inputs["records"] == ["main-shop-web.elb"]
    assert third[("TargetGroup", "main-shop-web")].inputs["port"] == 31000
    assert ("LoadBalancer", "main-shop-web") in declared(8)


def test_at_each_stage_the_controllers_balancers_take_what_they_may() -> None:
    found = {stage: declared(stage) for stage in range(9)}
    wanted = {stage: one[FIRST].asked["wanted"] for stage, one in found.items() if FIRST in one}
    assert wanted == {2: "as-found", **dict.fromkeys(range(3, 8), "apart"), 8: "given-up"}
    assert [stage for stage, one in found.items() if SECOND in one] == [3, 4, 5, 6, 7]
    asked = found[3][FIRST].asked
    assert asked["services"] == [{"namespace": "shop", "service": "web", "balancer": OLD["arn"]}]
    assert (asked["side"], asked["complete"], found[3][SECOND].asked["complete"]) == ("legacy", False, True)
    assert asked["oldGroups"][0] == "nodes-m5-a.pet"
    assert asked["newGroups"][0] == "nodes-m5-a.pet-main"


def test_services_are_limited_before_there_are_new_nodes_and_given_up_before_the_old_side_is_deleted() -> None:
    third = declared(3)
    for pool in "abc":
        assert FIRST in reached(third, ("Group", f"main-m5-{pool}"))
    assert ("Group", "main-m5-a") in reached(third, SECOND)
    assert FIRST in reached(declared(8), ("Retirement", "retirement"))


def test_without_such_services_nothing_of_it_is_declared_or_asked() -> None:
    for stage in range(9):
        found = at(stage)
        assert not [key for key in found if key[0] == "ServiceBalancers"]
        checks = {
            one["check"] for gate in ("before", "after") for one in found[("Gate", f"gate-{gate}")].asked["questions"]
        }
        assert not checks & {"services-carried", "new-nodes-excluded", "cloud-controller-in-old-vpc"}


def test_its_gates_are_asked_where_they_say_something() -> None:
    asked = {
        (stage, gate): {one["check"] for one in declared(stage)[("Gate", f"gate-{gate}")].asked["questions"]}
        for stage, gate in ((0, "before"), (3, "before"), (4, "before"), (7, "after"))
    }
    assert "services-carried" in asked[0, "before"]
    assert "cloud-controller-in-old-vpc" in asked[3, "before"]
    assert "new-nodes-excluded" in asked[4, "before"]
    assert "cloud-controller-left-old-vpc" in asked[7, "after"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"afterwards": None}, "migration:traffic.afterwards is None: nobody has decided"),
    ({"afterwards": "second-service"}, "migration:traffic.afterwards is 'second-service': a second Service isn't made"),
    ({"serviceBalancers": ["cart"]}, "migration:traffic.serviceBalancers is 'cart': is no balancer of this"),
    ({"serviceBalancers": ["ingress"]}, "migration:traffic.serviceBalancers is 'ingress': ingress is before Service"),
    ({"loadBalancerServices": "planned"}, "migration:traffic.serviceBalancers is ['shop-web']: goes only with"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[said[19:60] for _, said in WRONG])
def test_what_doesnt_fit_is_refused_with_its_key(change: dict[str, Any], said: str) -> None:
    c = carried()
    c["traffic"] = {key: value for key, value in {**c["traffic"], **change}.items() if value is not None}
    with pytest.raises(ConfigurationError) as refused:
        load(flat(c), "stage-3")
    told = [str(one) for one in refused.value.problems]
    assert any(one.startswith(said) for one in told), told
