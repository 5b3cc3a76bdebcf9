"""What stages added to the old side is looked at again (moto's AWS)."""

from __future__ import annotations

from typing import Any

import pytest

from migration.contracts.gates import OldSideStands
from migration.runtime.deadline import Permanent, Retryable
from tests.unit.gates.test_network_aws import Sides, connected
from tests.unit.gates.test_network_aws import sides as sides


def question(sides: Sides, groups: dict[str, str], **more: Any) -> OldSideStands:
    values: dict[str, Any] = {"old": sides.old, "new": sides.new, "groups": groups, "reached": 2}
    return OldSideStands(**{**values, "client_port": 2379, "peer_port": 2380, "api_port": 6443, **more})


def built(sides: Sides) -> dict[str, str]:
    """Both sides' groups, with the rules that stage 2 makes; ids by role of the old side."""
    found: dict[str, dict[str, str]] = {"old": {}, "new": {}}
    for which, side in (("old", sides.old), ("new", sides.new)):
        for role in ("nodes", "control-plane"):
            made = sides.ec2.create_security_group(GroupName=role, Description=role, VpcId=side.vpc_id)
            found[which][role] = made["GroupId"]
    for role, id_ in found["new"].items():
        marks = {"migration:cluster": "pet", "migration:side": "main", "migration:role": role}
        sides.ec2.create_tags(Resources=[id_], Tags=[{"Key": key, "Value": value} for key, value in marks.items()])
    old, new = found["old"], found["new"]
    for group, low, high, peer in (
        ("nodes", None, None, "nodes"),
        ("nodes", None, None, "control-plane"),
        ("control-plane", 2379, 2380, "control-plane"),
        ("control-plane", 6443, 6443, "nodes"),
    ):
        ports = {"IpProtocol": "-1"} if low is None else {"IpProtocol": "tcp", "FromPort": low, "ToPort": high}
        permission: Any = {**ports, "UserIdGroupPairs": [{"GroupId": new[peer]}]}
        sides.ec2.authorize_security_group_ingress(GroupId=old[group], IpPermissions=[permission])
    return old


def test_what_stands_passes(sides: Sides) -> None:
    connected(sides)
    assert sides.ask(question(sides, built(sides))).startswith("routes of 1 old tables")


def test_what_somebody_took_away_from_the_old_side_is_named(sides: Sides) -> None:
    connected(sides)
    old = built(sides)
    asked = question(sides, old)
    sides.ec2.delete_route(RouteTableId=sides.old.route_tables[0], DestinationCidrBlock="10.30.0.0/16")
    with pytest.raises(Permanent, match=r"the route to 10\.30\.0\.0/16 \(main\) in rtb-.* at stage 2"):
        sides.ask(asked)
    rules = sides.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [old["control-plane"]]}])
    [api] = [one for one in rules["SecurityGroupRules"] if one.get("FromPort") == 6443]
    sides.ec2.revoke_security_group_ingress(
        GroupId=old["control-plane"], SecurityGroupRuleIds=[api["SecurityGroupRuleId"]]
    )
    with pytest.raises(Permanent, match=r"the route to .*; the rule of sg-.* lets sg-.* in on port 6443"):
        sides.ask(asked)


def test_a_peering_that_is_gone_is_named(sides: Sides) -> None:
    peering = connected(sides)
    asked = question(sides, built(sides))
    sides.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=peering)
    with pytest.raises(Permanent, match="the peering of vpc-"):
        sides.ask(asked)


def test_where_nothing_is_made_nothing_was_added(sides: Sides) -> None:
    absent = sides.new.model_copy(update={"vpc_id": None})
    assert sides.ask(question(sides, {}, new=absent)).startswith("nothing of side main is made yet")


def test_groups_that_cant_be_seen_are_waited_for(sides: Sides) -> None:
    connected(sides)
    with pytest.raises(Retryable, match="security groups of side main can't be seen"):
        sides.ask(question(sides, {"nodes": "sg-1", "control-plane": "sg-2"}))
