"""What of the configuration must not change on the way, and what is said of each key that did."""

from __future__ import annotations

from typing import Any

import pytest

from migration.stages import STAGES
from migration.stages.fixed import fixed_at, packed, touched, unpacked
from tests.samples import configuration, settings

SAMPLE = settings(0).configuration


def changed(**changes: Any) -> Any:
    return settings(0, **changes).configuration


def test_nothing_is_fixed_before_the_network_is_made_and_more_with_every_concern() -> None:
    sizes = [len(fixed_at(SAMPLE, row).values) for row in STAGES]
    assert sizes[0] == 0
    assert 0 < sizes[1] < sizes[2] < sizes[3]


def test_what_was_packed_is_what_is_unpacked_and_fits_into_a_parameter() -> None:
    fixed = fixed_at(SAMPLE, STAGES[3])
    assert unpacked(packed(fixed), "here") == fixed
    assert packed(fixed) == packed(fixed_at(SAMPLE, STAGES[3]))
    pools = [{"name": f"m5-{n}", "group": f"nodes-m5-{n}.pet", "zones": ["eu-central-1a"]} for n in range(72)]
    assert len(packed(fixed_at(changed(pools=pools), STAGES[3]))) < 4096


@pytest.mark.parametrize(
    ("stage", "edit", "said"),
    [
        (1, {"podCidr": "100.66.0.0/16"}, 'podCidr was "100.64.0.0/16" and is "100.66.0.0/16": put it back'),
        (3, {"pools": configuration()["pools"][1:]}, "migration:pools[m5-a] is gone"),
        (2, {"members": [{**m, "address": "10.0.9.9"} for m in configuration()["members"][:1]]}, "members[b] is gone"),
    ],
)  # fmt: skip
def test_a_key_that_was_touched_is_named_with_what_to_do(stage: int, edit: dict[str, Any], said: str) -> None:
    found = touched(fixed_at(SAMPLE, STAGES[stage]), changed(**edit))
    assert any(said in one for one in found), found


def test_a_range_of_the_new_side_and_a_pool_that_is_added_are_named() -> None:
    sides = configuration()["sides"]
    sides["main"]["cidr"] = "10.2.0.0/16"
    assert touched(fixed_at(SAMPLE, STAGES[1]), changed(sides=sides)) == [
        'migration:sides.main.cidr was "10.1.0.0/16" and is "10.2.0.0/16": put it back'
    ]
    pools = [*configuration()["pools"], {"name": "new", "group": "new.pet", "zones": ["eu-central-1a"]}]
    assert touched(fixed_at(SAMPLE, STAGES[4]), changed(pools=pools)) == [
        "migration:pools[new] is new: take it out until the migration is over"
    ]


def test_what_a_stage_has_not_used_yet_may_change() -> None:
    assert touched(fixed_at(SAMPLE, STAGES[2]), changed(pools=configuration()["pools"][1:])) == []
    assert touched(fixed_at(SAMPLE, STAGES[7]), changed(limits={"gateSeconds": 600})) == []


KEYS = {"m5-a": {"image": "ami-0123456789abcdef0", "userData": "the-join-token"}}


def with_keys(**keys: Any) -> Any:
    sides = configuration()["sides"]
    return changed(sides={**sides, "main": {**sides["main"], **keys}})


@pytest.mark.parametrize("stage", [row.number for row in STAGES if row.workers.on_new and not row.finished])
def test_what_a_side_launches_is_fixed_while_pods_move(stage: int) -> None:
    before = fixed_at(SAMPLE, STAGES[stage])
    [said] = touched(before, with_keys(pools=KEYS))
    assert said == "migration:sides.main.pools is new: take it out until the migration is over"
    [said] = touched(fixed_at(with_keys(members={"image": "ami-0123456789abcdef0"}), STAGES[stage]), SAMPLE)
    assert said.startswith("migration:sides.main.members is gone")


@pytest.mark.parametrize("stage", [row.number for row in STAGES if not row.workers.on_new or row.finished])
def test_what_a_side_launches_is_free_when_no_pods_move(stage: int) -> None:
    before = fixed_at(SAMPLE, STAGES[stage])
    assert touched(before, with_keys(pools=KEYS, members={"keyName": "ops"})) == []


def test_after_the_migration_pools_come_and_go() -> None:
    before = fixed_at(SAMPLE, STAGES[8])
    assert touched(before, changed(pools=configuration()["pools"][1:])) == []


def test_user_data_is_told_apart_and_never_kept() -> None:
    first = fixed_at(with_keys(pools=KEYS), STAGES[3])
    assert "the-join-token" not in str(first)
    other = {"m5-a": {**KEYS["m5-a"], "userData": "another-token"}}
    [said] = touched(first, with_keys(pools=other))
    assert "sha256:" in said
    assert "token" not in said
