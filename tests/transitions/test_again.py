"""Migration after migration on recording mocks: legacy → main → next → third, and no resource changes its name."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest

from migration.settings import ConfigurationError, Settings
from migration.stages import STAGES
from tests.samples import ZONES, configuration, settings
from tests.transitions.recorder import Declared, Key, declare

ROAD = ("legacy", "main", "next", "third")
CIDRS = {"main": "10.1.0.0/16", "next": "10.2.0.0/16", "third": "10.3.0.0/16"}


def moving(number: int, stage: int, **changes: Any) -> Settings:
    """The settings of the migration that moves to `ROAD[number]`; sides that are gone aren't described any more."""
    sides = copy.deepcopy(configuration()["sides"])
    made = {
        name: {"kind": "managed", "cidr": CIDRS[name], "suffix": f"-{name}", "zones": list(ZONES)} for name in ROAD[1:]
    }
    described = {name: {**made, **sides}[name] for name in ROAD[number - 1 : number + 1]}
    if number > 1:
        changes = {"retire": [], "keep": [], **changes}
    return settings(stage, sides=described, **{"from": ROAD[number - 1], "to": ROAD[number]}, **changes)


@cache
def at(number: int, stage: int) -> dict[Key, Declared]:
    return declare(moving(number, stage))


def of(side: str, found: dict[Key, Declared]) -> dict[Key, Declared]:
    """What AWS and the state have of a side: resources that aren't operations or rules with the other side."""
    return {key: one for key, one in found.items() if key[1] == side or key[1].startswith(f"{side}-")}


OPERATIONS = {
    "Roll",
    "MemberRoll",
    "Taint",
    "Drain",
    "AutoscalerHold",
    "WorkerScale",
    "End",
    "Peering",
    "VpcPeeringConnection",
    "PeeringConnectionOptions",
    "Cross",
}


@pytest.mark.parametrize("number", [2, 3])
def test_from_8_to_0_nothing_of_the_side_that_is_left_now_is_made_replaced_or_deleted(number: int) -> None:
    left, before = ROAD[number - 1], ROAD[number - 2]
    over, begun = of(left, at(number - 1, 8)), of(left, at(number, 0))
    gone = {key for key in over.keys() - begun.keys() if key[0] not in OPERATIONS}
    # Rules about a side that isn't there any more, and nothing else.
    assert gone and all(key[0].startswith("SecurityGroup") and before in key[1] for key in gone)
    assert begun.keys() <= over.keys()
    for key, one in begun.items():
        assert one.parent == over[key].parent, key
        if key[0] not in ("GroupNote", "WorkerGuard", "MemberGuard"):
            assert one.inputs == over[key].inputs, key
    assert not of(ROAD[number], at(number, 0))


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("stage", range(1, 8))
def test_no_stage_changes_what_the_old_side_is_made_of(number: int, stage: int) -> None:
    left, to = ROAD[number - 1], ROAD[number]
    before, now = of(left, at(number, 0)), of(left, at(number, stage))
    assert before.keys() <= now.keys()
    assert {key for key in before if before[key].inputs != now[key].inputs} == set()
    added = {key for key in now.keys() - before.keys() if key[0] not in OPERATIONS}
    about = {key for key in added if to in key[1] or "operator" in key[1]}
    # Its half of the pair of records is the names', not the side's.
    assert {key for key in added - about if key[0] != "Record"} == set()


@pytest.mark.parametrize("number", [2, 3])
def test_at_the_end_all_of_the_old_side_is_gone_and_the_new_one_stands_as_the_one_before_did(number: int) -> None:
    left, to, before = ROAD[number - 1], ROAD[number], ROAD[number - 2]
    assert of(left, at(number, 8)) == {}
    assert not any(left in key[1] for key in at(number, 8) if not key[0].startswith("SecurityGroup")), "names of it"

    def renamed(found: dict[Key, Declared], names: dict[str, str]) -> set[Key]:
        result: set[Key] = set()
        for kind, name in found:
            for old, new in names.items():
                name = name.replace(old, new)
            result.add((kind, name))
        return result

    now = renamed(of(to, at(number, 8)), {to: "NEW", left: "OLD"})
    earlier = renamed(of(left, at(number - 1, 8)), {left: "NEW", before: "OLD"})
    assert now == earlier


def test_what_is_copied_is_looked_up_at_the_side_that_is_left() -> None:
    note = at(2, 3)[("GroupNote", "next-copied-workers")].asked
    assert (note["side"], note["groups"]["m5-a"]) == ("main", "nodes-m5-a.pet-main")
    members = at(2, 7)[("GroupNote", "next-copied-members")].asked
    assert (members["side"], members["groups"]["a"]) == ("main", "master-a.pet-main")
    assert at(2, 7)[("Group", "next-member-a")].inputs["name"] == "master-a.pet-next"


def test_members_of_a_side_made_here_are_swapped_by_their_own_names_and_no_address_is_believed() -> None:
    swap = at(2, 7)[("MemberSwap", "swap-a-main")].asked
    assert swap["old"] == {"name": "a-main", "group": "master-a.pet-main"}
    assert swap["new"] == {"name": "a-next", "group": "master-a.pet-next"}
    # The listener over there leads to instances by now.
    assert swap["oldApiTargetGroups"] == ["arn:main-apimembers"]
    targets = at(2, 2)[("ApiTargets", "api-targets")].asked
    assert [one.get("address") for one in targets["members"]] == [None, None, None]


def test_names_lead_back_to_the_balancers_of_the_side_made_here_and_not_to_the_first_ones() -> None:
    cut = at(2, 1)[("DnsCut", "names")].asked
    assert cut["form"] == "original"
    assert {record.get("value") for record in cut["records"]} == {None}
    assert cut["old"] == {"side": "main", "ingress": "main-ingress.elb", "api": "main-api.elb", "more": {}, "zones": {}}
    over = at(2, 8)[("DnsCut", "names")].asked
    assert (over["form"], over["old"]) == ("final", {"side": "main", "more": {}, "zones": {}})


def test_the_retire_list_is_only_for_a_side_that_was_found() -> None:
    assert ("Retirement", "retirement") in at(1, 8)
    assert ("Retirement", "retirement") not in at(2, 8)


@pytest.mark.parametrize("stage", range(len(STAGES) - 1))
def test_destroy_is_guarded_for_the_side_that_the_cluster_lives_on(stage: int) -> None:
    guard = at(2, stage)[("StackGuard", "guard")].asked
    assert guard["settled"] == "main"
    assert at(1, stage)[("StackGuard", "guard")].asked.get("settled") is None


def test_a_way_back_in_a_second_migration_declares_what_the_first_ones_does() -> None:
    first = declare(moving(1, 2), returning=True)
    second = declare(moving(2, 2), returning=True)
    kinds = ("Taint", "Drain", "AutoscalerHold", "WorkerScale", "IngressPolicy", "DnsCut")

    def asked(found: dict[Key, Declared]) -> set[tuple[str, str]]:
        return {(kind, one.asked.get("wanted", "")) for (kind, _), one in found.items() if kind in kinds}

    assert asked(first) == asked(second)


def test_a_range_that_is_left_may_come_again() -> None:
    sides = {
        "main": {"kind": "managed", "cidr": CIDRS["main"], "suffix": "-main", "zones": list(ZONES)},
        "next": {"kind": "managed", "cidr": "10.0.0.0/16", "suffix": "-next", "zones": list(ZONES)},
    }
    found = declare(settings(1, sides=sides, **{"from": "main", "to": "next"}, retire=[], keep=[]))
    assert found[("Vpc", "next-vpc")].inputs["cidrBlock"] == "10.0.0.0/16"


def test_a_third_side_overlaps_none_that_is_described() -> None:
    made = {
        name: {"kind": "managed", "cidr": cidr, "suffix": f"-{name}", "zones": list(ZONES)}
        for name, cidr in (("main", CIDRS["main"]), ("next", CIDRS["main"]))
    }
    keys: dict[str, Any] = {"from": "main", "to": "next", "retire": [], "keep": []}
    with pytest.raises(ConfigurationError) as refused:
        settings(0, sides=made, **keys)
    [problem] = refused.value.problems
    assert "overlaps migration:sides.main.cidr" in str(problem)
    assert "out of migration:sides" not in str(problem), "the cluster lives there"
    # The one that was left is still described: whether it is in the way, only an operator knows.
    made["next"]["cidr"] = "10.0.128.0/17"
    with pytest.raises(ConfigurationError, match=r"overlaps migration:sides\.legacy\.cidr.*take legacy out"):
        settings(0, sides={**made, "legacy": configuration()["sides"]["legacy"]}, **keys)
