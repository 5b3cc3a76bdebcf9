"""How names move between the sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from moto import mock_aws

from migration.clients import Clients
from migration.contracts.traffic import DnsCutInputs, DnsCutResult, SideBalancers
from migration.dns.plan import Form, RecordSet, batch, differing
from migration.dns.wanted import FULL, Weights, weights_at
from migration.dns.zone import zone_records
from migration.operations import dns
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, OutOfTime, Permanent
from migration.settings.model import DnsRecord
from migration.stages import STAGES
from tests.samples import COMMON

API = DnsRecord(name="api.pet.internal", serves="api", ttl=10, value="api-old.elb")
APPS = DnsRecord(name="*.apps.pet.internal", serves="ingress", ttl=60, value="in-old.elb")
OLD = SideBalancers(side="legacy", api="api-old.elb", ingress="in-old.elb")
NEW = SideBalancers(side="main", api="api-new.elb", ingress="in-new.elb")


def simple(name: str, value: str, ttl: int) -> dict[str, Any]:
    return {"Name": name, "Type": "CNAME", "TTL": ttl, "ResourceRecords": [{"Value": value}]}


def weighted(name: str, value: str, side: str, weight: int, ttl: int = 5) -> dict[str, Any]:
    return {**simple(name, value, ttl), "SetIdentifier": side, "Weight": weight}


def plan(present: list[dict[str, Any]], form: Form, *names: DnsRecord, new: int = 0) -> list[tuple[str, Any]]:
    weights = Weights(old=FULL - new, new=new)
    found = batch(present, names or (API,), form, weights=weights, ttl=5, old=OLD, new=NEW)
    return [(change["Action"], change["ResourceRecordSet"]) for change in found]


PAIR = [weighted(API.name, "api-old.elb", "legacy", 100), weighted(API.name, "api-new.elb", "main", 0)]


def test_a_simple_record_becomes_a_weighted_pair_in_one_batch() -> None:
    assert plan([simple("api.pet.internal.", "api-old.elb", 10)], "pair") == [
        ("DELETE", simple("api.pet.internal.", "api-old.elb", 10)),
        ("CREATE", PAIR[0]),
        ("CREATE", PAIR[1]),
    ]


def test_the_wildcard_is_recognized_as_route_53_writes_it() -> None:
    found = plan([simple("\\052.apps.pet.internal.", "in-old.elb.", 60)], "pair", APPS)
    assert [action for action, _ in found] == ["DELETE", "CREATE", "CREATE"]


def test_a_pair_that_is_made_where_traffic_is_shared_begins_with_those_weights() -> None:
    assert plan([simple(API.name, "api-old.elb", 10)], "pair", new=30)[1:] == [
        ("CREATE", weighted(API.name, "api-old.elb", "legacy", 70)),
        ("CREATE", weighted(API.name, "api-new.elb", "main", 30)),
    ]


@pytest.mark.parametrize("weight", [0, 30, 100])
def test_a_pair_that_is_there_keeps_its_weights_which_are_the_stacks_own_records(weight: int) -> None:
    moved = [
        weighted(API.name, "api-old.elb", "legacy", 100 - weight),
        weighted(API.name, "api-new.elb", "main", weight),
    ]
    assert plan(moved, "pair") == []
    assert plan(moved, "pair", new=50) == []


@pytest.mark.parametrize(
    ("stage", "old", "new"), [(2, 100, 0), (3, 100, 0), (4, 70, 30), (5, 0, 100), (6, 0, 100), (7, 0, 100)]
)
def test_the_weights_are_the_placements_of_traffic(stage: int, old: int, new: int) -> None:
    assert weights_at(STAGES[stage], 30) == Weights(old=old, new=new)


def gate(present: Sequence[RecordSet], *, ttl: int = 5) -> list[str]:
    return differing(present, [API], Weights(old=70, new=30), ttl=ttl, old=OLD, new=NEW)


def test_a_name_is_in_sync_only_as_exactly_the_pair_that_is_wanted() -> None:
    pair = [weighted(API.name, "api-old.elb.", "legacy", 70), weighted(API.name, "api-new.elb.", "main", 30)]
    assert gate(pair) == []
    assert gate(PAIR) == [API.name]  # other weights
    assert gate(pair, ttl=60) == [API.name]  # another TTL
    assert gate(pair[:1]) == [API.name]  # half of it
    assert gate([simple(API.name, "api-old.elb", 5)]) == [API.name]
    assert gate([]) == [API.name]
    with pytest.raises(Permanent, match=r"leads to elsewhere\.example"):
        gate([weighted(API.name, "elsewhere.example", "legacy", 70), pair[1]])


def test_what_is_as_wanted_is_left_alone() -> None:
    assert plan(PAIR, "pair") == []
    assert plan([simple("api.pet.internal.", "api-old.elb.", 10)], "original") == []


def test_the_way_back_gives_the_simple_record_back() -> None:
    assert plan(PAIR, "original") == [
        ("DELETE", PAIR[0]),
        ("DELETE", PAIR[1]),
        ("CREATE", simple(API.name, "api-old.elb", 10)),
    ]


def test_a_name_as_it_was_found_is_left_alone_whatever_its_ttl() -> None:
    assert plan([simple("api.pet.internal.", "api-old.elb.", 77)], "original") == []


def test_without_balancers_on_the_new_side_its_half_of_a_pair_is_known_by_its_identifier() -> None:
    gone = SideBalancers(side="main")
    back = batch(PAIR, (API,), "original", weights=Weights(old=100, new=0), ttl=5, old=OLD, new=gone)
    assert [change["Action"] for change in back] == ["DELETE", "DELETE", "CREATE"]
    stranger = [weighted(API.name, "somewhere.elb", "another", 0)]
    with pytest.raises(Permanent, match=r"leads to somewhere\.elb, neither side's"):
        batch(stranger, (API,), "original", weights=Weights(old=100, new=0), ttl=5, old=OLD, new=gone)
    for form in ("pair", "final"):
        with pytest.raises(Permanent, match="side main has no api balancer at this stage"):
            batch([], (API,), form, weights=Weights(old=100, new=0), ttl=5, old=OLD, new=gone)


def test_the_end_leaves_a_simple_record_to_the_new_side() -> None:
    assert plan(PAIR, "final")[-1] == ("CREATE", simple(API.name, "api-new.elb", 10))


def test_half_a_pair_is_completed() -> None:
    assert plan([PAIR[0]], "pair") == [("CREATE", PAIR[1])]


def test_a_record_somebody_else_changed_is_refused() -> None:
    with pytest.raises(Permanent, match=r"leads to elsewhere\.example"):
        plan([simple(API.name, "elsewhere.example", 10)], "pair")
    with pytest.raises(Permanent, match="type A"):
        plan([{"Name": API.name, "Type": "A", "TTL": 1, "ResourceRecords": [{"Value": "10.0.0.1"}]}], "pair")


class Clock:
    """Time that passes only by sleeping; `waited` is what wasn't a pause between two looks."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waited = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if seconds > 1:  # not a pause between two looks
            self.waited += seconds


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Context, str, Clock]]:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        clients, clock = Clients(region="eu-central-1", kubeconfig=None), Clock()
        zone_id = clients.aws.route53.create_hosted_zone(Name="pet.internal", CallerReference="1")["HostedZone"]["Id"]
        for name in (API, APPS):
            record: Any = simple(name.name, str(name.value), name.kept(60))
            clients.aws.route53.change_resource_record_sets(
                HostedZoneId=zone_id, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
            )
        deadline = Deadline(900, clock=clock, sleeper=clock.sleep)
        yield Context(log=lambda _: None, deadline=deadline, clients=clients), zone_id, clock


def inputs(zone_id: str, form: Form, new: int = 0) -> DnsCutInputs:
    return DnsCutInputs(
        **COMMON, zone_id=zone_id, records=(API, APPS), form=form, new_weight=new, ttl=5, old=OLD, new=NEW
    )


def seen(context: Context, zone_id: str) -> dict[tuple[str, str], int]:
    return {
        (record["Name"], record["SetIdentifier"]): record["Weight"]
        for record in zone_records(context.clients.aws, zone_id)
        if "SetIdentifier" in record
    }


def test_lowering_the_ttl_waits_out_the_longest_old_one_once(zone: tuple[Context, str, Clock]) -> None:
    context, zone_id, clock = zone
    first = dns.run(inputs(zone_id, "pair"), None, context)
    assert clock.waited == pytest.approx(60)
    assert first == DnsCutResult(form="pair", ttl=5, changed=("*.apps.pet.internal", "api.pet.internal"))
    second = dns.run(inputs(zone_id, "pair", 50), first, context)
    assert clock.waited == pytest.approx(60)
    assert second == first.model_copy(update={"changed": ()})


def test_going_on_names_that_were_never_a_pair_are_not_looked_at(zone: tuple[Context, str, Clock]) -> None:
    context, _, clock = zone
    going_on = inputs("no-zone", "original")
    assert dns.run(going_on, None, context) == DnsCutResult(form="original", ttl=None, changed=())
    assert clock.waited == 0


DAY = 86_400


def inputs_of_a_day(zone_id: str) -> DnsCutInputs:
    slow = APPS.model_copy(update={"ttl": DAY})
    return inputs(zone_id, "pair").model_copy(update={"records": (API, slow)})


def test_an_old_ttl_of_a_day_is_waited_out_for_a_day_and_whoever_waits_may_be_stopped(
    zone: tuple[Context, str, Clock],
) -> None:
    context, zone_id, clock = zone
    looks: list[float] = []
    patient = replace(
        context,
        deadline=Deadline(900 + DAY, clock=clock, sleeper=clock.sleep),
        alive=lambda: looks.append(clock.now),
    )
    assert dns.run(inputs_of_a_day(zone_id), None, patient).ttl == 5
    assert clock.waited == pytest.approx(DAY)
    assert max(later - earlier for earlier, later in pairwise(looks[1:])) <= 10  # the first is before the change


def test_a_ttl_that_the_deadline_would_cut_is_not_said_to_be_waited_out(zone: tuple[Context, str, Clock]) -> None:
    context, zone_id, clock = zone
    with pytest.raises(OutOfTime, match=r"old TTL of 86400 s can't be waited out in the \d+ s that are left of 900"):
        dns.run(inputs_of_a_day(zone_id), None, context)
    assert clock.waited == 0
    # The names are what they shall be; the next run finds so, and waits.
    patient = replace(context, deadline=Deadline(900 + DAY, clock=clock, sleeper=clock.sleep))
    assert dns.run(inputs_of_a_day(zone_id), None, patient).changed == ()
    assert clock.waited == pytest.approx(DAY)


def test_what_an_earlier_version_waited_out_is_not_waited_out_again(zone: tuple[Context, str, Clock]) -> None:
    context, zone_id, clock = zone
    dns.run(inputs(zone_id, "pair"), None, context)
    kept = {"wanted": "new", "weights": {"legacy": 0, "main": 100}, "ttl": 5, "changed": ["api.pet.internal"]}
    dns.run(inputs(zone_id, "pair"), DnsCutResult.model_validate(kept), context)
    assert clock.waited == pytest.approx(60)


def test_a_second_run_changes_nothing_and_a_killed_one_waits_again(zone: tuple[Context, str, Clock]) -> None:
    context, zone_id, clock = zone
    dns.run(inputs(zone_id, "pair"), None, context)
    before = clock.now
    again = dns.run(inputs(zone_id, "pair"), None, context)
    assert again.changed == ()
    assert clock.now - before >= 60


def test_every_name_is_a_pair_and_ends_simple(zone: tuple[Context, str, Clock]) -> None:
    context, zone_id, _ = zone
    out = dns.run(inputs(zone_id, "pair"), None, context)
    assert set(seen(context, zone_id).values()) == {0, 100}
    assert len(seen(context, zone_id)) == 4
    ended = dns.run(inputs(zone_id, "final", 100), out, context)
    assert (ended.form, ended.ttl) == ("final", None)
    assert seen(context, zone_id) == {}
    values = {
        value["Value"]
        for record in zone_records(context.clients.aws, zone_id)
        if record["Type"] == "CNAME"
        for value in record["ResourceRecords"]
    }
    assert values == {"api-new.elb", "in-new.elb"}
