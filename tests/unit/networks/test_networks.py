"""Which subnets and ranges are chosen."""

from __future__ import annotations

import pytest

from migration.networks import ZoneSubnets, free_range, overlapping, subnet_plan


def test_each_zone_gets_a_private_and_a_public_subnet_by_its_letter() -> None:
    assert subnet_plan("10.20.0.0/16", ["eu-central-1a", "eu-central-1c"], 20) == {
        "eu-central-1a": ZoneSubnets(private="10.20.0.0/20", public="10.20.128.0/20"),
        "eu-central-1c": ZoneSubnets(private="10.20.32.0/20", public="10.20.160.0/20"),
    }


def test_adding_or_reordering_zones_moves_no_other_zone() -> None:
    before = subnet_plan("10.20.0.0/16", ["eu-central-1a", "eu-central-1c"], 20)
    after = subnet_plan("10.20.0.0/16", ["eu-central-1b", "eu-central-1c", "eu-central-1a"], 20)
    assert {zone: after[zone] for zone in before} == before


def test_two_zones_with_one_letter_get_two_places_and_the_first_keeps_its_own() -> None:
    plan = subnet_plan("10.0.0.0/16", ["us-east-1a", "us-east-1-bos-1a"], 20)
    assert plan["us-east-1a"] == subnet_plan("10.0.0.0/16", ["us-east-1a"], 20)["us-east-1a"]
    assert plan["us-east-1-bos-1a"] == ZoneSubnets(private="10.0.16.0/20", public="10.0.144.0/20")


def test_few_places_still_serve_late_letters() -> None:
    assert subnet_plan("10.0.0.0/16", ["eu-central-1c"], 17) == {
        "eu-central-1c": ZoneSubnets(private="10.0.0.0/17", public="10.0.128.0/17")
    }


def test_zones_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="room for 1 zones"):
        subnet_plan("10.0.0.0/16", ["a", "b"], 17)


def test_the_next_free_range_overlaps_nothing() -> None:
    assert free_range(["10.10.0.0/16", "10.11.0.0/17"], near="10.10.0.0/16") == "10.12.0.0/16"
    assert free_range(["127.10.0.0/16"], near="127.10.0.0/16") == "127.11.0.0/16"
    assert free_range(["192.168.0.0/16"], near="192.168.0.0/16") == "10.0.0.0/16"
    assert free_range(["0.0.0.0/0"], near="10.0.0.0/16") is None


def test_overlaps_are_named() -> None:
    assert overlapping("10.0.0.0/16", ["10.0.4.0/24", "10.1.0.0/16"]) == ["10.0.4.0/24"]
