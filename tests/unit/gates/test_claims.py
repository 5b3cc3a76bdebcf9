"""Names that external-dns claims, in a zone and in a cluster, before stage 2 and before stage 8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from migration.clients.kubernetes import Kind
from migration.contracts.gates import BalancerRef, NamesUnclaimed, SideRef
from migration.dns.ownership import owners
from migration.gates import Live, look
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent

HOSTNAME = "external-dns.alpha.kubernetes.io/hostname"
IDENTIFIER = "external-dns.alpha.kubernetes.io/set-identifier"
MARK = '"heritage=external-dns,external-dns/owner=prod,external-dns/resource=service/shop/web"'


def txt(name: str, value: str = MARK) -> dict[str, Any]:
    return {"Name": f"{name}.", "Type": "TXT", "TTL": 300, "ResourceRecords": [{"Value": value}]}


def balancer(name: str) -> BalancerRef:
    return BalancerRef(arn=f"arn:x:loadbalancer/net/{name}/1", dns_name=f"{name}.elb.example", target_groups=("tg",))


@dataclass
class World:
    """A zone with one name, and a cluster with nothing in it."""

    records: list[dict[str, Any]] = field(default_factory=list)
    objects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def route53(self) -> Any:
        pages = [{"ResourceRecordSets": self.records}]
        return SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=lambda **__: pages))

    def list(self, kind: Kind, **_: Any) -> list[dict[str, Any]]:
        return self.objects.get(kind.plural, [])

    def ask(self, external_dns: Any = "refuse", **when: Any) -> str:
        clients: Any = SimpleNamespace(aws=self, kubernetes=self)
        old = SideRef(
            name="legacy", suffix="", cidr="10.0.0.0/16", vpc_id="vpc-1", ingress=balancer("web"), api=balancer("api")
        )
        records = {"Z1": ("*.apps.pet.example", "shop.pet.example")}
        told: dict[str, Any] = {"last": False, **when}
        question = NamesUnclaimed(old=old, records=records, external_dns=external_dns, **told)
        return look(question, Live("pet", Context(log=lambda _: None, deadline=Deadline(5), clients=clients)))


def made(name: str = "web", **annotations: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name, "annotations": annotations}, "spec": {}, "status": {}}


def deployment(replicas: int) -> dict[str, Any]:
    containers = [{"image": "registry.k8s.io/external-dns/external-dns:v0.20.0"}]
    spec = {"replicas": replicas, "template": {"spec": {"containers": containers}}}
    return {"metadata": {"namespace": "kube-system", "name": "external-dns"}, "spec": spec}


def test_names_of_nobody_else_are_free() -> None:
    other = {"services": [made(**{HOSTNAME: "mail.pet.example"})], "deployments": [deployment(1)]}
    assert World([txt("cname-mail.pet.example")], other).ask() == "nobody claims any of 2 names"


CLAIMS: list[tuple[str, Callable[[World], object], str]] = [
    ("a mark", lambda w: w.records.append(txt("shop.pet.example")), "shop.pet.example (external-dns prod, by its TXT"),
    (
        "a mark by type",
        lambda w: w.records.append(txt("cname-shop.pet.example")),
        "shop.pet.example (external-dns prod",
    ),
    (
        "a Service",
        lambda w: w.objects.update(services=[made(**{HOSTNAME: "x.example, shop.pet.example"})]),
        "shop.pet.example (Service shop/web)",
    ),
    (
        "an Ingress",
        lambda w: w.objects.update(ingresses=[{**made(), "spec": {"rules": [{"host": "shop.pet.example"}]}}]),
        "shop.pet.example (Ingress shop/web)",
    ),
]


@pytest.mark.parametrize(("claim", "said"), [one[1:] for one in CLAIMS], ids=[one[0] for one in CLAIMS])
def test_a_claimed_name_is_refused_until_it_is_said_how(claim: Callable[[World], object], said: str) -> None:
    world = World()
    claim(world)
    with pytest.raises(Permanent) as caught:
        world.ask()
    assert said in str(caught.value)
    assert "set migration:traffic.externalDns to paused" in str(caught.value)
    assert world.ask("paused") == "1 names are external-dns's, which is paused"


def test_paused_is_looked_at() -> None:
    world = World([txt("shop.pet.example")], {"deployments": [deployment(1)]})
    with pytest.raises(Permanent, match=r"is paused, but Deployment kube-system/external-dns runs 1 of it"):
        world.ask("paused")
    world.objects["deployments"] = [deployment(0)]
    assert world.ask("paused").endswith("paused")


def test_at_the_beginning_the_configuration_must_say_how_and_nothing_be_done_yet() -> None:
    world = World([txt("shop.pet.example")], {"deployments": [deployment(1)]})
    with pytest.raises(Permanent, match=r"external-dns claims shop\.pet\.example"):
        world.ask(first=True)
    assert world.ask("paused", first=True).endswith("which is paused; it must be so from stage 2 on")


def test_set_identifiers_are_looked_for() -> None:
    world = World(objects={"services": [made(**{HOSTNAME: "shop.pet.example"})]})
    with pytest.raises(Permanent, match=f"Service shop/web has no annotation {IDENTIFIER}"):
        world.ask("set-identifiers")
    world.objects["services"] = [made(**{HOSTNAME: "shop.pet.example", IDENTIFIER: "legacy"})]
    assert world.ask("set-identifiers").endswith("set-identifiers")


def test_before_the_end_no_object_may_lead_a_name_back_to_the_old_side() -> None:
    stale = made(**{HOSTNAME: "shop.pet.example"})
    stale["status"] = {"loadBalancer": {"ingress": [{"hostname": "web.elb.example"}]}}
    world = World(objects={"services": [stale]})
    assert world.ask("paused").endswith("paused")
    with pytest.raises(Permanent, match=r"Service shop/web says web\.elb\.example of the old side"):
        world.ask("paused", last=True)
    world.objects["services"] = [
        made(**{HOSTNAME: "shop.pet.example", "external-dns.alpha.kubernetes.io/target": "web.elb.example"})
    ]
    with pytest.raises(Permanent, match="correct its status or its annotation"):
        world.ask("paused", last=True)
    stale["status"] = {"loadBalancer": {"ingress": [{"hostname": "new.elb.example"}]}}
    world.objects["services"] = [stale]
    assert world.ask("paused", last=True).endswith("paused")


def test_only_marks_of_external_dns_are_marks() -> None:
    assert owners([txt("a.example", '"v=spf1 -all"'), txt("b.example", '"heritage=external-dns"')]) == {
        "b.example": "unnamed"
    }
    assert owners([txt("a-b.example")]) == {"a-b.example": "prod", "b.example": "prod"}


def test_a_carried_service_becomes_a_node_port_and_says_where_its_names_lead() -> None:
    target = "external-dns.alpha.kubernetes.io/target"
    mine = made(**{HOSTNAME: "shop.pet.example"})
    mine["status"] = {"loadBalancer": {"ingress": [{"hostname": "web.elb.example"}]}}
    world = World(objects={"services": [mine]})
    with pytest.raises(Permanent, match=f"Service shop/web becomes a NodePort, .* annotation {target}"):
        world.ask("paused", last=True, carried=("shop/web",))
    mine["metadata"]["annotations"][target] = "new.elb.example"
    assert world.ask("paused", last=True, carried=("shop/web",)).endswith("paused")


def test_records_that_lead_to_the_old_side_are_named_at_the_end() -> None:
    pair = {"Name": "shop.pet.example.", "Type": "CNAME", "ResourceRecords": [{"Value": "web.elb.example"}]}
    alias = {"Name": "www.pet.example.", "Type": "A", "AliasTarget": {"DNSName": "dualstack.web.elb.example."}}
    world = World([{**pair, "SetIdentifier": "legacy"}])
    assert world.ask(last=True) == "nobody claims any of 2 names"
    world.records += [alias]
    assert world.ask() == "nobody claims any of 2 names"
    with pytest.raises(Permanent, match=r"record A www\.pet\.example of zone Z1 leads to dualstack\.web"):
        world.ask(last=True)
    world.records = [pair]
    with pytest.raises(Permanent, match=r"record CNAME shop\.pet\.example"):
        world.ask(last=True)
