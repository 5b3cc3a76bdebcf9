"""Two recordings compared: what was meant is told apart from what wasn't, and from what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from rehearsal.world import TYPE_LABEL as TYPE
from rehearsal.world import Cloud, Cluster, Difference, Meant, World, blanks, compare, differences

GROUP: dict[str, Any] = {
    "minimum": 0,
    "maximum": 10,
    "desired": 1,
    "running": 1,
    "suspended": [],
    "subnets": ["subnet-1"],
    "template": "lt-1 version $Latest",
    "types": [],
    "target_groups": [],
    "health_check": "EC2 after 30 s",
    "tags": {},
}
NODE: dict[str, Any] = {"ready": True, "unschedulable": False, "taints": [], "labels": {}, "annotations": {}}


def world(**changes: Any) -> World:
    """A world of one group with one machine, and one Deployment."""
    empty = {name: {} for name in World.model_fields}
    return World.model_validate(
        empty
        | {
            "groups": {"workers": GROUP},
            "instances": {"workers": {"i-1": "vpc-1"}},
            "nodes": {"workers": [NODE]},
            "workloads": {"Deployment shop/web": {"replicas": 3, "ready": 3, "annotations": {}, "spec": "1"}},
        }
        | changes
    )


SCALED = {"Deployment shop/web": {"replicas": 5, "ready": 5, "annotations": {}, "spec": "1"}}
REPLACED = {"workers": {"i-2": "vpc-1"}}
WEB = ("workloads", "Deployment shop/web")


def test_two_worlds_alike_differ_in_nothing() -> None:
    assert differences(world(), world()) == []
    assert compare(world(), world(), []).wrong == ()


def test_a_difference_is_told_at_the_innermost_place_with_before_and_after() -> None:
    after = world(groups={"workers": GROUP | {"maximum": 1, "tags": {"migration:hold": "{}"}}})
    assert [difference.text for difference in differences(world(), after)] == [
        "groups / workers / maximum: was 10, is 1",
        "groups / workers / tags / migration:hold: was absent, is {}",
    ]


def test_something_that_came_or_went_is_one_difference_however_much_is_in_it() -> None:
    after = world(groups={"workers-main": GROUP})
    found = differences(world(), after)
    assert [(one.path, one.before is None, one.after is None) for one in found] == [
        (("groups", "workers"), False, True),
        (("groups", "workers-main"), True, False),
    ]


def test_nodes_of_a_group_are_told_apart_by_position_and_one_too_few_is_seen() -> None:
    tainted = NODE | {"taints": ["migration=migration:NoSchedule"]}
    found = differences(world(nodes={"workers": [NODE, NODE]}), world(nodes={"workers": [tainted, NODE]}))
    assert [one.text for one in found] == [
        'nodes / workers / 1 / taints: was [], is ["migration=migration:NoSchedule"]'
    ]
    found = differences(world(nodes={"workers": [NODE, NODE]}), world(nodes={"workers": [NODE]}))
    assert [one.path for one in found] == [("nodes", "workers", "2")]
    found = differences(world(), world(nodes={"workers": []}))
    assert [one.path for one in found] == [("nodes", "workers")]


@pytest.mark.parametrize(("types", "differs"), [(["m5a", "m6a"], 0), (["m5a", "m7a"], 1), ([], 1)])
def test_another_machine_may_be_of_another_type_if_its_group_may_choose_it(types: list[str], differs: int) -> None:
    def having(kind: str) -> World:
        made = world(groups={"workers": GROUP | {"types": types}}, nodes={"workers": [NODE | {"labels": {TYPE: kind}}]})
        parts = made.model_dump()
        cloud = Cloud.model_validate({name: parts[name] for name in Cloud.model_fields})
        return World.of(cloud, Cluster.model_validate({name: parts[name] for name in Cluster.model_fields}))

    assert len(differences(having("m5a"), having("m6a"))) == differs


def test_what_is_meant_is_allowed_with_its_reason_and_the_rest_is_named() -> None:
    meant = [Meant(path=("instances", "workers"), reason="its machine was terminated")]
    compared = compare(world(), world(instances=REPLACED, groups={"workers": GROUP | {"desired": 0}}), meant)
    assert {(one.difference.path[-1], one.reason) for one in compared.allowed} == {
        ("i-1", "its machine was terminated"),
        ("i-2", "its machine was terminated"),
    }
    assert compared.wrong == ("groups / workers / desired: was 1, is 0",)


def test_a_meant_difference_with_another_outcome_is_not_the_meant_one() -> None:
    meant = [Meant(path=(*WEB, key), reason="scaled", after=5) for key in ("replicas", "ready")]
    assert compare(world(), world(workloads=SCALED), meant).wrong == ()
    short = {"Deployment shop/web": SCALED["Deployment shop/web"] | {"ready": 4}}
    assert compare(world(), world(workloads=short), meant).wrong == (
        "workloads / Deployment shop/web / ready: was 3, is 4",
        "workloads / Deployment shop/web / ready: nothing differs, and something must: scaled",
    )


@pytest.mark.parametrize("due", [True, False])
def test_what_was_meant_and_is_not_there_is_named_unless_it_only_may_be(due: bool) -> None:
    meant = Meant(path=(*WEB, "replicas"), reason="it was scaled", after=5, due=due)
    told = "workloads / Deployment shop/web / replicas: nothing differs, and something must: it was scaled"
    assert compare(world(), world(), [meant]).wrong == ((told,) if due else ())


def test_a_name_that_only_begins_alike_is_another_one() -> None:
    meant = Meant(path=("instances", "work"), reason="x")
    assert not meant.covers(Difference(path=("instances", "workers", "i-2"), before=None, after="vpc-1"))


def test_a_recording_that_shows_nothing_says_of_what() -> None:
    assert set(blanks(world())) == set(World.model_fields) - {"groups", "instances", "nodes", "workloads", "interfaces"}


def test_a_long_value_is_cut_in_the_sentence_and_whole_in_the_difference() -> None:
    long = "x" * 1000
    [found] = differences(world(), world(roles={"nodes": {"own": long}}, parameters={}))
    assert found.after == {"own": long}
    assert len(found.text) < 400
