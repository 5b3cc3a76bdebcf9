"""The gates of the workers on a small AWS and a small cluster, with parts removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from migration.clients.aws import Instance
from migration.clients.kubernetes import NODES, PODS, VOLUMES, Kind
from migration.contracts.gates import (
    EveryOldNodeInAPool,
    GroupPair,
    NewNodesReady,
    NothingMovableOnNewNodes,
    NothingMovableOnOldNodes,
    SideRef,
)
from migration.gates import Live, look
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable

OLD_SIDE = SideRef(name="legacy", suffix="", cidr="10.10.0.0/16", vpc_id="vpc-old")
KNOWN = EveryOldNodeInAPool(old=OLD_SIDE, worker_groups=("old",), member_groups=("master",))
READY = NewNodesReady(groups=(GroupPair(old="old", new="new"),))
LEFT = NothingMovableOnNewNodes(worker_groups=("new",), old_groups=("old",))
EMPTY = NothingMovableOnOldNodes(worker_groups=("old",), new_groups=("new",))


def node(name: str, instance: str = "", *, zone: str = "a", ready: bool = True, address: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": {"providerID": f"aws:///{zone}/{instance}"} if instance else {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "addresses": [{"type": "InternalIP", "address": address}] if address else [],
        },
    }


def pod(name: str, on: str, *, owner: str = "ReplicaSet", phase: str = "Running") -> dict[str, Any]:
    reference = {"kind": owner, "name": "x", "uid": "x", "controller": True}
    metadata = {"namespace": "apps", "name": name, "uid": name, "ownerReferences": [reference]}
    return {"metadata": metadata, "spec": {"nodeName": on}, "status": {"phase": phase}}


@dataclass
class World:
    """Two old and two new workers with their nodes, a member without one, and a pod on the new side."""

    sizes: dict[str, int] = field(default_factory=lambda: {"old": 2, "new": 2, "master": 1})
    instances: dict[str, str] = field(
        default_factory=lambda: {"i-o0": "old", "i-o1": "old", "i-n0": "new", "i-n1": "new", "i-m": "master"}
    )
    vpcs: dict[str, str] = field(
        default_factory=lambda: {"i-o0": "vpc-old", "i-o1": "vpc-old", "i-n0": "vpc-new", "i-n1": "vpc-new"}
    )
    nodes: list[dict[str, Any]] = field(
        default_factory=lambda: [node(f"{side}{n}", f"i-{side}{n}", zone="ab"[n]) for side in "on" for n in range(2)]
    )
    pods: list[dict[str, Any]] = field(default_factory=lambda: [pod("web", "n0"), pod("ds", "o0", owner="DaemonSet")])
    volumes: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, question: Any) -> str:
        clients: Any = SimpleNamespace(aws=self, kubernetes=self)
        return look(question, Live("pet", Context(log=lambda _: None, deadline=Deadline(5), clients=clients)))

    def without(self, *names: str) -> World:
        self.nodes = [one for one in self.nodes if one["metadata"]["name"] not in names]
        return self

    def groups(self, names: Any) -> dict[str, Any]:
        return {n: {"MinSize": 0, "DesiredCapacity": self.sizes[n]} for n in names if n in self.sizes}

    def instances_of_groups(self, names: Any, *, terminated: bool = False) -> list[Instance]:
        return [
            Instance(id=key, ip="", zone="", vpc="", group=group, state="running")
            for key, group in self.instances.items()
            if group in names
        ]

    @property
    def ec2(self) -> Any:
        def instances(Filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
            found = [{"InstanceId": key, "VpcId": self.vpcs[key]} for key in Filters[0]["Values"] if key in self.vpcs]
            return [{"Reservations": [{"Instances": found}]}]

        return SimpleNamespace(
            describe_vpcs=lambda VpcIds: {"Vpcs": [{"CidrBlock": "10.10.0.0/16"}]},
            get_paginator=lambda name: SimpleNamespace(paginate=instances),
        )

    def list(self, kind: Kind) -> list[dict[str, Any]]:
        return {NODES: self.nodes, PODS: self.pods, VOLUMES: self.volumes}[kind]


def test_nodes_of_pools_and_those_outside_of_the_old_vpc_are_accounted_for() -> None:
    world = World()
    world.nodes += [node("m", "i-m"), node("metal", address="192.168.7.1")]
    assert world.ask(KNOWN) == "3 Nodes run on instances of the old groups, 3 outside of the old VPC"


def test_a_node_of_the_old_vpc_that_no_pool_has_is_refused_by_name() -> None:
    world = World()
    world.nodes.append(node("karpenter-1", "i-k"))
    world.vpcs["i-k"] = "vpc-old"
    with pytest.raises(Permanent, match=r"1 Nodes of the old VPC are in no group .*: karpenter-1; .*Karpenter"):
        world.ask(KNOWN)


@pytest.mark.parametrize("address", ["10.10.200.1", ""])
def test_a_node_without_an_instance_is_refused_unless_its_address_is_elsewhere(address: str) -> None:
    world = World()
    world.nodes.append(node("hand-made", address=address))
    with pytest.raises(Permanent, match="hand-made"):
        world.ask(KNOWN)


def test_a_node_whose_instance_ec2_does_not_know_is_not_taken_for_one_elsewhere() -> None:
    world = World()
    world.nodes.append(node("ghost", "i-ghost"))
    with pytest.raises(Retryable, match=r"EC2 doesn't say in which VPC 1 Nodes run: ghost; delete the Node"):
        world.ask(KNOWN)


def test_a_twin_cluster_accounts_for_no_node() -> None:
    world = World()
    world.nodes = [node("twin", "i-twin")]
    world.vpcs["i-twin"] = "vpc-twin"
    for question in (KNOWN, EMPTY):
        with pytest.raises(Retryable, match="none of 2 running instances"):
            world.ask(question)
    world.nodes = []
    with pytest.raises(Retryable, match="lists no Node at all"):
        world.ask(KNOWN)


def test_a_drained_sides_groups_at_zero_leave_no_node_to_account_for() -> None:
    world = World(sizes={"old": 0, "new": 2, "master": 1}).without("o0", "o1")
    del world.instances["i-o0"], world.instances["i-o1"]
    assert world.ask(KNOWN) == "0 Nodes run on instances of the old groups, 2 outside of the old VPC"
    assert world.ask(EMPTY) == "0 old nodes left, with nothing movable"


@pytest.mark.parametrize("group", ["old", "master"])
def test_which_nodes_are_known_can_not_be_told_without_their_groups(group: str) -> None:
    world = World()
    del world.sizes[group]
    with pytest.raises(Permanent, match=f"groups {group} don't exist"):
        world.ask(KNOWN)


def test_new_nodes_are_ready_and_an_instance_without_a_node_is_named() -> None:
    assert World().ask(READY) == "2 new nodes ready in a, b; volumes live in no zone"
    with pytest.raises(Retryable, match=r"1 of 2 nodes of new are ready; 1 running instances .*: i-n1 of new"):
        World().without("n1").ask(READY)


def test_an_instance_beyond_the_groups_size_needs_its_node_too() -> None:
    world = World(sizes={"old": 1, "new": 1, "master": 1}).without("n1")
    with pytest.raises(Retryable, match=r"1 running instances have no Node in the cluster: i-n1 of new"):
        world.ask(READY)


def test_new_groups_are_not_measured_against_an_old_one_that_is_missing() -> None:
    world = World()
    del world.sizes["old"]
    with pytest.raises(Permanent, match="old groups old don't exist"):
        world.ask(READY)


def test_groups_of_size_zero_show_nothing() -> None:
    world = World(sizes={"old": 0, "new": 0, "master": 1}, instances={}).without("o0", "o1", "n0", "n1")
    with pytest.raises(Retryable, match="all worker groups, old and new, are of size 0"):
        world.ask(READY)


def test_a_volume_that_names_its_zone_by_label_alone_needs_a_node_there() -> None:
    world = World(volumes=[{"metadata": {"labels": {"failure-domain.beta.kubernetes.io/zone": "c"}}, "spec": {}}])
    with pytest.raises(Retryable, match="volumes live in c"):
        world.ask(READY)


def test_an_old_instance_without_a_node_is_not_taken_for_an_empty_one() -> None:
    with pytest.raises(Retryable, match="i-o1 of old; what runs there can't be seen"):
        World().without("o1").ask(EMPTY)


def test_old_nodes_are_not_called_empty_where_no_pod_is_listed_at_all() -> None:
    with pytest.raises(Permanent, match="lists no pod at all"):
        World(pods=[]).ask(EMPTY)


def test_old_nodes_are_not_called_empty_by_a_cluster_without_the_new_sides_nodes() -> None:
    with pytest.raises(Retryable, match=r"no node of the new side's groups \(new\)"):
        World().without("n0", "n1").ask(EMPTY)


def test_a_pod_left_on_an_old_node_is_named() -> None:
    assert World().ask(EMPTY) == "2 old nodes left, with nothing movable"
    world = World()
    world.pods.append(pod("db", "o1"))
    with pytest.raises(Retryable, match="1 pods are left on old nodes: apps/db"):
        world.ask(EMPTY)


def test_before_new_groups_are_made_there_is_nothing_on_them() -> None:
    world = World(pods=[pod("web", "o0")]).without("n0", "n1")
    del world.sizes["new"]
    world.instances = {key: group for key, group in world.instances.items() if group != "new"}
    assert world.ask(LEFT) == "0 new nodes left, with nothing movable"


def test_a_pod_left_on_a_new_node_is_named_before_its_group_goes() -> None:
    with pytest.raises(Retryable, match="1 pods are left on new nodes: apps/web"):
        World().ask(LEFT)
    assert World(pods=[pod("web", "o0")]).ask(LEFT) == "2 new nodes left, with nothing movable"


def test_new_nodes_are_not_called_empty_where_they_or_the_old_ones_are_not_seen() -> None:
    with pytest.raises(Retryable, match="i-n1 of new; what runs there can't be seen"):
        World(pods=[pod("web", "o0")]).without("n1").ask(LEFT)
    with pytest.raises(Retryable, match=r"no node of the old side's groups \(old\)"):
        World(pods=[pod("web", "n0")]).without("o0", "o1").ask(LEFT)
