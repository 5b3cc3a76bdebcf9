"""The record outside of the stack: who may write what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from migration.clients.aws import Aws
from migration.contracts.record import Record
from migration.runtime.deadline import Permanent
from migration.stages.record import begin, finish, parse, read_record, take_over

SIDES: dict[str, Any] = {"from_side": "legacy", "to_side": "main", "command": "pulumi up -s stage-{stage}"}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Aws(region="eu-central-1")


def test_a_cluster_never_moved_has_no_record(aws: Aws) -> None:
    assert read_record(aws, "pet") is None


def test_beginning_writes_what_is_tried_and_finishing_what_is_reached(aws: Aws) -> None:
    begin(aws, "pet", 3, owner="a", **SIDES)
    assert read_record(aws, "pet") == Record(owner="a", from_side="legacy", to_side="main", reached=0, tried=3)
    finish(aws, "pet", 3, owner="a")
    assert read_record(aws, "pet") == Record(owner="a", from_side="legacy", to_side="main", reached=3, tried=3)


def test_beginning_twice_and_finishing_twice_change_nothing(aws: Aws) -> None:
    for _ in range(2):
        begin(aws, "pet", 1, owner="a", **SIDES)
    for _ in range(2):
        finish(aws, "pet", 1, owner="a")
    assert begin(aws, "pet", 1, owner="a", **SIDES).reached == 1


def test_an_illegal_stage_is_refused_with_the_next_command(aws: Aws) -> None:
    begin(aws, "pet", 1, owner="a", **SIDES)
    finish(aws, "pet", 1, owner="a")
    with pytest.raises(Permanent, match="pulumi up -s stage-2"):
        begin(aws, "pet", 4, owner="a", **SIDES)


def test_a_second_stack_is_refused_until_it_takes_over(aws: Aws) -> None:
    begin(aws, "pet", 1, owner="a", **SIDES)
    with pytest.raises(Permanent, match="driven by a, not by b"):
        begin(aws, "pet", 1, owner="b", **SIDES)
    with pytest.raises(Permanent, match="somebody else"):
        finish(aws, "pet", 1, owner="b")
    take_over(aws, "pet", "b")
    assert begin(aws, "pet", 1, owner="b", **SIDES).owner == "b"


def test_there_is_nothing_to_take_over_without_a_record(aws: Aws) -> None:
    with pytest.raises(Permanent, match="nothing to take over"):
        take_over(aws, "pet", "b")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"owner":"a","from":"x","to":"y","reached":"1","tried":1}'])
def test_a_parameter_that_is_no_record_is_named(text: str) -> None:
    with pytest.raises(Permanent, match="/pet/migration/record"):
        parse(text, "/pet/migration/record")
