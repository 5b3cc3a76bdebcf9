"""Life after the migration on recording mocks: a key changes its own launch template and what rolls it out."""

from __future__ import annotations

import base64
from typing import Any

import pulumi
import pytest

from components.base import refusing
from migration.runtime.deadline import Permanent
from tests.samples import configuration, settings
from tests.transitions.recorder import Declared, Key, declare

IMAGE = "ami-0123456789abcdef0"


def lived(keys: Any = None, members: Any = None, **more: Any) -> dict[Key, Declared]:
    sides = configuration()["sides"]
    main = {**sides["main"], "pools": keys or {}, "members": members or {}}
    return declare(settings(8, sides={**sides, "main": main}, **more))


def differing(before: dict[Key, Declared], after: dict[Key, Declared]) -> set[Key]:
    assert before.keys() == after.keys()
    return {key for key in before if before[key].inputs != after[key].inputs}


def test_an_image_changes_its_pools_template_and_nothing_else() -> None:
    after = lived({"m5-a": {"image": IMAGE}})
    assert differing(lived(), after) == {("LaunchTemplate", "main-m5-a")}
    assert after[("LaunchTemplate", "main-m5-a")].inputs["imageId"] == IMAGE
    roll = after[("Roll", "main-roll")]
    assert {("LaunchTemplate", "main-m5-a"), ("Group", "main-m5-a")} <= roll.after


def test_the_roll_stands_between_the_groups_and_their_guard() -> None:
    found = lived()
    groups = {key for key in found if key[0] == "Group" and not key[1].startswith("main-member-")}
    assert groups <= found[("Roll", "main-roll")].after
    assert ("Roll", "main-roll") in found[("WorkerGuard", "main-workers-guard")].after
    asked = found[("Roll", "main-roll")].asked
    assert [one["group"] for one in asked["groups"]] == [f"nodes-m5-{zone}.pet-main" for zone in "abc"]
    assert {(one["template"], one["version"]) for one in asked["groups"]} == {
        (f"id-main-m5-{zone}", "1") for zone in "abc"
    }
    assert asked["targetGroups"] == ["arn:main-ingress"]


def test_an_image_for_members_changes_their_templates_and_one_member_can_differ() -> None:
    other = "ami-0123456789abcdef1"
    after = lived(members={"image": IMAGE, "each": {"b": {"image": other}}})
    assert differing(lived(), after) == {("LaunchTemplate", f"main-member-{name}") for name in "abc"}
    images = [after[("LaunchTemplate", f"main-member-{name}")].inputs["imageId"] for name in "abc"]
    assert images == [IMAGE, other, IMAGE]
    asked = after[("MemberRoll", "main-member-roll")].asked
    assert [one["name"] for one in asked["members"]] == ["a-main", "b-main", "c-main"]
    assert (asked["instancesGroup"], asked["addressesGroup"]) == ("arn:main-apimembers", "arn:main-api")


def test_a_group_gets_another_name_and_its_template_with_it() -> None:
    after = lived({"m5-a": {"group": "nodes-m5-a.pet"}})
    assert differing(lived(), after) == {
        ("LaunchTemplate", "main-m5-a"),
        ("Group", "main-m5-a"),
        ("Roll", "main-roll"),
        ("WorkerGuard", "main-workers-guard"),
    }
    assert after[("Group", "main-m5-a")].inputs["name"] == "nodes-m5-a.pet"
    assert after[("WorkerGuard", "main-workers-guard")].asked["groups"][0] == "nodes-m5-a.pet"


def test_a_pool_is_added_like_another() -> None:
    pools = [*configuration()["pools"], {"name": "big", "group": "big.pet", "zones": ["eu-central-1a"]}]
    after = lived({"big": {"like": "m5-a", "instanceType": "m5.4xlarge", "desired": 1}}, pools=pools)
    assert set(after) - set(lived()) == {("LaunchTemplate", "main-big"), ("Group", "main-big")}
    assert after[("Group", "main-big")].inputs["name"] == "big.pet-main"
    assert after[("LaunchTemplate", "main-big")].inputs["instanceType"] == "m5.4xlarge"
    assert "big" in after[("GroupNote", "main-copied-workers")].asked["optional"]


def test_a_pool_is_removed_and_its_roll_and_guard_know() -> None:
    after = lived()
    fewer = declare(settings(8, pools=configuration()["pools"][1:]))
    assert set(after) - set(fewer) == {("LaunchTemplate", "main-m5-a"), ("Group", "main-m5-a")}
    changed = {key for key in fewer if fewer[key].inputs != after[key].inputs}
    assert {("Roll", "main-roll"), ("WorkerGuard", "main-workers-guard")} <= changed
    assert changed <= {
        ("Roll", "main-roll"),
        ("WorkerGuard", "main-workers-guard"),
        ("GroupNote", "main-copied-workers"),
        ("StageRecord", "begin"),
        ("StageRecord", "reached"),
        ("Gate", "gate-before"),
        ("Gate", "gate-after"),
    }


def test_retiring_reaches_the_roll_alone() -> None:
    after = lived({"m5-a": {"retiring": "leave"}})
    assert differing(lived(), after) == {("Roll", "main-roll")}
    assert after[("Roll", "main-roll")].asked["groups"][0]["retiring"] == "leave"


def test_own_user_data_is_a_secret() -> None:
    template = lived({"m5-a": {"userData": "#!/bin/sh"}})[("LaunchTemplate", "main-m5-a")]
    assert base64.b64decode(template.inputs["userData"]) == b"#!/bin/sh"
    assert template.secret == {"userData"}


def test_what_can_not_be_made_ends_the_program_with_its_sentence_alone() -> None:
    # Asked of what every such output is made with: a program that failed within this process would fail the next one.
    def make(known: str) -> str:
        raise Permanent(f"nothing is known of {known}")

    with pytest.raises(pulumi.RunError, match=r"^nothing is known of pool big$") as refusal:
        refusing(make)("pool big")
    assert refusal.value.__cause__ is None
    assert refusing(lambda known: known)("pool big") == "pool big"


def test_a_settled_stack_may_roll_and_one_under_way_only_looks() -> None:
    assert lived()[("Roll", "main-roll")].asked["allowed"] is True
    assert lived()[("MemberRoll", "main-member-roll")].asked["allowed"] is True
    under_way = declare(settings(8), unsettled=True)
    assert under_way[("Roll", "main-roll")].asked["allowed"] is False
    assert under_way[("MemberRoll", "main-member-roll")].asked["allowed"] is False
