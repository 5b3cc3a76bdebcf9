"""The pure parts of `make bench-up`: steps and waits of a log, the floor's resources, sizes, ratios, aims."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from rehearsal.benches.population import KINDS, Population
from rehearsal.benches.state_size import StateSize, measured
from rehearsal.benches.steps import Interval, Seen, Step, changed, kind_of, read_waits, waited
from rehearsal.benches.up import between, parse_groups, refuse_without_memory
from rehearsal.benches.up_rows import Calls, Pair, StageRow, aims, report
from rehearsal.benches.written import Header

GATE, DRAIN = "pulumi-python:dynamic/migration:Gate", "pulumi-python:dynamic/migration:Drain"
VPC = "aws:ec2/vpc:Vpc"
SIZE = StateSize(
    file=1000, resources=10, size=900, operations=1, operations_size=100, largest=(), by_key={}, by_type={}
)


def row(stage: int = 0, groups: int = 12, **more: Any) -> StageRow:
    known: dict[str, Any] = {
        "groups": groups,
        "stage": stage,
        "name": "observe",
        "program": "c0ffee",
        "resources": {"components": 1, "operations": 2, "resources": 3},
        "changes": {"create": 6},
        "up": 12.0,
        "waited": 2.0,
        "floors": (8.0, 9.0, 10.0),
        "previews": (Pair(ours=3.0, floor=2.0),) * 3,
        "again": (Pair(ours=2.0, floor=2.0), Pair(ours=3.0, floor=2.0), Pair(ours=2.4, floor=2.0)),
        "second_up_changes": 0,
        "calls": Calls(by_caller={"kube-vpc-migration-gate": {"ec2:DescribeVpcs": 12}, "lab-aws-plugin": {"x": 99}}),
        "state": SIZE,
    }
    return StageRow(**{**known, **more})


def step(type: str, begin: float, end: float, op: str = "create", name: str = "a") -> Step:
    return Step(type=type, name=name, op=op, begin=begin, end=end)


def event(kind: str, op: str, urn: str, type: str) -> dict[str, Any]:
    return {kind: {"metadata": {"op": op, "urn": urn, "type": type}}}


def test_a_log_tells_steps_and_waits() -> None:
    now = [0.0]
    seen = Seen(lambda: now[0])
    seen(event("resourcePreEvent", "create", "urn:pulumi:s::p::t::gate-before", GATE))
    seen(event("resourcePreEvent", "same", "urn:pulumi:s::p::t::vpc", VPC))
    now[0] = 5.0
    seen({"diagnosticEvent": {"message": "gate before stage 3: waited 3.0 of 4.5 s\n"}})
    seen(event("resOutputsEvent", "same", "urn:pulumi:s::p::t::vpc", VPC))
    seen(event("resOutputsEvent", "create", "urn:pulumi:s::p::t::gate-before", GATE))
    assert seen.steps == [step(GATE, 0.0, 5.0, name="gate-before")]
    assert seen.waits == [Interval(begin=2.0, end=5.0)]
    assert waited(seen.steps, seen.waits) == 3.0


def test_a_drain_is_waiting_as_a_whole_and_once() -> None:
    now = [0.0]
    seen = Seen(lambda: now[0])
    seen(event("resourcePreEvent", "update", "urn:pulumi:s::p::t::legacy-drain", DRAIN))
    now[0] = 9.0
    seen({"diagnosticEvent": {"message": "drain rest: waited 4.0 of 9.0 s"}})
    seen(event("resOutputsEvent", "update", "urn:pulumi:s::p::t::legacy-drain", DRAIN))
    assert waited(seen.steps, seen.waits) == 9.0


def test_a_failed_step_is_one_too() -> None:
    seen = Seen(lambda: 1.0)
    seen(event("resourcePreEvent", "delete", "urn:pulumi:s::p::t::v", VPC))
    seen(event("resOpFailedEvent", "delete", "urn:pulumi:s::p::t::v", VPC))
    assert [one.op for one in seen.steps] == ["delete"]


def test_what_waits_while_something_works_cost_nothing() -> None:
    steps = [step(VPC, 0.0, 10.0), step(VPC, 0.0, 4.0, name="b")]
    waits = [Interval(begin=0.0, end=10.0, type=VPC, name="a")]
    assert waited(steps, waits) == 6.0
    assert waited(steps, []) == 0.0
    # A component works no longer than what is in it.
    whole = step("migration:workers:New", 0.0, 20.0)
    assert waited([*steps, whole], waits) == 6.0
    # Nothing ran: the program was on its way, and nobody waited for anything.
    assert waited([], [Interval(begin=0.0, end=5.0)]) == 0.0


def test_a_resources_overlapping_waits_are_one() -> None:
    steps = [step(VPC, 0.0, 4.0), step(VPC, 0.0, 4.0, name="b")]
    twice = [Interval(begin=0.0, end=3.0, type=VPC, name="a"), Interval(begin=1.0, end=4.0, type=VPC, name="a")]
    assert waited(steps, twice) == 0.0


def test_the_plugins_waits_are_read() -> None:
    text = '{"type": "aws:ec2/vpc:Vpc", "name": "a", "begin": 1.0, "end": 2.0}\n\n'
    assert read_waits(text) == [Interval(begin=1.0, end=2.0, type=VPC, name="a")]


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        ("pulumi:pulumi:Stack", ""),
        ("pulumi:providers:aws", ""),
        (GATE, "operations"),
        ("migration:workers:New", "components"),
        (VPC, "resources"),
        ("kubernetes:core/v1:Namespace", "resources"),
    ],
)
def test_every_type_is_as_much_as_something_of_the_floor(type: str, kind: str) -> None:
    assert kind_of(type) == kind


def test_the_floor_changes_as_much_as_the_program_did() -> None:
    first = Population().after({}, {"components": 1, "operations": 2, "resources": 5})
    assert first.counted == {"components": 1, "operations": 2, "resources": 5}
    changes = changed(
        [
            step(VPC, 0, 1, "delete"),
            step(VPC, 0, 1, "create-replacement"),
            step(VPC, 0, 1, "delete-replaced"),
            step(VPC, 0, 1, "update"),
            step(GATE, 0, 1, "update"),
            step("pulumi:providers:aws", 0, 1, "create"),
        ]
    )
    assert changes == {
        "resources": Counter(delete=2, create=1, update=1),
        "operations": Counter(update=1),
    }
    then = first.after(changes, {"components": 1, "operations": 2, "resources": 4})
    assert then.kinds["operations"] == {"operations-0": 1, "operations-1": 0}
    assert then.kinds["resources"] == {"resources-2": 1, "resources-3": 0, "resources-4": 0, "resources-5": 0}


def test_a_log_that_missed_deletions_leaves_no_resource_too_many() -> None:
    first = Population().after({}, dict.fromkeys(KINDS, 3))
    assert first.after({}, {"components": 3, "operations": 1, "resources": 0}).counted == {
        "components": 3,
        "operations": 1,
        "resources": 0,
    }


def test_a_state_is_measured_by_resource_key_and_type() -> None:
    found = measured(
        [
            {"urn": "urn:pulumi:s::p::t::gate", "type": GATE, "inputs": {"a": "x" * 100}},
            {"urn": "urn:pulumi:s::p::t::vpc", "type": VPC},
        ],
        file=2000,
    )
    assert (found.resources, found.operations, found.each) == (2, 1, 1000.0)
    assert found.largest[0].name == "gate"
    assert next(iter(found.by_key)) == "inputs"
    assert sum(found.by_type.values()) == found.size


def test_a_state_without_its_file_is_not_measured() -> None:
    assert measured([], file=10).each is None
    assert SIZE.model_copy(update={"file": None}).each is None


def test_the_ratio_is_of_what_worked_to_the_floors_middle() -> None:
    one = row()
    assert (one.working, one.up_ratio, one.again_ratio, one.preview_ratio) == (10.0, 10.0 / 9.0, 1.2, 1.5)
    assert one.calls_a_group == 1.0


def test_two_pairs_are_no_three() -> None:
    assert row(again=row().again[:2]).again_ratio is None


@pytest.mark.parametrize(
    "missing",
    [
        {"up": None},
        {"waited": None},
        {"floors": ()},
        {"again": ()},
        {"calls": None},
        {"state": None},
        {"second_up_changes": None},
    ],
)
def test_what_was_not_measured_is_missed(missing: dict[str, Any]) -> None:
    assert all(aim.kept for aim in aims([row()], 12, [0]))
    assert not all(aim.kept for aim in aims([row(**missing)], 12, [0]))


@pytest.mark.parametrize(
    "bad",
    [
        {"up": 30.0},
        {"again": (Pair(ours=4.0, floor=2.0),) * 3},
        {"calls": Calls(by_caller={"kube-vpc-migration": {"ec2:DescribeVpcs": 37}})},
        {"state": StateSize(**{**SIZE.model_dump(), "file": 20_001})},
        {"second_up_changes": 1},
    ],
)
def test_each_aim_can_be_missed(bad: dict[str, Any]) -> None:
    assert [aim.kept for aim in aims([row(**bad)], 12, [0])].count(False) == 1


def test_a_stage_without_a_row_keeps_nothing() -> None:
    assert not any(aim.kept for aim in aims([row()], 12, [1]))


def test_growth_is_of_all_stages_of_both_sizes() -> None:
    rows = [row(stage, groups) for stage in (0, 1) for groups in (12, 72)]
    growth = [aim for aim in aims(rows, 72, [0, 1]) if aim.name.startswith("t(")]
    assert [aim.measured for aim in growth] == [1.0, 1.0, 1.0]
    assert [aim.measured for aim in aims(rows[:-1], 72, [0, 1]) if aim.name.startswith("t(")] == [None] * 3
    assert not [aim for aim in aims(rows, 12, [0, 1]) if aim.name.startswith("t(")]


def test_an_error_is_not_ok_even_where_every_aim_was_kept() -> None:
    header = Header.now("make bench-up")
    assert report(header, [row()], 12, [0], []).ok
    assert not report(header, [row()], 12, [0], ["stage 1: it broke"]).ok


def test_calls_are_those_of_the_window() -> None:
    found = between({"a": {"x": 1, "y": 2}}, {"a": {"x": 3, "y": 2}, "b": {"z": 1}})
    assert found.by_caller == {"a": {"x": 2}, "b": {"z": 1}}


@pytest.mark.parametrize("text", ["", "0", "71", "many", "-12"])
def test_another_size_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(ValueError, match=r"GROUPS=.*must be one of 12, 72"):
        parse_groups(text)


def test_too_little_memory_is_told_before_anything_starts() -> None:
    refuse_without_memory(72, 100_000)
    with pytest.raises(ValueError, match=r"GROUPS=72: memory: 100 MB are available, .* profile wide .* about \d+"):
        refuse_without_memory(72, 100)
