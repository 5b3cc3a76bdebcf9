"""The fate of each note, from what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

from migration.recover.decide import Decision, Fate, decide, import_file, repeatable, unknown_type
from migration.recover.objects import Found
from migration.recover.state import Deployment, Operation, Resource

MARKS = {"migration:cluster": "pet", "migration:role": "vpc"}
OURS = {**MARKS, "Name": "x"}
REMOVE = "aws ec2 delete-vpc --vpc-id {id}"
URN = "urn:pulumi:s::p::migration:network:Side$aws:ec2/vpc:Vpc::main-vpc"


def note(
    kind: str = "aws:ec2/vpc:Vpc",
    inputs: Mapping[str, Any] | None = None,
    type: Literal["creating", "updating", "deleting", "reading", "importing"] = "creating",
    parent: str = "",
    provider: str = "",
) -> Operation:
    resource = Resource(urn=URN, type=kind, inputs=inputs or {}, parent=parent, provider=provider)
    return Operation(resource=resource, type=type)


def fate(found: Sequence[Found], *known: Resource, marks: Mapping[str, str] = MARKS, **more: Any) -> Decision:
    return decide(note(), Deployment(resources=known), found, marks, remove=REMOVE, **more)


def test_what_is_not_there_is_made_by_the_next_up() -> None:
    assert fate([]).fate is Fate.ABSENT


def test_the_one_that_is_there_is_taken_over() -> None:
    decided = fate([Found(id="vpc-1", tags=OURS)])
    assert (decided.fate, decided.id) == (Fate.ADOPT, "vpc-1")
    assert str(decided) == "Vpc main-vpc: was made: vpc-1, taken into the state"


def test_what_can_carry_no_tags_is_told_by_its_place() -> None:
    assert fate([Found(id="rtb-1_10.0.0.0/16")], marks={}).fate is Fate.ADOPT


@pytest.mark.parametrize("tags", [{}, {"migration:cluster": "pet"}, {**OURS, "migration:role": "other"}])
def test_without_all_its_tags_it_may_be_somebody_elses(tags: dict[str, str]) -> None:
    decided = fate([Found(id="vpc-1", tags=tags)])
    assert decided.fate is Fate.UNSURE
    assert "without the tags migration:cluster=pet migration:role=vpc" in decided.why
    assert "aws ec2 delete-vpc --vpc-id vpc-1" in decided.why


def test_no_tags_wanted_is_not_every_tag_welcome() -> None:
    assert fate([Found(id="vpc-1", tags={"Name": "x"})], marks={}).fate is Fate.UNSURE


def test_of_two_somebody_has_to_choose() -> None:
    decided = fate([Found(id="vpc-1", tags=OURS), Found(id="vpc-2", tags=OURS)])
    assert decided.fate is Fate.UNSURE
    assert "there are 2 of it: vpc-1, vpc-2" in decided.why
    assert "aws ec2 delete-vpc --vpc-id vpc-1; aws ec2 delete-vpc --vpc-id vpc-2" in decided.why


def test_what_an_earlier_run_took_over_is_settled() -> None:
    known = Resource(urn=URN, type="aws:ec2/vpc:Vpc", id="vpc-1")
    assert fate([Found(id="vpc-1", tags=OURS)], known).fate is Fate.SETTLED


def test_what_another_resource_is_is_not_it() -> None:
    other = Resource(urn="urn:pulumi:s::p::aws:ec2/vpc:Vpc::other", type="aws:ec2/vpc:Vpc", id="vpc-1")
    assert fate([Found(id="vpc-1", tags=OURS)], other).fate is Fate.ABSENT


def test_a_second_beside_the_one_in_the_state_is_named() -> None:
    known = Resource(urn=URN, type="aws:ec2/vpc:Vpc", id="vpc-1")
    decided = fate([Found(id="vpc-1", tags=OURS), Found(id="vpc-2", tags=OURS)], known)
    assert decided.fate is Fate.UNSURE
    assert "vpc-2 was made, and the state has another, vpc-1" in decided.why
    assert "delete-vpc --vpc-id vpc-2" in decided.why and "vpc-id vpc-1" not in decided.why


def test_a_replacement_that_made_nothing_is_settled() -> None:
    assert fate([], Resource(urn=URN, type="aws:ec2/vpc:Vpc", id="vpc-1")).fate is Fate.SETTLED


def test_one_that_waits_for_its_deletion_is_not_the_one_in_the_state() -> None:
    old = Resource(urn=URN, type="aws:ec2/vpc:Vpc", id="vpc-1", delete=True)
    assert fate([Found(id="vpc-1", tags=OURS), Found(id="vpc-2", tags=OURS)], old).id == "vpc-2"


def test_what_is_better_made_again_is_deleted_unless_it_is_used() -> None:
    found = [Found(id="lt-1", tags=OURS)]
    assert fate(found, removable=True).fate is Fate.REMOVE
    used = fate(found, removable=True, used=["pet-m5"])
    assert used.fate is Fate.UNSURE
    assert "pet-m5 uses it already" in used.why


def test_a_command_may_need_the_inputs_too() -> None:
    rule = note("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", {"securityGroupId": "sg-1"})
    remove = "revoke --group-id {securityGroupId} --security-group-rule-ids {id}"
    decided = decide(rule, Deployment(), [Found(id="sgr-1", tags={})], MARKS, remove=remove)
    assert "revoke --group-id sg-1 --security-group-rule-ids sgr-1" in decided.why


@pytest.mark.parametrize("type", ["updating", "deleting", "reading", "importing"])
def test_whatever_was_not_a_create_is_looked_at_by_the_next_up(type: Any) -> None:
    assert repeatable(note(type=type)) == f"was interrupted while {type}; the next up looks at it again"


@pytest.mark.parametrize(
    ("kind", "inputs", "may"),
    [
        ("pulumi-python:dynamic/migration:Gate", {}, True),
        ("pulumi:providers:kubernetes", {}, True),
        ("kubernetes:core/v1:ConfigMap", {}, True),
        ("aws:iam/rolePolicy:RolePolicy", {}, True),
        ("aws:ec2/peeringConnectionOptions:PeeringConnectionOptions", {}, True),
        ("aws:route53/record:Record", {"allowOverwrite": True}, True),
        ("aws:route53/record:Record", {}, False),
        ("aws:ec2/vpc:Vpc", {}, False),
        ("aws:s3/bucket:Bucket", {}, False),
    ],
)
def test_only_what_makes_no_second_object_is_simply_made_again(kind: str, inputs: dict[str, Any], may: bool) -> None:
    assert (repeatable(note(kind, inputs)) is not None) is may


def test_a_type_that_nobody_knows_how_to_look_for_is_somebodys_to_look_at() -> None:
    decided = unknown_type(note("aws:s3/bucket:Bucket"))
    assert decided.fate is Fate.UNSURE
    assert "aws:s3/bucket:Bucket is no type" in decided.why


def test_the_engine_is_told_each_ones_parent_and_provider() -> None:
    parent, provider = "urn:pulumi:s::p::migration:network:Side::side", "urn:pulumi:s::p::pulumi:providers:aws::d"
    one = Decision(operation=note(parent=parent, provider=f"{provider}::4a82"), fate=Fate.ADOPT, id="vpc-1")
    bare = Decision(operation=note(), fate=Fate.ADOPT, id="vpc-2")
    assert import_file([one, one, bare]) == {
        "nameTable": {"n0": parent, "n1": provider},
        "resources": [
            {"type": "aws:ec2/vpc:Vpc", "name": "main-vpc", "id": "vpc-1", "parent": "n0", "provider": "n1"},
            {"type": "aws:ec2/vpc:Vpc", "name": "main-vpc", "id": "vpc-1", "parent": "n0", "provider": "n1"},
            {"type": "aws:ec2/vpc:Vpc", "name": "main-vpc", "id": "vpc-2"},
        ],
    }
