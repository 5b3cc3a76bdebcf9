"""How big a lab is: what is asked for, what a cluster that is there keeps, and the memory that it takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab import doctor, profiles
from lab.profiles import LARGE, PROFILES, SMALL
from lab.settings import LabSettings, SettingsError
from lab.up import OF_ONE_AWS


def load(folder: Path, **environ: str) -> LabSettings:
    return LabSettings.load(folder, environ)


def test_nothing_said_is_the_small_profile_as_it_always_was(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.profile, settings.pods, settings.team_pods) == ("small", None, 218)


def test_profile_and_pods_come_from_variables_or_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, LAB_PROFILE="large").team_pods == 4000
    assert load(tmp_path, LAB_PROFILE="large", LAB_PODS="1200").team_pods == 1200
    assert load(tmp_path, LAB_PROFILE="large", LAB_PODS="").team_pods == 4000
    (tmp_path / "lab.json").write_text('{"profile": "large", "pods": 900}')
    assert load(tmp_path).team_pods == 900
    assert load(tmp_path, LAB_PODS="1000").team_pods == 1000


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"LAB_PROFILE": "huge"}, r"LAB_PROFILE='huge': must be one of small, wide, large"),
        ({"LAB_PROFILE": "large", "LAB_PODS": "many"}, r"LAB_PODS='many': must be a number of pods, such as 4000"),
        ({"LAB_PROFILE": "large", "LAB_PODS": "-5"}, r"LAB_PODS='-5': must be a number of pods"),
        ({"LAB_PROFILE": "large", "LAB_PODS": "100000"}, r"LAB_PODS=100000: the 200 nodes .* hold \d+ at most"),
        ({"LAB_PROFILE": "large", "LAB_PODS": "9"}, r"LAB_PODS=9: the 100 applications .* have \d+ pods at least"),
        ({"LAB_PODS": "300"}, r"LAB_PODS=300: profile small has 218 .* large"),
    ],
)
def test_what_can_not_be_is_one_sentence(tmp_path: Path, environ: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load(tmp_path, **environ)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ('{"profile": "huge"}', r"lab\.json: profile='huge': .*must be one of small, wide, large"),
        ('{"profile": "large", "pods": "many"}', r"lab\.json: pods='many'"),
        ('{"profile": "large", "pods": 100000}', r"^pods=100000: the 200 nodes"),
        ('{"pods": 300}', r"^pods=300: profile small has 218"),
    ],
)
def test_the_file_is_judged_alike(tmp_path: Path, file: str, told: str) -> None:
    (tmp_path / "lab.json").write_text(file)
    with pytest.raises(SettingsError, match=told):
        load(tmp_path)


def test_a_cluster_that_is_there_keeps_its_size(tmp_path: Path) -> None:
    load(tmp_path, LAB_PROFILE="large", LAB_PODS="1200").note_built(tmp_path)
    assert (load(tmp_path).profile, load(tmp_path).team_pods) == ("large", 1200)
    assert load(tmp_path, LAB_PROFILE="large", LAB_PODS="1200").team_pods == 1200
    with pytest.raises(SettingsError, match=r"LAB_PROFILE='small'.*profile large: take it down first"):
        load(tmp_path, LAB_PROFILE="small")
    with pytest.raises(SettingsError, match=r"LAB_PODS='4000'.*1200 pods: take it down first"):
        load(tmp_path, LAB_PODS="4000")
    # What is forgotten with its AWS.
    assert {profiles.BUILT, profiles.BUILT_PODS} <= set(OF_ONE_AWS)
    for name in (profiles.BUILT, profiles.BUILT_PODS):
        (tmp_path / name).unlink()
    assert load(tmp_path, LAB_PODS="4000", LAB_PROFILE="large").team_pods == 4000


def test_a_small_cluster_that_is_there_keeps_its_size_too(tmp_path: Path) -> None:
    load(tmp_path).note_built(tmp_path)
    assert load(tmp_path).team_pods == 218
    with pytest.raises(SettingsError, match=r"LAB_PROFILE='large'.*profile small: take it down first"):
        load(tmp_path, LAB_PROFILE="large")


def test_more_pods_need_more_memory() -> None:
    small, large = PROFILES[SMALL], PROFILES[LARGE]
    assert profiles.needed_mb(small, small.pods) == small.memory_mb
    assert profiles.needed_mb(large, large.pods) == large.memory_mb
    assert small.memory_mb < profiles.needed_mb(large, 2000) < large.memory_mb < profiles.needed_mb(large, 10_000)


def test_memory_that_does_not_suffice_is_told_with_what_would_do() -> None:
    needed = PROFILES[LARGE].memory_mb
    assert profiles.short_of_memory(LARGE, 4000, needed) == ""
    told = profiles.short_of_memory(LARGE, 4000, needed - 1)
    assert f"{needed - 1} MB are available" in told and f"needs about {needed}" in told and "profile small" in told
    assert "profile small with 218 pods" in profiles.short_of_memory(SMALL, 218, 100)
    assert "or take" not in profiles.short_of_memory(SMALL, 218, 100)


def test_doctor_asks_for_the_memory_of_the_profile_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path))
    for name in ("LAB_PROFILE", "LAB_PODS"):
        monkeypatch.delenv(name, raising=False)
    small, large = PROFILES[SMALL].memory_mb, PROFILES[LARGE].memory_mb
    assert doctor.memory(small).good
    monkeypatch.setenv("LAB_PROFILE", "large")
    found = doctor.memory(large - 1)
    assert not found.good and f"profile large with 4000 pods may need {large} MB" in found.text
    assert doctor.memory(large).good
    monkeypatch.setenv("LAB_PODS", "10000")
    assert not doctor.memory(large).good
    # A cluster that is there is what will be rehearsed on.
    (tmp_path / profiles.BUILT).write_text(json.dumps(SMALL))
    (tmp_path / profiles.BUILT_PODS).write_text(json.dumps(218))
    assert "profile small with 218 pods" in doctor.memory(large).text


@pytest.mark.parametrize(("name", "value"), [("LAB_PROFILE", "huge"), ("LAB_PODS", "many")])
def test_doctor_says_what_it_was_told_wrongly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path))
    monkeypatch.setenv(name, value)
    found = doctor.memory(8000)
    assert not found.good and f"'{value}'" in found.text
