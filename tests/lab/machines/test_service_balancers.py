"""The cloud controller's part for Services of type LoadBalancer, on the lab's AWS and an API in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.aws.server import LabAws
from lab.aws.world import WORLD
from lab.kubernetes.access import ApiError
from lab.legacy.cloud import Cloud
from lab.machines.service_balancers import CHOOSES, EXCLUDED, FINALIZER, TAG, ServiceBalancers, targets
from lab.settings import LabSettings
from tests.legacy import OnPort


def node(instance: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": instance, "labels": labels}, "spec": {"providerID": f"aws:///a/{instance}"}}


def service(kind: str = "LoadBalancer", **annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": "web", "annotations": annotations}, "spec": {"type": kind}}


def test_nodes_are_targets_but_for_those_excluded_or_not_chosen() -> None:
    nodes = [node("i-1", side="old"), node("i-2", side="old", **{EXCLUDED: ""}), node("i-3"), node("")]
    assert targets(service(), nodes) == {"i-1", "i-3"}
    assert targets(service(**{CHOOSES: "side=old"}), nodes) == {"i-1"}


class Api:
    """Answers for one Service and some Nodes."""

    def __init__(self, found: dict[str, Any] | None, nodes: list[dict[str, Any]]) -> None:
        self.service, self.nodes, self.patches = found, nodes, list[tuple[str, Any]]()

    async def call(self, method: str, path: str, body: Any = None, **_: Any) -> Any:
        if method == "PATCH":
            self.patches.append((path.rpartition("/")[2], body))
            return None
        if path.endswith("/nodes"):
            return {"items": self.nodes}
        if self.service is None:
            raise ApiError("not found", 404)
        return self.service


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    running = LabAws().start()
    WORLD.reset(LabSettings())
    yield Cloud(OnPort(url=running.url))
    running.stop()


def built(cloud: Cloud) -> SimpleNamespace:
    """A tagged balancer with a target group, a machine in its VPC and one in another."""
    made: list[tuple[str, str]] = []
    for block in ("127.10", "127.11"):
        vpc = cloud.ec2.create_vpc(CidrBlock=f"{block}.0.0/16")["Vpc"]["VpcId"]
        zone = f"{cloud.ec2.meta.region_name}a"
        subnet = cloud.ec2.create_subnet(VpcId=vpc, CidrBlock=f"{block}.0.0/20", AvailabilityZone=zone)["Subnet"]
        run = cloud.ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, SubnetId=subnet["SubnetId"])
        made.append((subnet["SubnetId"], run["Instances"][0]["InstanceId"]))
    elb, tags = cloud.elbv2, [{"Key": TAG, "Value": "shop/web"}]
    balancer = elb.create_load_balancer(Name="a1", Type="network", Scheme="internal", Subnets=[made[0][0]], Tags=tags)
    vpc = cloud.ec2.describe_subnets(SubnetIds=[made[0][0]])["Subnets"][0]["VpcId"]
    group = elb.create_target_group(Name="k8s", Protocol="TCP", Port=31234, VpcId=vpc, TargetType="instance")
    arn, target = balancer["LoadBalancers"][0]["LoadBalancerArn"], group["TargetGroups"][0]["TargetGroupArn"]
    forward = [{"Type": "forward", "TargetGroupArn": target}]
    elb.create_listener(LoadBalancerArn=arn, Port=80, Protocol="TCP", DefaultActions=forward)
    return SimpleNamespace(balancer=arn, group=target, old=made[0][1], new=made[1][1])


def look(cloud: Cloud, api: Any) -> None:
    controller = ServiceBalancers(cloud)
    asyncio.run(controller._look(api, controller._balancers()))  # pyright: ignore[reportPrivateUsage]


def registered(cloud: Cloud, group: str) -> set[str]:
    health = cloud.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return {one["Target"]["Id"] for one in health}


def test_one_node_of_another_vpc_makes_the_whole_sync_fail_until_it_is_excluded(cloud: Cloud) -> None:
    made = built(cloud)
    both = Api(service(), [node(made.old), node(made.new)])
    with pytest.raises(ClientError, match="InvalidTarget"):
        look(cloud, both)
    assert registered(cloud, made.group) == set()
    both.nodes[1]["metadata"]["labels"] = {EXCLUDED: ""}
    look(cloud, both)
    assert registered(cloud, made.group) == {made.old}
    assert ("web", {"metadata": {"finalizers": [FINALIZER]}}) in both.patches


@pytest.mark.parametrize("why", ["another type", "deleted"])
def test_a_service_that_wants_none_any_more_loses_its_balancer(cloud: Cloud, why: str) -> None:
    made = built(cloud)
    found = service("NodePort" if why == "another type" else "LoadBalancer")
    found["metadata"] |= {"finalizers": [FINALIZER]}
    if why == "deleted":
        found["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    api = Api(found, [node(made.old)])
    look(cloud, api)
    assert cloud.elbv2.describe_load_balancers()["LoadBalancers"] == []
    assert cloud.elbv2.describe_target_groups()["TargetGroups"] == []
    assert api.patches[-1] == ("web", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("found", [None, service("NodePort")])
def test_a_balancer_of_nobody_it_knows_is_left_alone(cloud: Cloud, found: dict[str, Any] | None) -> None:
    made = built(cloud)
    api = Api(found, [node(made.old)])
    look(cloud, api)
    [there] = cloud.elbv2.describe_load_balancers()["LoadBalancers"]
    assert there["LoadBalancerArn"] == made.balancer
    assert api.patches == []
