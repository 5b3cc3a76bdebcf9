"""A pair of weighted records that somebody else made, taken over, shifted and left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.plugins.errors import PluginError
from tests.lab.plugins import making
from tests.lab.plugins.driving import Driver, Made
from tests.lab.plugins.making import new_vpc

NAME = "api.pet.lab.internal"
TYPE = "aws:route53/record:Record"


@pytest.fixture
def zone(driver: Driver) -> str:
    made = driver.client("route53").create_hosted_zone(
        Name="pet.lab.internal",
        CallerReference="test",
        HostedZoneConfig={"PrivateZone": True},
        VPC={"VPCRegion": "eu-central-1", "VPCId": new_vpc(driver, "legacy", 10).id},
    )
    return made["HostedZone"]["Id"].rpartition("/")[2]


@pytest.fixture
def asked(driver: Driver) -> Iterator[list[str]]:
    """What Route 53 is asked to change, and whether the change is waited for."""
    found: list[str] = []

    def change(params: dict[str, Any], **_: Any) -> None:
        actions = [
            c["Action"] + " " + str(c["ResourceRecordSet"].get("Weight")) for c in params["ChangeBatch"]["Changes"]
        ]
        found.append(", ".join(actions))

    def status(parsed: dict[str, Any], **_: Any) -> None:
        found.append(parsed["ChangeInfo"]["Status"])

    events = driver.client("route53").meta.events
    listeners: list[tuple[str, Callable[..., None]]] = [
        ("provide-client-params.route53.ChangeResourceRecordSets", change),
        ("after-call.route53.GetChange", status),
    ]
    for event, listener in listeners:
        events.register(event, listener)
    yield found
    for event, listener in listeners:
        events.unregister(event, listener)


def pair(driver: Driver, zone: str) -> None:
    """What the operation that makes the pair leaves."""
    driver.client("route53").change_resource_record_sets(
        HostedZoneId=zone,
        ChangeBatch={
            "Changes": [
                {
                    "Action": "CREATE",
                    "ResourceRecordSet": {
                        "Name": NAME,
                        "Type": "CNAME",
                        "TTL": 5,
                        "SetIdentifier": side,
                        "Weight": weight,
                        "ResourceRecords": [{"Value": f"{side}.elb.amazonaws.com"}],
                    },
                }
                for side, weight in (("legacy", 100), ("main", 0))
            ]
        },
    )


def main_record(driver: Driver, zone: str, **more: Any) -> Made:
    return driver.create(
        TYPE,
        "main",
        **{
            "zoneId": zone,
            "name": NAME,
            "type": "CNAME",
            "ttl": 5,
            "records": ["main.elb.amazonaws.com"],
            "setIdentifier": "main",
            "weightedRoutingPolicies": [{"weight": 0}],
            "allowOverwrite": True,
            **more,
        },
    )


def live(driver: Driver, zone: str) -> dict[str, int]:
    found = driver.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return {r["SetIdentifier"]: r["Weight"] for r in found if "SetIdentifier" in r}


def test_a_record_that_stands_is_taken_over_only_where_that_is_allowed(
    driver: Driver, zone: str, asked: list[str]
) -> None:
    pair(driver, zone)
    asked.clear()
    with pytest.raises(PluginError, match="it already exists"):
        main_record(driver, zone, allowOverwrite=None)
    assert asked == ["CREATE 0"]
    asked.clear()
    made = main_record(driver, zone)
    assert made.id == f"{zone}_{NAME}_CNAME_main"
    assert asked[0] == "UPSERT 0"
    assert asked[-1] == "INSYNC", "the change is waited for"
    assert live(driver, zone) == {"legacy": 100, "main": 0}


def test_a_weight_changes_in_place_and_reads_back(driver: Driver, zone: str, asked: list[str]) -> None:
    pair(driver, zone)
    made = main_record(driver, zone)
    weight = [{"weight": 50}]
    changes = driver.diff(made, weightedRoutingPolicies=weight).changes
    assert [(c.path, c.kind, c.replace) for c in changes] == [("weightedRoutingPolicies[0].weight", "update", False)]
    asked.clear()
    made = driver.update(made, weightedRoutingPolicies=weight)
    assert (asked[0], asked[-1]) == ("UPSERT 50", "INSYNC")
    assert made.outputs["weightedRoutingPolicies"] == weight
    assert live(driver, zone) == {"legacy": 100, "main": 50}
    refreshed = driver.refresh(made)
    assert refreshed is not None
    assert driver.diff(refreshed, weightedRoutingPolicies=weight).changes == []


def test_a_weighted_alias_is_taken_over_changed_and_read_back(driver: Driver) -> None:
    ground = making.ground_of(driver)
    zone, led = making.zone(ground), making.balancer(ground).outputs
    target = {"name": led["dnsName"], "zoneId": led["zoneId"], "evaluateTargetHealth": True}
    alias: dict[str, Any] = {"type": "A", "ttl": None, "records": None, "aliases": [target]}
    made = main_record(driver, zone, **alias)
    assert made.id == f"{zone}_{NAME}_A_main"
    made = driver.update(made, weightedRoutingPolicies=[{"weight": 50}])
    assert live(driver, zone) == {"main": 50}
    refreshed = driver.refresh(made)
    assert refreshed is not None
    assert refreshed.outputs["aliases"] == [target]
    assert driver.diff(refreshed, weightedRoutingPolicies=[{"weight": 50}]).changes == []
    changed = driver.diff(refreshed, aliases=[{**target, "evaluateTargetHealth": False}]).changes
    assert [(c.path, c.kind, c.replace) for c in changed] == [("aliases[0].evaluateTargetHealth", "update", False)]
    for wrong, said in (
        ({"records": ["x.example"]}, "one of `alias,records` must be specified"),
        ({"ttl": 5}, "conflicts with alias"),
        ({"aliases": None, "records": ["x.example"]}, "all of `records,ttl` must be specified"),
    ):
        # The check before anything is made.
        with pytest.raises(AssertionError, match=re.escape(said)):
            main_record(driver, zone, **{**alias, **wrong})


def test_a_weight_that_somebody_else_set_is_seen(driver: Driver, zone: str) -> None:
    pair(driver, zone)
    made = main_record(driver, zone)
    driver.update(made, weightedRoutingPolicies=[{"weight": 7}])
    refreshed = driver.refresh(made)
    assert refreshed is not None
    assert refreshed.outputs["weightedRoutingPolicies"] == [{"weight": 7}]


def test_another_set_identifier_or_type_is_one_batch_that_leaves_nothing_behind(
    driver: Driver, zone: str, asked: list[str]
) -> None:
    made = main_record(driver, zone)
    assert not any(c.replace for c in driver.diff(made, setIdentifier="blue").changes)
    asked.clear()
    driver.update(made, setIdentifier="blue")
    assert asked[0] == "DELETE 0, CREATE 0"
    assert live(driver, zone) == {"blue": 0}
    assert driver.refresh(made) is None, "the record of the old identifier is gone"


def test_one_that_is_gone_is_reported_and_deleting_it_is_no_error(driver: Driver, zone: str) -> None:
    pair(driver, zone)
    made = main_record(driver, zone)
    driver.delete(made)
    assert live(driver, zone) == {"legacy": 100}, "the other record of the name stays"
    assert driver.refresh(made) is None
    driver.delete(made)


def test_it_is_imported_by_zone_name_type_and_set_identifier(driver: Driver, zone: str) -> None:
    pair(driver, zone)
    found = driver.import_(Made(TYPE, "legacy", "", {}, {}), f"{zone}_{NAME}_CNAME_legacy")
    assert found.inputs == {
        "zoneId": zone,
        "name": NAME,
        "type": "CNAME",
        "ttl": 5,
        "records": ["legacy.elb.amazonaws.com"],
        "setIdentifier": "legacy",
        "weightedRoutingPolicies": [{"weight": 100}],
    }
