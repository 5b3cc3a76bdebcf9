"""How names that are alias records move: at the apex, beside records of other types, without a TTL of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from migration.clients import Clients
from migration.contracts.gates import TtlsLowered
from migration.contracts.traffic import DnsCutInputs, DnsCutResult, SideBalancers
from migration.dns.plan import Form, batch, differing
from migration.dns.wanted import FULL, Weights
from migration.gates import Live, look
from migration.operations import dns
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable
from migration.settings.model import DnsRecord
from tests import made_up
from tests.samples import COMMON
from tests.unit.dns.test_dns import Clock

APEX = DnsRecord(
    name="pet.example", serves="ingress", type="alias", evaluate_target_health=True, value="dualstack.in-old.elb"
)
API = DnsRecord(name="api.pet.example", serves="api", type="alias", evaluate_target_health=True, value="api-old.elb")
ZONES = {"ingress": "ZELB", "api": "ZELB"}
OLD = SideBalancers(side="legacy", api="api-old.elb", ingress="in-old.elb", zones=ZONES)
NEW = SideBalancers(side="main", api="api-new.elb", ingress="in-new.elb", zones=ZONES)


def alias(value: str, name: str = APEX.name, *, evaluated: bool = True, **more: Any) -> dict[str, Any]:
    target = {"HostedZoneId": "ZELB", "DNSName": value, "EvaluateTargetHealth": evaluated}
    return {"Name": name, "Type": "A", "AliasTarget": target, **more}


def weighted(value: str, side: str, weight: int, **more: Any) -> dict[str, Any]:
    return alias(value, **more, SetIdentifier=side, Weight=weight)


# As the zone lists them, beside what an apex has besides.
BESIDE: list[dict[str, Any]] = [
    {"Name": "pet.example.", "Type": "NS", "TTL": 172_800, "ResourceRecords": [{"Value": "ns-0.awsdns-00.com."}]},
    {"Name": "pet.example.", "Type": "MX", "TTL": 300, "ResourceRecords": [{"Value": "10 mail.example."}]},
]
FOUND = alias("dualstack.in-old.elb.", "pet.example.")
PAIR = [weighted("in-old.elb", "legacy", 100), weighted("in-new.elb", "main", 0)]


def plan(present: list[dict[str, Any]], form: Form, *names: DnsRecord, new: int = 0) -> list[tuple[str, Any]]:
    weights = Weights(old=FULL - new, new=new)
    found = batch([*BESIDE, *present], names or (APEX,), form, weights=weights, ttl=5, old=OLD, new=NEW)
    return [(change["Action"], change["ResourceRecordSet"]) for change in found]


def test_a_simple_alias_becomes_a_weighted_pair_of_aliases_in_one_batch() -> None:
    assert plan([FOUND], "pair") == [("DELETE", FOUND), ("CREATE", PAIR[0]), ("CREATE", PAIR[1])]
    assert plan(PAIR, "pair", new=50) == []
    assert plan([PAIR[0]], "pair") == [("CREATE", PAIR[1])]


def test_the_way_back_and_the_end_give_a_simple_alias_as_it_was() -> None:
    assert plan(PAIR, "original")[-1] == ("CREATE", alias("dualstack.in-old.elb"))
    assert plan(PAIR, "final")[-1] == ("CREATE", alias("in-new.elb"))
    assert plan([FOUND], "original") == []
    assert plan([alias("in-new.elb")], "final") == []


def test_an_alias_that_evaluates_otherwise_is_given_back_as_it_was() -> None:
    assert [action for action, _ in plan([alias("in-old.elb", evaluated=False)], "original")] == ["DELETE", "CREATE"]


def test_health_isnt_evaluated_in_the_apis_pair_and_is_before_and_after() -> None:
    made = plan([alias("api-old.elb", API.name)], "pair", API)[1:]
    assert [one["AliasTarget"]["EvaluateTargetHealth"] for _, one in made] == [False, False]
    after = plan([one for _, one in made], "final", API)
    assert after[-1] == ("CREATE", alias("api-new.elb", API.name))


def gate(present: list[dict[str, Any]]) -> list[str]:
    # As the gate has them: it doesn't know the balancers' zones.
    old, new = (side.model_copy(update={"zones": {}}) for side in (OLD, NEW))
    return differing([*BESIDE, *present], [APEX], Weights(old=70, new=30), ttl=5, old=old, new=new)


def test_a_name_is_in_sync_only_as_exactly_the_pair_that_is_wanted() -> None:
    pair = [weighted("in-old.elb.", "legacy", 70), weighted("in-new.elb.", "main", 30)]
    assert gate(pair) == []
    assert gate(PAIR) == [APEX.name]
    assert gate(pair[:1]) == [APEX.name]
    assert gate([FOUND]) == [APEX.name]
    assert gate([pair[0], weighted("in-new.elb.", "main", 30, evaluated=False)]) == [APEX.name]


def test_a_record_of_another_kind_or_of_somebody_elses_is_refused() -> None:
    with pytest.raises(Permanent, match=r"leads to elsewhere\.elb, neither side's"):
        plan([alias("elsewhere.elb")], "pair")
    address = {"Name": APEX.name, "Type": "A", "TTL": 1, "ResourceRecords": [{"Value": "10.0.0.1"}]}
    with pytest.raises(Permanent, match=r"has a record that is of type A; in .* it is an alias of type A"):
        plan([address], "pair")
    cname = APEX.model_copy(update={"type": "CNAME", "ttl": 60})
    with pytest.raises(Permanent, match=r"of type NS; in migration:traffic\.records it is a CNAME"):
        plan([FOUND], "pair", cname)
    only = API.model_copy(update={"type": "CNAME", "ttl": 60})
    with pytest.raises(Permanent, match=r"an alias to api-old\.elb; in migration:traffic\.records it is a CNAME"):
        plan([alias("api-old.elb", API.name)], "pair", only)


def test_an_alias_isnt_made_without_the_zone_of_its_balancer() -> None:
    bare = NEW.model_copy(update={"zones": {}})
    with pytest.raises(Permanent, match=r"alias to in-new\.elb, and the hosted zone of that name isn't known"):
        batch([FOUND], (APEX,), "pair", weights=Weights(old=100, new=0), ttl=5, old=OLD, new=bare)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Context, str, Clock]]:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws(), made_up.balancers():
        clients, clock = Clients(region="eu-central-1", kubeconfig=None), Clock()
        zone_id = clients.aws.route53.create_hosted_zone(Name="pet.example", CallerReference="1")["HostedZone"]["Id"]
        changes: Any = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": FOUND}]}
        clients.aws.route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=changes)
        deadline = Deadline(900, clock=clock, sleeper=clock.sleep)
        yield Context(log=lambda _: None, deadline=deadline, clients=clients), zone_id, clock


def inputs(zone_id: str, form: Form, *, alias_ttl: int = 60, **more: Any) -> DnsCutInputs:
    return DnsCutInputs(
        **COMMON,
        zone_id=zone_id,
        records=(APEX,),
        form=form,
        new_weight=0,
        ttl=5,
        alias_ttl=alias_ttl,
        old=OLD,
        new=NEW,
        **more,
    )


def test_answers_of_aliases_are_waited_out(zone: tuple[Context, str, Clock]) -> None:
    context, zone_id, clock = zone
    pair = DnsCutResult(form="pair", ttl=5, changed=())
    # It was killed while it waited: the record is as it was found, and the pair's answers are still about.
    back = dns.run(inputs(zone_id, "original", returning=True), pair, context)
    assert (back.form, back.changed, clock.waited) == ("original", (), pytest.approx(60))
    dns.run(inputs(zone_id, "pair", alias_ttl=7), back, context)
    assert clock.waited == pytest.approx(67)
    # Lowered CNAMEs beside it don't shorten that.
    assert inputs(zone_id, "pair").say().endswith("TTL 5 s; pet.example as aliases, kept for 60 s")


def test_ttls_are_lowered_where_each_alias_is_one(zone: tuple[Context, str, Clock]) -> None:
    context, zone_id, _ = zone
    q = TtlsLowered(zone_id=zone_id, names=(), ttl=5, aliases={zone_id: ("pet.example",)})
    live = Live("pet", context)
    assert look(q, live).endswith("1 are aliases, whose answers are kept for 60 s")
    with pytest.raises(Retryable, match=r"www\.pet\.example has no alias record"):
        look(q.model_copy(update={"aliases": {zone_id: ("pet.example", "www.pet.example")}}), live)
