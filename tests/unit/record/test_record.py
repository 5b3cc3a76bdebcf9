"""The record outside of the stack: who may write what, about which cluster."""

from __future__ import annotations

from typing import Any

import pytest

from migration.clients.aws import Aws
from migration.contracts.record import Record
from migration.runtime.deadline import Permanent
from migration.stages.record import (
    Who,
    begin,
    finish,
    parse,
    read_fixed,
    read_record,
    restore,
    take_over,
    write_fixed,
    write_record,
)

SIDES: dict[str, Any] = {"from_side": "legacy", "to_side": "main", "command": "pulumi up -s stage-{stage}"}


def who(**changes: Any) -> Who:
    known = {"owner": "a", "stack": "s-1", "cluster_uid": "uid-pet", "fresh": False, "alive": lambda: None}
    return Who(**(known | changes))


def recorded(reached: int, tried: int, **changes: Any) -> Record:
    known: dict[str, Any] = {
        "owner": "a",
        "from_side": "legacy",
        "to_side": "main",
        "stack": "s-1",
        "cluster_uid": "uid-pet",
    }
    return Record.model_validate(known | {"reached": reached, "tried": tried} | changes)


def test_a_cluster_never_moved_has_no_record(aws: Aws) -> None:
    assert read_record(aws, "pet") is None


def test_beginning_writes_what_is_tried_and_finishing_what_is_reached(aws: Aws) -> None:
    begin(aws, "pet", 3, who=who(), **SIDES)
    assert read_record(aws, "pet") == recorded(0, 3)
    finish(aws, "pet", 3, who=who())
    assert read_record(aws, "pet") == recorded(3, 3)


def test_beginning_twice_and_finishing_twice_change_nothing(aws: Aws) -> None:
    for _ in range(2):
        begin(aws, "pet", 1, who=who(), **SIDES)
    for _ in range(2):
        finish(aws, "pet", 1, who=who())
    assert begin(aws, "pet", 1, who=who(), **SIDES).reached == 1


def test_an_illegal_stage_is_refused_with_the_next_command(aws: Aws) -> None:
    begin(aws, "pet", 1, who=who(), **SIDES)
    finish(aws, "pet", 1, who=who())
    with pytest.raises(Permanent, match="pulumi up -s stage-2"):
        begin(aws, "pet", 4, who=who(), **SIDES)


def test_a_second_stack_is_refused_until_it_takes_over(aws: Aws) -> None:
    begin(aws, "pet", 1, who=who(), **SIDES)
    with pytest.raises(Permanent, match="driven by a, not by b"):
        begin(aws, "pet", 1, who=who(owner="b"), **SIDES)
    with pytest.raises(Permanent, match="somebody else"):
        finish(aws, "pet", 1, who=who(owner="b"))
    take_over(aws, "pet", "b")
    assert begin(aws, "pet", 1, who=who(owner="b", stack="s-2"), **SIDES).stack == "s-2"


def test_a_stack_of_the_same_name_on_another_backend_is_refused(aws: Aws) -> None:
    begin(aws, "pet", 1, who=who(), **SIDES)
    with pytest.raises(Permanent, match=r"state is s-1, and this one has no state: another backend"):
        begin(aws, "pet", 1, who=who(stack="s-2", fresh=True), **SIDES)
    with pytest.raises(Permanent, match=r"state is s-1, and this one is s-2"):
        begin(aws, "pet", 1, who=who(stack="s-2"), **SIDES)


def test_a_record_of_an_earlier_version_takes_the_identities_of_the_next_up(aws: Aws) -> None:
    write_record(aws, "pet", recorded(5, 5, stack=None, cluster_uid=None), after=0, alive=lambda: None)
    assert begin(aws, "pet", 5, who=who(), **SIDES) == recorded(5, 5)


def test_another_cluster_is_refused_by_its_uid(aws: Aws) -> None:
    begin(aws, "pet", 1, who=who(), **SIDES)
    for act in (
        lambda: begin(aws, "pet", 1, who=who(cluster_uid="uid-twin"), **SIDES),
        lambda: finish(aws, "pet", 1, who=who(cluster_uid="uid-twin")),
    ):
        with pytest.raises(Permanent, match="kube-system has UID uid-twin, that of pet is uid-pet"):
            act()


def test_of_two_that_write_at_once_the_second_sees_that_it_was_not_alone(aws: Aws) -> None:
    begin(aws, "pet", 1, who=who(), **SIDES)

    def meanwhile() -> None:
        aws.ssm.put_parameter(Name="/pet/migration/record", Value="theirs", Overwrite=True)

    with pytest.raises(Permanent, match=r"somebody else between .*version 1.*version 3"):
        write_record(aws, "pet", recorded(1, 2), after=1, alive=meanwhile)


def test_who_lost_the_lease_writes_nothing(aws: Aws) -> None:
    def lost() -> None:
        raise Permanent("the lease is lost")

    with pytest.raises(Permanent, match="lease is lost"):
        begin(aws, "pet", 1, who=who(alive=lost), **SIDES)
    assert read_record(aws, "pet") is None


def test_a_lost_record_is_put_back_once(aws: Aws) -> None:
    restore(aws, "pet", 6, owner="a", from_side="legacy", to_side="main")
    assert read_record(aws, "pet") == recorded(6, 6, stack=None, cluster_uid=None)
    with pytest.raises(Permanent, match="nothing was lost"):
        restore(aws, "pet", 2, owner="a", from_side="legacy", to_side="main")


def test_there_is_nothing_to_take_over_without_a_record(aws: Aws) -> None:
    with pytest.raises(Permanent, match="nothing to take over"):
        take_over(aws, "pet", "b")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"owner":"a","from":"x","to":"y","reached":"1","tried":1}'])
def test_a_parameter_that_is_no_record_is_named(text: str) -> None:
    with pytest.raises(Permanent, match="/pet/migration/record"):
        parse(text, "/pet/migration/record")


def test_fixed_keys_that_somebody_wrote_over_are_named(aws: Aws) -> None:
    assert read_fixed(aws, "pet") is None
    write_fixed(aws, "pet", "theirs", lambda: None)
    with pytest.raises(Permanent, match="/pet/migration/fixed doesn't hold what this program wrote"):
        read_fixed(aws, "pet")
