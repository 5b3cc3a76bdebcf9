"""Aliases to load balancers: what Route 53 takes of them, and how one at the apex of a public zone is moved."""

from __future__ import annotations

from typing import Any

import pytest

from migration.clients import Clients
from migration.contracts.gates import BalancerRef, RecordsInSync, SideRef, TtlsLowered
from migration.contracts.traffic import DnsCutInputs, SideBalancers
from migration.dns.zone import zone_records
from migration.gates import Live, look
from migration.operations import dns
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Retryable
from migration.settings.model import DnsRecord, Name
from tests.lab.aws.conftest import Aws
from tests.lab.aws.test_records import change, own
from tests.lab.plugins.driving import environment
from tests.samples import COMMON

APEX = "pet.example"


@pytest.fixture
def public(aws: Aws) -> str:
    made = aws.dns.create_hosted_zone(Name=APEX, CallerReference="1")
    return made["HostedZone"]["Id"].rsplit("/", 1)[-1]


def alias(balancer: dict[str, Any], **more: Any) -> dict[str, Any]:
    target = {
        "HostedZoneId": balancer["CanonicalHostedZoneId"],
        "DNSName": balancer["DNSName"],
        "EvaluateTargetHealth": True,
    }
    return {"Name": APEX, "Type": "A", "AliasTarget": target, **more}


def test_an_alias_stands_at_the_apex_and_is_deleted_with_all_that_it_has(aws: Aws, old: Any, public: str) -> None:
    record = alias(old.new_balancer("web"))
    change(aws, public, ("CREATE", record))
    assert [one["Type"] for one in own(aws, public)] == ["A"]
    other = {**record, "AliasTarget": {**record["AliasTarget"], "EvaluateTargetHealth": False}}
    with pytest.raises(Exception, match="the values provided do not match the current values"):
        change(aws, public, ("DELETE", other))
    change(aws, public, ("DELETE", record))
    assert own(aws, public) == []


def test_an_alias_with_a_ttl_is_refused(aws: Aws, old: Any, public: str, refuses: Any) -> None:
    record = alias(old.new_balancer("web"), TTL=60)
    message = refuses("InvalidInput", "alias_ttl", lambda: change(aws, public, ("CREATE", record)))
    assert "but found more than one in Change" in message


def test_an_alias_by_another_hosted_zone_is_refused(aws: Aws, old: Any, public: str, refuses: Any) -> None:
    record = alias({**old.new_balancer("web"), "CanonicalHostedZoneId": "Z00000000000000000000"})
    message = refuses("InvalidChangeBatch", "alias_zone", lambda: change(aws, public, ("CREATE", record)))
    assert "the alias target name does not lie within the target zone" in message


def test_an_alias_to_no_balancer_is_refused(aws: Aws, old: Any, public: str, refuses: Any) -> None:
    made = old.new_balancer("web")
    record = alias({**made, "DNSName": f"another-{made['DNSName']}"})
    message = refuses("InvalidChangeBatch", "alias_target", lambda: change(aws, public, ("CREATE", record)))
    assert "that target was not found" in message


def test_an_alias_of_a_balancer_that_is_gone_can_be_deleted(aws: Aws, old: Any, public: str) -> None:
    made = old.new_balancer("web")
    change(aws, public, ("CREATE", alias(made)))
    aws.elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
    change(aws, public, ("DELETE", alias(made)))
    assert own(aws, public) == []


class Clock:
    """Time that passes by sleeping; `waited` are the long sleeps."""

    now = waited = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waited += seconds if seconds > 1 else 0


def test_an_apex_alias_moves_and_comes_back(
    aws: Aws, old: Any, new: Any, public: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(aws.url).items():
        monkeypatch.setenv(name, value)
    was, will = old.new_balancer("web"), new.new_balancer("web-main")
    dual = {**was, "DNSName": f"dualstack.{was['DNSName']}"}
    change(aws, public, ("CREATE", alias(dual)))
    clients, clock = Clients(region="eu-central-1", kubeconfig=None), Clock()
    context = Context(log=print, deadline=Deadline(900, clock, clock.sleep), clients=clients)
    before = zone_records(clients.aws, public)

    def side(name: str, balancer: dict[str, Any]) -> SideBalancers:
        zones = {"ingress": balancer["CanonicalHostedZoneId"]}
        return SideBalancers.named(name, {"ingress": balancer["DNSName"]}, zones)

    record = DnsRecord(
        name=APEX, serves="ingress", type="alias", evaluate_target_health=True, value=dual["DNSName"], zone=public
    )
    asked: dict[str, Any] = {**COMMON, "zone_id": public, "records": (record,), "new_weight": 0, "ttl": 5}
    asked |= {"old": side("legacy", was), "alias_ttl": 60}
    pair = dns.run(DnsCutInputs(**asked, form="pair", new=side("main", will)), None, context)
    assert clock.waited == pytest.approx(60)
    halves = {one["SetIdentifier"]: (one["Weight"], one["AliasTarget"]["DNSName"]) for one in own(aws, public)}
    assert halves == {"legacy": (100, was["DNSName"]), "main": (0, will["DNSName"])}

    def ref(name: str, balancer: dict[str, Any]) -> SideRef:
        one = BalancerRef(arn=balancer["LoadBalancerArn"], dns_name=balancer["DNSName"], target_groups=())
        return SideRef(name=name, suffix="", cidr="10.0.0.0/16", vpc_id="vpc-1", ingress=one, api=one)

    live = Live("pet", context)
    records = (Name.model_validate(record.model_dump(exclude={"ttl"})),)
    in_sync = RecordsInSync(
        old=ref("legacy", was),
        new=ref("main", will),
        zone_id="Z-other",
        records=records,
        ttl=5,
        old_weight=100,
        new_weight=0,
    )
    assert look(in_sync, live) == "1 names lead to legacy with 100 % and to main with 0 %"
    with pytest.raises(Retryable, match=r"pet\.example aren't as wanted yet"):
        look(in_sync.model_copy(update={"old_weight": 50, "new_weight": 50}), live)
    lowered = TtlsLowered(zone_id=public, names=(), ttl=5, aliases={public: (APEX,)})
    assert look(lowered, live) == "0 names have a TTL of 5 s; 1 are aliases, whose answers are kept for 60 s"

    # As stage 1 asks, where the new side has no balancers any more.
    back = DnsCutInputs(**asked, form="original", new=SideBalancers(side="main"), returning=True)
    assert dns.run(back, pair, context).form == "original"
    assert zone_records(clients.aws, public) == before
    assert clock.waited == pytest.approx(120)

    dns.run(DnsCutInputs(**asked, form="pair", new=side("main", will)), None, context)
    dns.run(DnsCutInputs(**asked, form="final", new=side("main", will)), pair, context)
    [ended] = own(aws, public)
    assert ended["AliasTarget"]["DNSName"].rstrip(".") == will["DNSName"]
    assert ended["AliasTarget"]["EvaluateTargetHealth"] is True
    assert "SetIdentifier" not in ended
