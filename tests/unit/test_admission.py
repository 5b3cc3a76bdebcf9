"""What the program lets register: the record's consent, one stage at a time."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from migration.contracts.gates import BalancerRef
from migration.contracts.record import Record
from migration.settings import Settings
from migration.sides import Side
from migration.stages import admission, stage
from migration.stages.fixed import Fixed, fixed_at, touched
from migration.stages.moves import IllegalMove
from tests.samples import ZONES, configuration, settings


def recorded(monkeypatch: pytest.MonkeyPatch, reached: int, fixed: Fixed | None = None) -> None:
    record = Record(owner="migration/default", from_side="legacy", to_side="main", reached=reached, tried=reached)
    monkeypatch.setattr(admission, "read_record", lambda aws, cluster: record)
    monkeypatch.setattr(admission, "read_fixed", lambda aws, cluster: fixed)
    monkeypatch.setattr(admission, "Clients", lambda **connection: SimpleNamespace(aws=None))
    monkeypatch.setattr(admission, "_new_voters", lambda record, settings, clients: 0)
    monkeypatch.setattr(admission, "refuse_contradiction", lambda record, settings, aws: None)


def test_the_next_stage_is_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, 3)
    assert admission.admit(settings(4), "migration/default").target == 4


@pytest.mark.parametrize("reached", range(1, 7))
def test_a_way_back_is_admitted_one_stage_at_a_time(monkeypatch: pytest.MonkeyPatch, reached: int) -> None:
    recorded(monkeypatch, reached)
    move = admission.admit(settings(reached - 1), "migration/default")
    assert (move.target, move.returning) == (reached - 1, True)
    if reached > 1:
        with pytest.raises(IllegalMove, match=rf"Next legal: .*stage-{reached}.*; or .*stage-{reached - 1}"):
            admission.admit(settings(reached - 2), "migration/default")


def test_nothing_leads_back_from_the_last_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, 8)
    with pytest.raises(IllegalMove, match="reached stage 8"):
        admission.admit(settings(7), "migration/default")


class Groups:
    """Old members' groups with tags; none that is missing."""

    def __init__(self, **tags: str) -> None:
        self.tags = {f"master-{name}.pet": tags.get(name, "") for name in "abc"}

    def groups(self, names: list[str]) -> dict[str, object]:
        return {name: {"Tags": [{"Key": self.tags[name], "Value": "{}"}]} for name in names if name in self.tags}


def with_groups(monkeypatch: pytest.MonkeyPatch, reached: int, groups: Groups) -> None:
    recorded(monkeypatch, reached)
    monkeypatch.setattr(admission, "Clients", lambda **connection: SimpleNamespace(aws=groups))


@pytest.mark.parametrize("moved", [0, 1, 2, 3])
def test_members_may_be_moved_and_moved_back_at_their_stage(monkeypatch: pytest.MonkeyPatch, moved: int) -> None:
    with_groups(monkeypatch, 7, Groups())
    assert admission.admit(settings(7, controlPlaneMoved=moved), "migration/default").settled is True


@pytest.mark.parametrize(
    ("moved", "member", "tag", "turned"),
    [
        (2, "c", "migration:swap", True),
        (2, "c", "migration:swap-back", True),
        (2, "c", "migration:returned", False),
        (2, "a", "migration:swap", False),
        (2, "a", "migration:swap-back", True),
        (2, "a", "migration:returned", True),
    ],
)
def test_what_is_on_its_way_where_it_is_not_wanted_any_more_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, moved: int, member: str, tag: str, turned: bool
) -> None:
    with_groups(monkeypatch, 7, Groups(**{member: tag}))
    found = admission.admit(settings(7, controlPlaneMoved=moved), "migration/default")
    assert (found.returning, found.settled) == (turned, not turned)


@pytest.mark.parametrize(("stage", "moved"), [(7, 2), (6, 3)])
def test_back_to_groups_that_are_gone_is_refused_before_anything_changes(
    monkeypatch: pytest.MonkeyPatch, stage: int, moved: int
) -> None:
    groups = Groups()
    del groups.tags["master-c.pet"]
    with_groups(monkeypatch, 7, groups)
    with pytest.raises(IllegalMove, match=r"members c \(master-c\.pet\) shall be on side legacy.*nothing was changed"):
        admission.admit(settings(stage, controlPlaneMoved=moved), "migration/default")
    assert admission.admit(settings(7), "migration/default").settled is True


def test_a_key_that_must_not_change_is_refused_before_anything_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, 4, fixed_at(settings(4).configuration, stage(4)))
    pools = configuration()["pools"][1:]
    with pytest.raises(IllegalMove, match=r"(?s)1 key\(s\) can't change.*pools\[m5-a\] is gone"):
        admission.admit(settings(5, pools=pools), "migration/default")
    assert admission.admit(settings(5), "migration/default").target == 5


def test_optional_keys_that_came_after_the_record_are_no_change_until_they_say_something() -> None:
    configuration = settings(4).configuration
    written = fixed_at(configuration, stage(4))
    earlier = {key: without_nothing(value) for key, value in written.values.items()}
    assert earlier["api"] != written.values["api"]
    assert touched(Fixed(stage=4, values=earlier), configuration) == []
    said = configuration.model_copy(update={"api": configuration.api.model_copy(update={"server_port": 7443})})
    [told] = touched(Fixed(stage=4, values=earlier), said)
    assert told.startswith("migration:api was ")


def without_nothing(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: without_nothing(item) for key, item in value.items() if item not in (None, [], {})}


def test_a_record_that_contradicts_what_is_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, 5)
    asked: list[int] = []

    def refuse(record: Record, settings: Settings, aws: object) -> None:
        asked.append(record.reached)
        raise IllegalMove("that isn't what is there")

    monkeypatch.setattr(admission, "refuse_contradiction", refuse)
    with pytest.raises(IllegalMove, match="isn't what is there"):
        admission.admit(settings(6), "migration/default")
    assert asked == [5]


def test_a_missing_record_is_not_believed_where_the_new_side_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "read_record", lambda aws, cluster: None)
    monkeypatch.setattr(admission, "read_fixed", lambda aws, cluster: None)
    monkeypatch.setattr(admission, "Clients", lambda **connection: SimpleNamespace(aws=None))
    there = Side(name="main", suffix="-main", cidr="10.1.0.0/16", vpc_id="vpc-new")
    monkeypatch.setattr(admission, "find", lambda aws, cluster, ref: there)
    with pytest.raises(IllegalMove, match=r"but vpc-new is there.*the record was lost.*record --restore STAGE"):
        admission.admit(settings(0), "migration/default")
    monkeypatch.setattr(admission, "find", lambda aws, cluster, ref: replace(there, vpc_id=None))
    assert admission.admit(settings(0), "migration/default").target == 0


def test_sides_that_can_not_be_moved_between_are_refused_before_the_record_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded(monkeypatch, 8)
    back = settings(0, **{"from": "main", "to": "legacy"})
    with pytest.raises(IllegalMove, match="migration:to is legacy, a side that was found"):
        admission.admit(back, "migration/default")


def leaving(stage_number: int) -> Settings:
    made = {"kind": "managed", "cidr": "10.2.0.0/16", "suffix": "-next", "zones": list(ZONES)}
    sides = {"main": configuration()["sides"]["main"], "next": made}
    return settings(stage_number, sides=sides, **{"from": "main", "to": "next"}, retire=[], keep=[])


def with_side(monkeypatch: pytest.MonkeyPatch, side: Side) -> None:
    monkeypatch.setattr(admission, "find", lambda aws, cluster, ref: side)


WHOLE = Side(
    name="main",
    suffix="-main",
    cidr="10.1.0.0/16",
    vpc_id="vpc-main",
    ingress=BalancerRef(arn="arn:i", dns_name="i.elb", target_groups=()),
    api=BalancerRef(arn="arn:a", dns_name="a.elb", target_groups=()),
)


def test_another_migration_begins_at_0_and_what_the_last_one_fixed_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(monkeypatch, 8, fixed_at(settings(8, cluster="other").configuration, stage(8)))
    with_side(monkeypatch, WHOLE)
    assert admission.admit(leaving(0), "migration/default").target == 0
    with pytest.raises(IllegalMove, match=r"begins at 0\. Next legal: stage 0"):
        admission.admit(leaving(1), "migration/default")


@pytest.mark.parametrize(
    ("side", "what"), [(replace(WHOLE, vpc_id=None), "its VPC"), (replace(WHOLE, api=None), "one of its balancers")]
)
def test_a_side_that_is_not_there_is_not_moved_from(monkeypatch: pytest.MonkeyPatch, side: Side, what: str) -> None:
    recorded(monkeypatch, 8)
    with_side(monkeypatch, side)
    with pytest.raises(IllegalMove, match=f"{what} isn't there: nothing can be moved from it"):
        admission.admit(leaving(0), "migration/default")
