"""The lab's two sets of times: which counts when, what can't be, and what is drawn from a span."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from lab.addresses import LabAddresses
from lab.aws import records
from lab.aws.world import WORLD
from lab.machines.place import Place
from lab.settings import LabSettings, SettingsError
from lab.timings import AWS, QUICK, TIMINGS, bounds, drawn

LEGACY, MAIN = "127.10.0.7", "127.30.0.7"


def load(folder: Path, text: str = "", **environ: str) -> LabSettings:
    if text:
        (folder / "lab.json").write_text(text)
    return LabSettings.load(folder, environ)


# Which set


def test_the_set_of_aws_is_what_its_table_says_and_quick_is_the_default(tmp_path: Path) -> None:
    assert load(tmp_path) == LabSettings() == load(tmp_path, LAB_TIMING=QUICK)
    asked = load(tmp_path, LAB_TIMING=AWS).model_dump()
    assert {key: asked[key] for key in TIMINGS[AWS]} == TIMINGS[AWS]


def test_every_key_of_a_set_is_one_of_the_settings() -> None:
    for values in TIMINGS.values():
        assert values.keys() <= LabSettings.model_fields.keys()


def test_keys_that_lab_json_gives_come_before_the_set(tmp_path: Path) -> None:
    given = load(tmp_path, '{"timing": "aws", "deregistration_s": 30, "instance_boot_s": [5, 9]}')
    assert (given.deregistration_s, given.instance_boot_s) == (30.0, (5.0, 9.0))
    assert given.metric_period_s == TIMINGS[AWS]["metric_period_s"]


def test_the_variable_comes_before_the_key_and_leaves_nothing_of_the_other_set(tmp_path: Path) -> None:
    quick = load(tmp_path, '{"timing": "aws", "deregistration_s": 30}', LAB_TIMING=QUICK)
    assert quick == LabSettings(deregistration_s=30)


def test_a_cluster_that_is_there_keeps_its_times(tmp_path: Path) -> None:
    load(tmp_path, LAB_TIMING=AWS).note_built(tmp_path)
    assert load(tmp_path).timing == AWS
    with pytest.raises(SettingsError, match=r"LAB_TIMING='quick': the lab in .* has a cluster of timing aws"):
        load(tmp_path, LAB_TIMING=QUICK)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"timing": "slow"}', "timing='slow': Input should be 'quick' or 'aws'"),
        ('{"timing": ["aws"]}', "Input should be 'quick' or 'aws'"),
        ('{"node_join_s": [9, 3]}', "must be seconds from 0 up, or two of them with the shorter one first"),
        ('{"node_join_s": [1, 2, 3]}', "must be seconds from 0 up"),
        ('{"node_join_s": "long"}', "node_join_s='long': Value error, must be seconds from 0 up"),
        ('{"node_join_s": -1}', "must be seconds from 0 up"),
    ],
)
def test_what_can_not_be_is_told_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, text)
    assert said in str(refused.value)
    assert ";" not in str(refused.value)


def test_an_unknown_timing_in_the_environment_is_told_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^LAB_TIMING='slow': Input should be 'quick' or 'aws'$"):
        load(tmp_path, LAB_TIMING="slow")


# What is drawn


def test_a_draw_is_within_its_span_and_the_same_for_the_same_seed_and_subject() -> None:
    def all_of_them() -> list[float]:
        subjects = ((seed, f"127.30.0.{host}") for seed in range(4) for host in range(4, 40))
        return [drawn((240.0, 420.0), seed, "boot", ip) for seed, ip in subjects]

    found = all_of_them()
    assert all(240 <= one <= 420 for one in found)
    assert len(set(found)) == len(found)
    assert found == [
        drawn((240.0, 420.0), seed, "boot", f"127.30.0.{host}") for seed in range(4) for host in range(4, 40)
    ]
    assert min(found) < 260 and max(found) > 400


def test_a_time_that_is_no_span_is_itself() -> None:
    assert drawn(7.5, 3, "boot", "127.30.0.7") == 7.5
    assert (bounds(7.5), bounds((1.0, 2.0))) == ((7.5, 7.5), (1.0, 2.0))


def test_machines_are_slow_where_the_cluster_moves_to_and_quick_where_it_began(tmp_path: Path) -> None:
    place = Place(directory=tmp_path, addresses=LabAddresses(index=0), settings=LabSettings(timing=AWS))
    quick = LabSettings()
    assert (place.boot_s(LEGACY), place.join_s(LEGACY)) == (quick.instance_boot_s, quick.node_join_s)
    assert 240 <= place.boot_s(MAIN) + place.join_s(MAIN) <= 420
    other = Place(directory=tmp_path, addresses=LabAddresses(index=0), settings=LabSettings(timing=AWS, seed=1))
    assert other.boot_s(MAIN) != place.boot_s(MAIN)


def test_only_the_vpcs_that_a_cluster_moves_to_are_moved_to() -> None:
    addresses = LabAddresses(index=3)
    first = {name: str(ipaddress.IPv4Network(cidr)[7]) for name, cidr in addresses.sides.items()}
    assert {name: addresses.moved_to(ip) for name, ip in first.items()} == {"legacy": False, "main": True, "next": True}
    assert not addresses.moved_to(addresses.operator_ip)


def test_each_change_of_route_53_is_pending_for_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    WORLD.reset(LabSettings(timing=AWS))
    monkeypatch.setattr(WORLD, "clock", lambda: now[0])
    try:
        for change in ("/change/C1", "/change/C2"):
            WORLD.changes[change] = {"submitted": now[0], "comment": None}
        seen: dict[str, int] = {}
        for second in range(70):
            now[0] = 1000.0 + second
            for change in WORLD.changes:
                if records._change_info(change)["Status"] == "INSYNC":
                    seen.setdefault(change, second)
        assert all(20 <= second <= 61 for second in seen.values())
        assert len(set(seen.values())) == 2
    finally:
        WORLD.reset()
