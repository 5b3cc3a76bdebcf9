"""How names move between the sides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from migration.clients import Clients
from migration.dns.plan import Name, Target, batch
from migration.operations import dns
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent

API = Name(name="api.pet.internal", serves="api", ttl=10, value="api-old.elb")
APPS = Name(name="*.apps.pet.internal", serves="ingress", ttl=60, value="in-old.elb")
OLD = Target(side="legacy", balancers={"api": "api-old.elb", "ingress": "in-old.elb"})
NEW = Target(side="main", balancers={"api": "api-new.elb", "ingress": "in-new.elb"})


def simple(name: str, value: str, ttl: int) -> dict[str, Any]:
    return {"Name": name, "Type": "CNAME", "TTL": ttl, "ResourceRecords": [{"Value": value}]}


def weighted(name: str, value: str, side: str, weight: int, ttl: int = 5) -> dict[str, Any]:
    return {**simple(name, value, ttl), "SetIdentifier": side, "Weight": weight}


def plan(present: list[dict[str, Any]], wanted: Any, *names: Name, percent: int = 30) -> list[tuple[str, Any]]:
    found = batch(present, names or (API,), wanted, new_percent=percent, ttl=5, old=OLD, new=NEW)
    return [(change["Action"], change["ResourceRecordSet"]) for change in found]


PAIR = [weighted(API.name, "api-old.elb", "legacy", 100), weighted(API.name, "api-new.elb", "main", 0)]


def test_a_simple_record_becomes_a_weighted_pair_in_one_batch() -> None:
    assert plan([simple("api.pet.internal.", "api-old.elb", 10)], "old") == [
        ("DELETE", simple("api.pet.internal.", "api-old.elb", 10)),
        ("CREATE", PAIR[0]),
        ("CREATE", PAIR[1]),
    ]


def test_the_wildcard_is_recognized_as_route_53_writes_it() -> None:
    found = plan([simple("\\052.apps.pet.internal.", "in-old.elb.", 60)], "old", APPS)
    assert [action for action, _ in found] == ["DELETE", "CREATE", "CREATE"]


def test_weights_move_without_removing_anything() -> None:
    assert plan(PAIR, "both") == [
        ("UPSERT", weighted(API.name, "api-old.elb", "legacy", 70)),
        ("UPSERT", weighted(API.name, "api-new.elb", "main", 30)),
    ]
    assert plan(PAIR, "new") == [
        ("UPSERT", weighted(API.name, "api-old.elb", "legacy", 0)),
        ("UPSERT", weighted(API.name, "api-new.elb", "main", 100)),
    ]


def test_what_is_as_wanted_is_left_alone() -> None:
    assert plan(PAIR, "old") == []
    assert plan([simple("api.pet.internal.", "api-old.elb.", 10)], "original") == []


def test_the_way_back_gives_the_simple_record_back() -> None:
    assert plan(PAIR, "original") == [
        ("DELETE", PAIR[0]),
        ("DELETE", PAIR[1]),
        ("CREATE", simple(API.name, "api-old.elb", 10)),
    ]


def test_the_end_leaves_a_simple_record_to_the_new_side() -> None:
    assert plan(PAIR, "final")[-1] == ("CREATE", simple(API.name, "api-new.elb", 10))


def test_half_a_pair_is_completed() -> None:
    assert plan([PAIR[0]], "old") == [("CREATE", PAIR[1])]


def test_a_record_somebody_else_changed_is_refused() -> None:
    with pytest.raises(Permanent, match=r"leads to elsewhere\.example"):
        plan([simple(API.name, "elsewhere.example", 10)], "old")
    with pytest.raises(Permanent, match="type A"):
        plan([{"Name": API.name, "Type": "A", "TTL": 1, "ResourceRecords": [{"Value": "10.0.0.1"}]}], "old")


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.long_sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if seconds > 1:  # not a pause between two looks
            self.long_sleeps.append(seconds)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Context, str, Clock]]:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        clients, clock = Clients(region="eu-central-1", kubeconfig=None), Clock()
        zone_id = clients.aws.route53.create_hosted_zone(Name="pet.internal", CallerReference="1")["HostedZone"]["Id"]
        for name in (API, APPS):
            record: Any = simple(name.name, name.value, name.ttl)
            clients.aws.route53.change_resource_record_sets(
                HostedZoneId=zone_id, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
            )
        deadline = Deadline(900, clock=clock, sleeper=clock.sleep)
        yield Context(log=lambda _: None, deadline=deadline, clients=clients), zone_id, clock


def inputs(zone_id: str, wanted: str) -> dict[str, Any]:
    return {
        "zoneId": zone_id,
        "records": [vars(API), vars(APPS)],
        "wanted": wanted,
        "newPercent": 50,
        "ttl": 5,
        "oldName": "legacy",
        "newName": "main",
        "old": OLD.balancers,
        "new": NEW.balancers,
    }


def seen(context: Context, zone_id: str) -> dict[tuple[str, str], int]:
    return {
        (record["Name"], record["SetIdentifier"]): record["Weight"]
        for record in dns.zone_records(context.clients.aws, zone_id)
        if "SetIdentifier" in record
    }


def test_lowering_the_ttl_waits_out_the_longest_old_one_once(zone: tuple[Context, str, Clock]) -> None:
    context, zone_id, clock = zone
    first = dns.run(inputs(zone_id, "old"), None, context)
    assert clock.long_sleeps == [60]
    second = dns.run(inputs(zone_id, "both"), first, context)
    assert clock.long_sleeps == [60]
    assert second["weights"] == {"legacy": 50, "main": 50}


def test_a_second_run_changes_nothing_and_a_killed_one_waits_again(zone: tuple[Context, str, Clock]) -> None:
    context, zone_id, clock = zone
    dns.run(inputs(zone_id, "old"), None, context)
    before = clock.now
    again = dns.run(inputs(zone_id, "old"), None, context)
    assert again["changed"] == []
    assert clock.now - before >= 60


def test_every_name_moves_and_ends_simple(zone: tuple[Context, str, Clock]) -> None:
    context, zone_id, _ = zone
    out: dict[str, Any] | None = None
    for wanted in ("old", "both", "new"):
        out = dns.run(inputs(zone_id, wanted), out, context)
    assert set(seen(context, zone_id).values()) == {0, 100}
    dns.run(inputs(zone_id, "final"), out, context)
    assert seen(context, zone_id) == {}
    values = {
        value["Value"]
        for record in dns.zone_records(context.clients.aws, zone_id)
        if record["Type"] == "CNAME"
        for value in record["ResourceRecords"]
    }
    assert values == {"api-new.elb", "in-new.elb"}
