"""A recording in names: other ids change nothing, and a second object of anything shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rehearsal.plain import TAGGED, plain
from rehearsal.world import World, different
from tests.rehearsal.test_world import GROUP, world

SIDE = {"migration:cluster": "pet", "migration:side": "main"}
TEMPLATE = {"default": 1, "latest": 1}


def made(number: int, **changes: Any) -> World:
    """A world whose ids are of its number."""
    vpc, subnet, group, template = (f"{kind}-{number}" for kind in ("vpc", "subnet", "sg", "lt"))
    arn, balancer = f"arn:aws:tg/nodes/{number}", f"arn:aws:elb:loadbalancer/net/api-main/b{number}"
    parts: dict[str, Any] = {
        "vpcs": {vpc: {"cidrs": ["10.0.0.0/16"], "dns": {}, "tags": {**SIDE, "Name": "main"}}},
        "subnets": {subnet: {"vpc": vpc, "cidr": "10.0.1.0/24", "zone": "a", "tags": {**SIDE, "migration:role": "a"}}},
        "security_groups": {
            group: {"vpc": vpc, "name": "nodes", "rules": {f"in tcp {group}": ""}, "tags": {**SIDE, "Name": "nodes"}}
        },
        "templates": {template: {"name": "nodes-main", **TEMPLATE, "tags": SIDE}},
        "target_groups": {
            "nodes": {
                "arn": arn,
                "vpc": vpc,
                "kind": "instance",
                "port": 80,
                "health_check": {},
                "attributes": {},
                "targets": {},
                "health": {},
                "tags": {},
            }
        },
        "balancers": {
            "api-main": {
                "arn": balancer,
                "vpc": vpc,
                "scheme": "internal",
                "state": "active",
                "subnets": [subnet],
                "listeners": {"TCP 6443": arn},
                "attributes": {},
                "tags": SIDE,
            }
        },
        "interfaces": {
            f"eni-{number}{zone}": {"vpc": vpc, "description": f"ELB net/api-main/b{number}"} for zone in "ab"
        },
        "zones": {
            "pet.": {
                "vpcs": [vpc],
                "records": {"A api.": {"ttl": 2, "weight": 1, "values": [f"alias of api-main-b{number}.elb."]}},
            }
        },
        "groups": {
            "nodes-main": {
                **GROUP,
                "subnets": [subnet],
                "template": f"{template} version 1",
                "target_groups": [arn],
                "tags": SIDE,
            }
        },
        "instances": {"nodes-main": {f"i-{number}": vpc, f"i-{number}0": vpc}},
        "parameters": {"/pet/record": str(number)},
    }
    return world(**{**parts, **changes})


def told(before: World, after: World) -> list[str]:
    return [one.text for one in different(plain(before), plain(after))]


def test_the_same_made_again_has_other_ids_and_is_alike() -> None:
    assert told(made(1), made(2)) == []
    shown = plain(made(1))
    assert shown["groups"]["nodes-main"]["subnets"] == ["subnet 10.0.1.0/24 a"]
    assert shown["groups"]["nodes-main"]["template"] == "template nodes-main version 1"
    assert shown["instances"] == {"nodes-main": {"vpc 10.0.0.0/16": 2}}


def test_an_id_that_begins_like_another_is_told_apart() -> None:
    both = made(1).subnets | {"subnet-11": made(1).subnets["subnet-1"].model_copy(update={"cidr": "10.0.2.0/24"})}
    group = {**GROUP, "subnets": ["subnet-11"]}
    one = made(1, subnets=both, groups={"nodes-main": group})
    assert plain(one)["groups"]["nodes-main"]["subnets"] == ["subnet 10.0.2.0/24 a"]


@pytest.mark.parametrize("part", ["vpcs", "subnets", "security_groups", "templates"])
def test_a_second_object_for_the_same_shows_in_its_place_and_in_the_count(part: str) -> None:
    one = made(1)
    [(id_, item)] = getattr(one, part).items()
    after = World.model_validate({**one.model_dump(), part: {id_: item.model_dump(), "other-2": item.model_dump()}})
    found = told(one, after)
    assert any("#2" in sentence and "was absent" in sentence for sentence in found), found
    assert any(sentence.startswith(f"{TAGGED} / ") and "was 1, is 2" in sentence for sentence in found), found


def test_a_machine_too_many_shows() -> None:
    after = made(1, instances={"nodes-main": {"i-1": "vpc-1", "i-2": "vpc-1", "i-3": "vpc-1"}})
    assert told(made(1), after) == ["instances / nodes-main / vpc 10.0.0.0/16: was 2, is 3"]


def test_a_parameter_too_many_shows_and_what_it_says_does_not() -> None:
    after = made(1, parameters={"/pet/record": "2", "/pet/ticket": "3"})
    assert told(made(1), after) == ["parameters / /pet/ticket: was absent, is present"]


def test_anything_that_is_another_way_shows_by_its_name() -> None:
    after = made(2, templates={"lt-2": {"name": "nodes-main", "default": 1, "latest": 2, "tags": SIDE}})
    assert told(made(1), after) == ["templates / template nodes-main / latest: was 1, is 2"]


def members(*ids: str, returned: str, over: str | None) -> World:
    """Members a and b, each with a volume; a has come back."""
    note = json.dumps({"generation": returned, "version": "$Latest", "over": over}, separators=(",", ":"))
    mine = {"migration:member": "a", "migration:returned": returned}
    volumes = {
        ids[0]: {"attached": True, "tags": {"Name": "control-plane", **mine}},
        ids[1]: {"attached": True, "tags": {"Name": "control-plane", "migration:member": "b"}},
    }
    return made(1, groups={"a": {**GROUP, "tags": {"migration:returned": note}}}, volumes=dict(sorted(volumes.items())))


def test_each_members_volume_is_called_by_its_member_whichever_was_made_first() -> None:
    one = members("vol-1", "vol-2", returned="20261126T074351-b1efbd", over="15978547870526283327")
    assert told(one, members("vol-4", "vol-3", returned="20261126T081500-0a0b0c", over="1448832869267120429")) == []
    assert [name for name in plain(one)["volumes"] if "#" in name] == []


def test_a_return_without_a_membership_before_shows() -> None:
    one = members("vol-1", "vol-2", returned="20261126T074351-b1efbd", over="15978547870526283327")
    found = told(one, members("vol-1", "vol-2", returned="20261126T074351-b1efbd", over=None))
    assert any(sentence.startswith("groups / a / tags / migration:returned") for sentence in found)


@pytest.mark.parametrize("state", ["", " active"])
def test_the_providers_prefix_list_is_called_by_what_leads_there(state: str) -> None:
    def routed(number: int) -> World:
        gateway = {"kind": "endpoint of s3", "vpcs": [f"vpc-{number}"], "tags": {}}
        table = {
            "vpc": f"vpc-{number}",
            "routes": {f"pl-{number}": f"vpce-{number}{state}"},
            "subnets": [f"subnet-{number}"],
            "tags": {},
        }
        return made(number, gateways={f"vpce-{number}": gateway}, route_tables={f"rtb-{number}": table})

    assert plain(routed(1)) == plain(routed(2))
    assert "pl-1" not in str(plain(routed(1)))
