"""Old groups' rules and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from migration.access_rules import Carried, Permission, carried, equal_to_one_of
from migration.settings.model import GroupRule


def rule(**values: Any) -> GroupRule:
    return GroupRule.model_validate({"group": "nodes", "direction": "ingress", **values})


def own(group: str, kind: str, peer: str, port: int | None = None, direction: str = "ingress") -> Permission:
    values: Any = {"group": group, "direction": direction, "kind": kind, "peer": peer}
    return Permission(protocol="-1" if port is None else "tcp", from_port=port, to_port=port, **values)


def becomes(*rules: GroupRule, own: Any = (), across: Any = ()) -> Carried:
    return carried(rules, own=own, own_across=across, cidr="10.1.0.0/16", peered_vpcs=["vpc-corp"])


def names(permissions: tuple[Permission, ...]) -> list[str]:
    return [one.name for one in permissions]


def test_a_rule_is_named_by_what_it_says() -> None:
    found = becomes(
        rule(protocol="tcp", fromPort=22, toPort=22, cidr="10.9.0.0/16"),
        rule(protocol="udp", fromPort=4789, toPort=4790, prefixList="pl-1"),
        rule(direction="egress", cidr="0.0.0.0/0"),
    )
    assert names(found.staying) == [
        "nodes-from-10.9.0.0/16-tcp-22",
        "nodes-from-pl-1-udp-4789-4790",
        "nodes-to-0.0.0.0/0-all",
    ]


def test_what_another_rule_lets_through_is_made_once() -> None:
    wide = rule(protocol="tcp", fromPort=9000, toPort=9100, cidr="10.9.0.0/16")
    narrow = rule(protocol="tcp", fromPort=9090, toPort=9090, cidr="10.9.3.0/24")
    assert names(becomes(narrow, wide, wide).staying) == ["nodes-from-10.9.0.0/16-tcp-9000-9100"]
    other = rule(protocol="udp", fromPort=9090, toPort=9090, cidr="10.9.3.0/24")
    assert len(becomes(other, wide).staying) == 2
    assert becomes(narrow, own=[own("nodes", "range", "10.0.0.0/8")]).staying == ()
    assert len(becomes(narrow, own=[own("control-plane", "range", "10.0.0.0/8")]).staying) == 1


def test_the_vpcs_own_range_is_the_sides_own_and_the_others_meanwhile() -> None:
    found = becomes(rule(protocol="tcp", fromPort=9100, toPort=9100, ownVpc=True))
    assert names(found.staying) == ["nodes-from-10.1.0.0/16-tcp-9100"]
    assert [(one.group, one.peer) for one in found.mutual] == [("nodes", None)]


def test_etcds_group_is_the_control_planes_on_a_new_side() -> None:
    found = becomes(rule(group="etcd", protocol="tcp", fromPort=9100, toPort=9100, role="nodes"))
    assert names(found.staying) == ["control-plane-from-nodes-tcp-9100"]
    assert [(one.group, one.peer) for one in found.mutual] == [("etcd", "nodes")]
    api = rule(group="control-plane", protocol="tcp", fromPort=6443, toPort=6443, role="nodes")
    assert becomes(api, across=[own("control-plane", "role", "nodes", 6443)]).mutual == ()


def test_somebodys_group_stays_only_where_its_vpc_stays_peered() -> None:
    found = becomes(rule(securityGroup="sg-bastion"), rule(securityGroup="sg-corp", vpcId="vpc-corp"))
    assert names(found.foreign) == ["nodes-from-sg-bastion-all"]
    assert names(found.staying) == ["nodes-from-sg-corp-all"]


def test_groups_that_dont_let_everything_out_to_the_new_range_are_shut() -> None:
    shut = [rule(direction="egress", protocol="tcp", fromPort=443, toPort=443, cidr="0.0.0.0/0")]
    assert becomes(*shut).shut == ("nodes",)
    assert becomes(*shut, rule(direction="egress", cidr="10.0.0.0/8")).shut == ()
    assert becomes(rule(direction="egress", role="nodes")).staying == ()


def test_a_rule_that_is_there_is_known_by_its_very_words() -> None:
    there = rule(group="control-plane", protocol="tcp", fromPort=6443, toPort=6443, cidr="10.50.0.0/16")
    assert equal_to_one_of([there], 6443, "10.50.0.0/16", "control-plane")
    assert not equal_to_one_of([there], 6443, "10.50.0.0/17", "control-plane")
    assert not equal_to_one_of([there], 2379, "10.50.0.0/16", "control-plane")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "exactly one of"),
        ({"cidr": "10.0.0.0/8", "role": "nodes"}, "exactly one of"),
        ({"cidr": "10.0.0.0/8", "protocol": "tcp"}, "needs fromPort"),
    ],
)
def test_a_rule_that_says_nothing_or_too_much_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        rule(**values)
