"""What is read of an exported state, and what is changed of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from migration.recover.state import Deployment, Resource, parse, without_notes
from migration.runtime.deadline import Permanent

VPC = {
    "urn": "urn:pulumi:s::p::migration:network:Side$aws:ec2/vpc:Vpc::main-vpc",
    "custom": True,
    "type": "aws:ec2/vpc:Vpc",
    "inputs": {"cidrBlock": "10.0.0.0/16"},
    "parent": "urn:pulumi:s::p::migration:network:Side::side",
    "provider": "urn:pulumi:s::p::pulumi:providers:aws::default_7_51_1::4a82b487",
    "sourcePosition": "project:///__main__.py#7",
}


def exported(**changes: Any) -> str:
    deployment = {
        "manifest": {"magic": "m"},
        "secrets_providers": {"type": "passphrase", "state": {"salt": "v1:x"}},
        "resources": [],
        "pending_operations": [{"resource": VPC, "type": "creating"}],
        "metadata": {},
    }
    return json.dumps({"version": 3, "deployment": {**deployment, **changes}})


def test_a_note_says_what_by_whom_and_under_which_parent() -> None:
    [note] = parse(exported()).pending_operations
    assert note.type == "creating"
    assert str(note.resource) == "Vpc main-vpc"
    assert note.resource.provider_urn == "urn:pulumi:s::p::pulumi:providers:aws::default_7_51_1"
    assert note.resource.inputs == {"cidrBlock": "10.0.0.0/16"}


def test_a_state_without_anything_has_no_notes() -> None:
    assert parse('{"version": 3, "deployment": {}}') == Deployment()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "isn't understood"),
        ("[]", "isn't understood"),
        ('{"version": 3}', "deployment: Field required"),
        (exported(pending_operations=[{"resource": VPC, "type": "dreaming"}]), "pending_operations.0.type"),
        (exported(pending_operations=[{"type": "creating"}]), "pending_operations.0.resource"),
        ('{"version": 5, "deployment": {}}', "is of version 5, and this program knows 3, 4"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, said: str) -> None:
    with pytest.raises(Permanent, match=said):
        parse(text)


def test_a_value_is_in_no_refusal() -> None:
    with pytest.raises(Permanent) as refused:
        parse(exported(resources=[{"urn": 1, "type": "x", "inputs": "canary"}]))
    assert "canary" not in str(refused.value)


def test_taking_the_notes_away_leaves_everything_else() -> None:
    before, after = json.loads(exported()), json.loads(without_notes(exported()))
    del before["deployment"]["pending_operations"]
    assert after == before


def test_what_is_about_to_be_deleted_is_no_resource_of_that_name() -> None:
    old = Resource(urn="u", type="t", id="1", delete=True)
    assert Deployment(resources=(old,)).find("u") is None
    assert Deployment(resources=(old, Resource(urn="u", type="t", id="2"))).find("u") == Resource(
        urn="u", type="t", id="2"
    )
    assert Deployment(resources=(old,)).holds("1"), "the object is the stack's all the same"


def test_the_accounts_are_those_of_the_arns() -> None:
    def made(kind: str, arn: Any) -> Resource:
        return Resource(urn="u", type=kind, outputs={"arn": arn})

    state = Deployment(
        resources=(
            made("aws:ec2/vpc:Vpc", "arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-1"),
            made("aws:ec2/vpc:Vpc", {"ciphertext": "x"}),
            made("aws:ec2/vpc:Vpc", "arn:aws:s3:::bucket"),
            made("other:x/y:Z", "arn:aws:ec2:eu-central-1:999999999999:vpc/vpc-1"),
        )
    )
    assert state.accounts() == {"123456789012"}
