"""What stands in front of the old side, against the configuration: on real answers of AWS (moto's)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from migration.balancing.read import read
from migration.clients.aws import Aws, Target
from migration.clients.kubernetes import Kind
from migration.contracts.gates import BalancerRef, SideRef, TrafficCarried
from migration.gates import Live, look
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from migration.settings.balancers import ServiceKeys
from migration.settings.forms import plain_api, plain_form
from migration.settings.model import Limits
from tests.unit.balancing.places import REGION, Account, account

LIMITS = Limits()


@dataclass
class World:
    """An ingress and an API balancer as the program would make them, a zone, and a cluster with Services."""

    here: Account
    services: list[dict[str, Any]] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    ingress: tuple[str, str] = ("", "")
    api: tuple[str, str] = ("", "")
    group: str = ""
    zone: str = ""

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "HealthCheckIntervalSeconds": 10,
            "HealthyThresholdCount": 2,
            "UnhealthyThresholdCount": 2,
        }
        made = [self.here.balancer(name) for name in ("web", "api")]
        self.ingress, self.api = made
        self.group, servers = self.here.group("web", 30080, **checked), self.here.group("api", 6443, **checked)
        for (arn, _), port, group in zip(made, (80, 6443), (self.group, servers), strict=True):
            self.here.attributes(group, deregistration_delay__timeout_seconds="120")
            self.here.listener(arn, port, group)
            pair = {"Key": "load_balancing.cross_zone.enabled", "Value": "true"}
            self.here.elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[pair])
        route53: Any = self.here.aws.route53
        self.zone = route53.create_hosted_zone(
            Name="pet.example",
            CallerReference="1",
            VPC={"VPCRegion": REGION, "VPCId": self.here.vpc},
            HostedZoneConfig={"PrivateZone": True},
        )["HostedZone"]["Id"].rpartition("/")[2]
        self.record("apps.pet.example", self.ingress[1])
        self.record("api.pet.example", self.api[1])

    def record(self, name: str, value: str, **more: Any) -> None:
        given: Any = {"Name": name, "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": value}], **more}
        batch: Any = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": given}]}
        self.here.aws.route53.change_resource_record_sets(HostedZoneId=self.zone, ChangeBatch=batch)

    def list(self, kind: Kind, **_: Any) -> list[dict[str, Any]]:
        return self.services if kind.plural == "services" else []

    def question(self, **changes: Any) -> TrafficCarried:
        def ref(made: tuple[str, str], group: str) -> BalancerRef:
            return BalancerRef(arn=made[0], dns_name=made[1], target_groups=(group,))

        old = SideRef(
            name="legacy",
            suffix="",
            cidr="10.10.0.0/16",
            vpc_id=self.here.vpc,
            ingress=ref(self.ingress, self.group),
            api=ref(self.api, "arn:x"),
        )
        said: dict[str, Any] = {
            "old": old,
            "worker_groups": (),
            "ingress": {"ingress": plain_form(80, 30080, LIMITS)},
            "api": plain_api(LIMITS),
            "described": (),
            "retired": (self.ingress[0],),
            "records": {self.zone: ("apps.pet.example", "api.pet.example")},
            "services": "refuse",
        }
        return TrafficCarried(**{**said, **changes})

    def ask(self, **changes: Any) -> str:
        clients: Any = SimpleNamespace(aws=self.here.aws, kubernetes=self)
        context = Context(log=lambda _: None, deadline=Deadline(5), clients=clients)
        return look(self.question(**changes), Live("pet", context))

    def refused(self, **changes: Any) -> list[str]:
        with pytest.raises(Permanent) as caught:
            self.ask(**changes)
        return str(caught.value).split("; load balancer ")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with account(monkeypatch) as here:
        yield World(here)


def test_what_is_made_without_a_description_is_carried_as_it_is(world: World) -> None:
    assert world.ask() == "2 balancers and 2 names are carried"


def test_what_isnt_in_the_configuration_is_refused_all_at_once(world: World) -> None:
    here = world.here
    here.listener(world.ingress[0], 443, here.group("tls", 30443))
    here.attributes(world.group, proxy_protocol_v2__enabled="true")
    here.elb.modify_load_balancer_attributes(
        LoadBalancerArn=world.ingress[0], Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}]
    )
    here.listener(world.api[0], 8443, here.group("second", 6444))
    said = "\n".join(world.refused())
    assert "web: listeners[443] is TCP to 30443/TCP, and the copy would have none: describe it in" in said
    assert "web: groups[30080/TCP].attributes[proxy_protocol_v2.enabled] is true, and the copy would have none" in said
    assert "web: deletion_protection.enabled is true: the last stage deletes this balancer" in said
    assert "api: its listeners lead to ports 6443, 6444: one port of the API servers is carried" in said
    assert "api: ports[8443] is TCP, and the copy would have none: describe it in migration:api.balancer" in said


def test_a_description_may_differ_but_not_lack_a_listener(world: World) -> None:
    here = world.here
    here.listener(world.ingress[0], 443, here.group("tls", 30443))
    form = read(here.aws, world.ingress[0]).form
    whole = {"ingress": {"ingress": form}, "described": ("ingress",)}
    assert world.ask(**whole) == "2 balancers and 2 names are carried"
    other = form.model_copy(update={"attributes": {}})
    assert "copies differ in web attributes[load_balancing.cross_zone.enabled], as configured" in world.ask(
        ingress={"ingress": other}, described=("ingress",)
    )
    lacking = form.model_copy(update={"listeners": form.listeners[:1]})
    [said] = world.refused(ingress={"ingress": lacking}, described=("ingress",))
    assert said.startswith("load balancer web: listeners[443] is TCP to 30443/TCP, and the copy would have none")


def test_a_balancer_before_the_workers_that_isnt_configured_is_refused(world: World) -> None:
    here = world.here
    arn, _ = here.balancer("second")
    group = here.group("second", 30090)
    here.listener(arn, 80, group)
    assert world.ask(worker_groups=("nodes",)).startswith("2 balancers")
    client: Any = here.aws.autoscaling
    client.create_launch_configuration(LaunchConfigurationName="x", ImageId="ami-12c6146b", InstanceType="m5.large")
    client.create_auto_scaling_group(
        AutoScalingGroupName="nodes",
        LaunchConfigurationName="x",
        MinSize=0,
        MaxSize=0,
        VPCZoneIdentifier=here.subnets[0],
        TargetGroupARNs=[group],
    )
    [said] = world.refused(worker_groups=("nodes",))
    assert said.startswith("load balancer second sends to workers of side legacy and isn't carried: add it to")


def test_names_that_cant_move_or_arent_configured_are_refused(world: World) -> None:
    world.record("shop.pet.example", world.ingress[1])
    world.record("old.pet.example", world.ingress[1], SetIdentifier="blue", Weight=10)
    alias(world, "www.pet.example")
    mark = '"heritage=external-dns,external-dns/owner=prod,external-dns/resource=service/ingress/ingress"'
    world.record("cname-shop.pet.example", mark, Type="TXT")
    with pytest.raises(Permanent) as caught:
        world.ask()
    said = str(caught.value)
    assert "CNAME shop.pet.example of zone pet.example" in said
    assert "leads to web and isn't carried (external-dns prod owns it): add it to migration:traffic.records" in said
    assert "leads to web with a policy of its own (set identifier blue)" in said
    assert "A www.pet.example of zone pet.example" in said
    assert "leads to web and isn't carried: add it to migration:traffic.records as an alias" in said


def alias(world: World, name: str, *, evaluated: bool = False, type_: str = "A") -> None:
    found: Any = world.here.elb.describe_load_balancers(LoadBalancerArns=[world.ingress[0]])["LoadBalancers"]
    zone = found[0]["CanonicalHostedZoneId"]
    target = {"HostedZoneId": zone, "DNSName": f"dualstack.{world.ingress[1]}.", "EvaluateTargetHealth": evaluated}
    given: Any = {"Name": name, "Type": type_, "AliasTarget": target}
    batch: Any = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": given}]}
    world.here.aws.route53.change_resource_record_sets(HostedZoneId=world.zone, ChangeBatch=batch)


def carrying(world: World, *, evaluated: bool | None = None) -> dict[str, Any]:
    """What is asked where the apex moves, too; `evaluated`: as an alias."""
    names = {world.zone: ("apps.pet.example", "api.pet.example", "pet.example")}
    aliases = {} if evaluated is None else {world.zone: {"pet.example": evaluated}}
    return {"records": names, "aliases": aliases}


def test_an_alias_is_carried_as_it_is(world: World) -> None:
    alias(world, "pet.example")
    assert world.ask(**carrying(world, evaluated=False)) == "2 balancers and 3 names are carried"
    with pytest.raises(Permanent, match="leads to web as an alias and is configured as a CNAME: correct its type in"):
        world.ask(**carrying(world))
    with pytest.raises(Permanent, match="EvaluateTargetHealth is False and configured as True, which it would get"):
        world.ask(**carrying(world, evaluated=True))
    with pytest.raises(Permanent, match=r"CNAME apps.* leads to web as a CNAME and is configured as an alias"):
        names = carrying(world, evaluated=False)
        world.ask(**{**names, "aliases": {world.zone: {"pet.example": False, "apps.pet.example": False}}})


def test_an_alias_for_ipv6_answers_nothing_and_is_refused(world: World) -> None:
    alias(world, "pet.example")
    alias(world, "pet.example", type_="AAAA")
    with pytest.raises(Permanent) as caught:
        world.ask(**carrying(world, evaluated=False))
    said = str(caught.value)
    assert said.startswith("record AAAA pet.example of zone pet.example")
    assert "IPv4 addresses only, so it answers nothing: delete this record" in said
    assert "; " not in said.removesuffix("; one of type A of the same name stays")


def test_an_alias_whose_balancer_is_unwell_for_route_53_is_refused_where_that_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias(world, "pet.example", evaluated=True)
    with pytest.raises(Permanent, match="evaluates its health, and web of web has no healthy target: Route 53 takes"):
        world.ask(**carrying(world, evaluated=True))
    well = Target(id="i-1", port=30080, zone="eu-central-1a", state="healthy")

    def health(_: Aws, arn: str) -> list[Target]:
        return [well] if arn == world.group else []

    monkeypatch.setattr(Aws, "target_health", health)
    assert world.ask(**carrying(world, evaluated=True)) == "2 balancers and 3 names are carried"


def service(**annotations: str) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "web", "annotations": annotations},
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": [{"hostname": "a1.elb.example"}]}},
    }


def test_a_service_with_a_controllers_balancer_is_refused_unless_it_has_a_plan(world: World) -> None:
    arn, _ = world.here.balancer("a1", Tags=[{"Key": "kubernetes.io/service-name", "Value": "shop/web"}])
    world.here.listener(arn, 80, world.here.group("a1", 31000))
    world.services = [service()]
    with pytest.raises(Permanent) as caught:
        world.ask()
    said = str(caught.value)
    assert said.startswith("Service shop/web is of type LoadBalancer (a1.elb.example, a1): the cloud controller makes")
    assert "migration:traffic.loadBalancerServices: planned" in said
    assert world.ask(services="planned").startswith("2 balancers")
    world.services = [service(**{"vpc-migration/plan": "by hand"})]
    assert world.ask().startswith("2 balancers")


def test_a_service_that_is_named_must_have_the_node_port_and_the_policy(world: World) -> None:
    form = read(world.here.aws, world.ingress[0]).form
    keys = ServiceKeys(namespace="shop", service="web", external_traffic_policy="Local")
    group = form.groups["30080"].model_copy(update={"service": keys, "pools": ("m5-a",)})
    said = {"ingress": {"ingress": form.model_copy(update={"groups": {"30080": group}})}, "described": ("ingress",)}
    with pytest.raises(Permanent, match="target group 30080 of ingress: Service shop/web has no node port 30080"):
        world.ask(**said)
    spec: dict[str, Any] = {"type": "NodePort", "ports": [{"nodePort": 30080}]}
    world.services = [{"metadata": {"namespace": "shop", "name": "web"}, "spec": spec}]
    with pytest.raises(Permanent, match="externalTrafficPolicy of Service shop/web is Cluster and configured as Local"):
        world.ask(**said)
    spec["externalTrafficPolicy"] = "Local"
    assert world.ask(**said).endswith("not every pool's nodes are targets: ingress 30080 for pools m5-a")


def test_a_side_of_this_programs_is_as_its_configuration_says(world: World) -> None:
    made = SideRef(name="main", suffix="-main", cidr="10.20.0.0/16")
    assert world.ask(old=made) == "side main is this program's: its balancers are as the configuration says"
