"""Names on their way back, on an AWS as strict about record sets as the real one."""

from __future__ import annotations

from typing import Any

import pytest

from migration.clients import Clients
from migration.contracts.traffic import DnsCutInputs, SideBalancers
from migration.dns.zone import zone_records
from migration.operations import dns
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline
from migration.settings.model import DnsRecord
from tests.lab.aws.conftest import Aws
from tests.lab.plugins.driving import environment
from tests.samples import COMMON

NAMES = (
    DnsRecord(name="api.pet.internal", serves="api", ttl=10, value="api-old.elb"),
    DnsRecord(name="*.apps.pet.internal", serves="ingress", ttl=60, value="in-old.elb"),
)
OLD = SideBalancers(side="legacy", api="api-old.elb", ingress="in-old.elb")
NEW = SideBalancers(side="main", api="api-new.elb", ingress="in-new.elb")


class Clock:
    """Time that passes by sleeping; `waited` are the long sleeps."""

    now = waited = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waited += seconds if seconds > 1 else 0


def test_names_are_as_they_were_found_and_the_pairs_ttl_is_waited_out(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(aws.url).items():
        monkeypatch.setenv(name, value)
    zone = aws.dns.create_hosted_zone(Name="pet.internal", CallerReference="1")["HostedZone"]["Id"]
    simple: list[Any] = [
        {"Name": one.name, "Type": "CNAME", "TTL": one.ttl, "ResourceRecords": [{"Value": one.value}]} for one in NAMES
    ]
    changes: Any = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record} for record in simple]}
    aws.dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=changes)
    clients, clock = Clients(region="eu-central-1", kubeconfig=None), Clock()
    context = Context(log=print, deadline=Deadline(900, clock, clock.sleep), clients=clients)
    before = zone_records(clients.aws, zone)

    asked: dict[str, Any] = {**COMMON, "zone_id": zone, "records": NAMES, "new_weight": 0, "ttl": 5, "old": OLD}
    pair = dns.run(DnsCutInputs(**asked, form="pair", new=NEW), None, context)
    assert zone_records(clients.aws, zone) != before
    clock.waited = 0
    # As stage 1 asks, where the new side has no balancers any more.
    back = DnsCutInputs(**asked, form="original", new=SideBalancers(side="main"), returning=True)
    done = dns.run(back, pair, context)
    assert done.form == "original"
    assert zone_records(clients.aws, zone) == before
    assert clock.waited == pytest.approx(5)
    # A run that was killed while it waited left the pair in the state: the same up waits again, and then no more.
    dns.run(back, pair, context)
    assert clock.waited == pytest.approx(10)
    dns.run(back, done, context)
    assert clock.waited == pytest.approx(10)
