"""Certificates that end within the migration, aren't valid yet, lack names, or aren't any."""

from __future__ import annotations

from typing import Any

import pytest

from migration.etcd.certificates import Asked, day, end_of, judged
from tests.unit.etcd.issuing import NOW, issued


def wrong(pem: str, *names: str, days: int = 30, authority: bool = False) -> list[str]:
    asked = Asked(what="the API server of a", pem=pem, names=names, authority=authority, cure="renew it")
    return judged(asked, NOW, days)


def test_one_that_lasts_and_has_all_names_is_fine() -> None:
    pem, _ = issued("10.0.0.1", "api.pet", "127.0.0.1")
    assert wrong(pem, "10.0.0.1", "api.pet", "API.pet.") == []


def test_one_that_ends_within_the_horizon_is_named_with_its_day_and_the_cure() -> None:
    pem, _ = issued("api.pet", days=10)
    assert wrong(pem, "api.pet") == [
        "the API server of a: ends too soon: on 2027-01-11 (in 10 days), 30 days are wanted "
        "(migration:limits.certificateDays); renew it"
    ]
    assert wrong(pem, "api.pet", days=10) == []
    assert len(wrong(pem, "api.pet", days=11)) == 1


def test_one_that_has_ended_is_said_to_have() -> None:
    [said] = wrong(issued("api.pet", days=-3)[0])
    assert "ends too soon: on 2026-12-29 (3 days ago)" in said


def test_one_that_is_not_valid_yet_is_refused() -> None:
    [said] = wrong(issued("api.pet", begins=2)[0])
    assert said == "the API server of a: is valid from 2027-01-03 only; renew it"


def test_a_ca_must_last_longer_and_each_of_a_bundle_counts() -> None:
    soon, late = issued(days=60)[0], issued(days=4000)[0]
    assert wrong(soon) == []
    [said] = wrong(late + soon, authority=True)
    assert "on 2027-03-02 (in 60 days), 90 days are wanted (migration:limits.certificateDays × 3 for a CA)" in said
    assert wrong(late, authority=True) == []


@pytest.mark.parametrize(
    ("has", "asked"),
    [
        (("10.0.0.2",), "10.0.0.1"),
        (("10.0.0.1.nip.io",), "10.0.0.1"),
        ((), "api.pet"),  # its common name is just that, and nobody looks there
        (("*.pet",), "a.b.pet"),
        (("*.pet",), "pet"),
        (("xapi.pet",), "api.pet"),
    ],
)
def test_a_name_it_lacks_is_told_with_those_it_has(has: tuple[str, ...], asked: str) -> None:
    pem, _ = issued(*has)
    shown = ", ".join(has) or "no names at all"
    assert wrong(pem, asked) == [f"the API server of a: its certificate lacks {asked} (it has {shown}); renew it"]


def test_a_wildcard_stands_for_one_label() -> None:
    assert wrong(issued("*.pet")[0], "api.pet") == []


@pytest.mark.parametrize("pem", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x"])
def test_what_is_no_certificate_is_refused(pem: str) -> None:
    [said] = wrong(pem)
    assert said.startswith("the API server of a: what is there is no certificate (")


def test_all_that_is_wrong_with_one_is_told_at_once() -> None:
    said: Any = wrong(issued(days=5)[0], "api.pet", "10.0.0.1")
    assert ["ends too soon" in said[0], "lacks api.pet, 10.0.0.1" in said[1], len(said)] == [True, True, 2]


def test_the_first_to_end_of_several() -> None:
    assert day(end_of([issued(days=40)[0], issued(days=20)[0] + issued(days=30)[0]])) == "2027-01-21"
