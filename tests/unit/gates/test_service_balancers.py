"""Services of type LoadBalancer: what is carried, which nodes their balancers take, and the controller's VPC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from migration.clients.kubernetes import Kind
from migration.contracts.gates import (
    ControllerInOldVpc,
    ControllerLeftOldVpc,
    NewNodesExcluded,
    NothingNamesTheOldVpc,
    ServicesCarried,
    SideRef,
)
from migration.contracts.service_balancers import CarriedService
from migration.gates import Live, look
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable
from migration.services.targets import EXCLUDED
from tests.unit.balancing.places import Account, account


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 31000}], **spec},
        "status": {"loadBalancer": {"ingress": [{"hostname": "a1.elb.example"}]}},
    }


@dataclass
class World:
    """Objects of a cluster by kind, and instances of one group."""

    objects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    elbv2: Any = None
    ec2: Any = None

    def list(self, kind: Kind, namespace: str | None = None, **_: Any) -> list[dict[str, Any]]:
        return self.objects.get(kind.plural, [])

    def instances_of_groups(self, names: Any) -> list[Any]:
        return [SimpleNamespace(id=f"i-{number}") for number in range(2)]

    def ask(self, question: Any) -> str:
        clients: Any = SimpleNamespace(aws=self, kubernetes=self)
        return look(question, Live("pet", Context(log=lambda _: None, deadline=Deadline(5), clients=clients)))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with account(monkeypatch) as made:
        yield made


def test_every_service_is_carried_by_the_balancer_that_is_its_own(here: Account) -> None:
    arn, _ = here.balancer("a1", Tags=[{"Key": "kubernetes.io/service-name", "Value": "shop/web"}])
    other, _ = here.balancer("a2", Tags=[{"Key": "kubernetes.io/service-name", "Value": "shop/cart"}])
    world = World({"services": [service()]}, here.aws.elbv2)
    mine = CarriedService(namespace="shop", service="web", balancer=arn)
    question = ServicesCarried(vpc_id=here.vpc, services=(mine,))
    assert world.ask(question) == "1 Services of type LoadBalancer are carried: shop/web"
    world.objects["services"] = [service(), service("cart")]
    with pytest.raises(
        Permanent, match=r"Service shop/cart is of type LoadBalancer .* A classic balancer isn't carried"
    ):
        world.ask(question)
    world.objects["services"] = [service()]
    wrong = ServicesCarried(vpc_id=here.vpc, services=(mine.model_copy(update={"balancer": other}),))
    with pytest.raises(Permanent, match=r"the cloud controller made .* for shop/cart"):
        world.ask(wrong)
    elsewhere = ServicesCarried(vpc_id=here.vpc, services=(mine.model_copy(update={"balancer": "arn:x"}),))
    with pytest.raises(Permanent, match="its balancer arn:x isn't in"):
        world.ask(elsewhere)
    world.objects["services"] = [service(type="NodePort")]
    with pytest.raises(Permanent, match="Service shop/web isn't there, or not of type LoadBalancer"):
        world.ask(question)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"loadBalancerClass": "x/y"}, "spec.loadBalancerClass is x/y"),
        ({"loadBalancerSourceRanges": ["10.0.0.0/8"]}, "spec.loadBalancerSourceRanges is 10.0.0.0/8"),
        ({"externalTrafficPolicy": "Local"}, "externalTrafficPolicy is Local"),
        ({"ports": [{"port": 80}]}, "has ports without a node port"),
    ],
)
def test_what_a_node_port_service_hasnt_got_is_refused_by_name(here: Account, spec: Any, said: str) -> None:
    arn, _ = here.balancer("a1", Tags=[{"Key": "kubernetes.io/service-name", "Value": "shop/web"}])
    mine = CarriedService(namespace="shop", service="web", balancer=arn)
    with pytest.raises(Permanent, match=said):
        World({"services": [service(**spec)]}, here.aws.elbv2).ask(ServicesCarried(vpc_id=here.vpc, services=(mine,)))


def node(number: int, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"n{number}", "labels": labels},
        "spec": {"providerID": f"aws:///z/i-{number}"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def test_a_ready_new_node_without_the_label_is_named() -> None:
    question = NewNodesExcluded(new_groups=("nodes",))
    world = World({"nodes": [node(0, **{EXCLUDED: "true"}), node(1), node(9)]})
    with pytest.raises(Permanent, match=f"^n1 lack the label {EXCLUDED}"):
        world.ask(question)
    world.objects["nodes"][1]["status"] = {}
    assert world.ask(question) == "1 new nodes are kept out of the Services' balancers"
    world.objects["nodes"] = [node(9)]
    with pytest.raises(Retryable, match="no ready node of nodes"):
        world.ask(question)


def config(vpc: str) -> dict[str, Any]:
    text = f"[Global]\nZone = eu-central-1a\nvpc = {vpc}\n"
    return {"metadata": {"namespace": "kube-system", "name": "cloud-config"}, "data": {"cloud.conf": text}}


def test_the_cloud_controllers_vpc_is_the_old_one_before_and_not_after() -> None:
    before, after = ControllerInOldVpc(vpc_id="vpc-old"), ControllerLeftOldVpc(vpc_id="vpc-old")
    for question, of in ((before, "old"), (after, "new")):
        assert f"look yourself that it names the {of} VPC" in World().ask(question)
    world = World({"configmaps": [config("vpc-old")]})
    assert world.ask(before) == "ConfigMap kube-system/cloud-config (cloud.conf): VPC = vpc-old"
    with pytest.raises(Retryable, match="still names vpc-old"):
        world.ask(after)
    world.objects["configmaps"] = [config("vpc-new")]
    assert world.ask(after) == "ConfigMap kube-system/cloud-config (cloud.conf): VPC = vpc-new"
    with pytest.raises(Permanent, match="names vpc-new: the cloud controller is in vpc-old until stage 7"):
        world.ask(before)


def test_what_a_service_or_ingress_says_of_old_balancers_is_named(here: Account) -> None:
    # Nobody configured it: the VPC says that it is of the old side.
    _, name = here.balancer("a1", Tags=[{"Key": "kubernetes.io/service-name", "Value": "shop/web"}])
    status = {"loadBalancer": {"ingress": [{"hostname": name}]}}
    world = World({"services": [{**service(), "status": status}]}, here.aws.elbv2, here.aws.ec2)
    old = SideRef(name="legacy", suffix="", cidr="10.10.0.0/16", vpc_id=here.vpc)
    with pytest.raises(Retryable, match=f"Service shop/web names {name}"):
        world.ask(NothingNamesTheOldVpc(old=old))
    assert "none names" in world.ask(NothingNamesTheOldVpc(old=old, carried=("shop/web",)))
    metadata = {"namespace": "shop", "name": "app"}
    world.objects["ingresses"] = [{"metadata": metadata, "spec": {}, "status": status}]
    with pytest.raises(Retryable, match=f"Ingress shop/app names {name}"):
        world.ask(NothingNamesTheOldVpc(old=old, carried=("shop/web",)))
