"""Where a member of the old side is: its machine first, then a swap's note, then the configuration."""

from __future__ import annotations

from typing import Any

import pytest

from migration.clients.aws import Instance, Target
from migration.contracts.base import Connection
from migration.contracts.gates import ApiServedByNewBalancer, SideRef
from migration.contracts.members import OldMember, SwapNote
from migration.contracts.traffic import ApiTargetsInputs
from migration.etcd.where import address_of
from migration.gates import Live, balancers
from migration.operations import api_targets
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent, Retryable

MEMBER = OldMember(name="a", group="group-a", address="10.0.0.1")
NOTE = SwapNote(member="1", suspended=(), address="10.0.0.5")


def machine(group: str, ip: str, state: str = "running") -> Instance:
    return Instance(id=f"i-{ip}", ip=ip, zone="z", vpc="v", group=group, state=state)


def test_a_running_machine_says_it_and_a_hint_only_where_none_is() -> None:
    both = [machine("group-a", "10.0.0.3", "shutting-down"), machine("group-a", "10.0.0.2")]
    assert address_of(MEMBER, both, NOTE) == "10.0.0.2"
    assert address_of(MEMBER, both[:1]) == "10.0.0.3"
    assert address_of(MEMBER, [], NOTE) == "10.0.0.5"
    assert address_of(MEMBER, []) == "10.0.0.1"


def test_an_address_that_went_to_another_groups_machine_is_no_members_any_more() -> None:
    assert address_of(MEMBER, [machine("group-b", "10.0.0.1")]) is None
    assert address_of(OldMember(name="a", group="group-a"), []) is None


class Cloud:
    """Groups by size, their machines, and one target group whose targets are healthy."""

    def __init__(self, sizes: dict[str, int], machines: list[Instance]) -> None:
        self.sizes, self.machines = sizes, machines
        self.targets: list[str] = []
        self.elbv2 = self.ec2 = self

    def groups(self, names: list[str]) -> dict[str, Any]:
        return {name: {"MaxSize": self.sizes[name]} for name in names if name in self.sizes}

    def instances_of_groups(self, names: list[str]) -> list[Instance]:
        return [one for one in self.machines if one.group in names]

    def target_health(self, _: str) -> list[Target]:
        return [Target(id=one, port=6443, zone="all", state="healthy") for one in self.targets]

    def target_groups(self, _: list[str]) -> list[dict[str, str]]:
        return [{"VpcId": "vpc"}]

    def describe_vpcs(self, **_: Any) -> dict[str, Any]:
        return {"Vpcs": [{"CidrBlock": "10.1.0.0/16"}]}

    def register_targets(self, Targets: list[dict[str, Any]], **_: Any) -> None:
        self.targets += [one["Id"] for one in Targets]

    def describe_load_balancers(self, **_: Any) -> dict[str, Any]:
        return {"LoadBalancers": [{}]}


def context(cloud: Cloud) -> Context:
    clients: Any = type("Clients", (), {"aws": cloud})()
    return Context(log=lambda _: None, deadline=Deadline(0), clients=clients)


def register(cloud: Cloud, *members: OldMember) -> tuple[str, ...]:
    inputs = ApiTargetsInputs(
        cluster="pet",
        connection=Connection(region="eu-central-1"),
        timeout_seconds=1,
        target_group="arn",
        port=6443,
        members=members,
    )
    return api_targets.run(inputs, None, context(cloud)).addresses


B = OldMember(name="b", group="group-b")


def test_targets_are_where_machines_are_and_not_where_they_were_discovered() -> None:
    cloud = Cloud({"group-a": 1, "group-b": 1}, [machine("group-a", "10.0.0.2"), machine("group-b", "10.0.0.9")])
    assert register(cloud, MEMBER, B) == ("10.0.0.2", "10.0.0.9")
    assert cloud.targets == ["10.0.0.2", "10.0.0.9"]


def test_a_member_whose_group_is_at_zero_is_its_swaps_business() -> None:
    cloud = Cloud({"group-a": 0, "group-b": 1}, [machine("group-b", "10.0.0.9")])
    assert register(cloud, MEMBER, B) == ("10.0.0.9",)


def test_a_member_whose_machine_cannot_be_seen_is_waited_for() -> None:
    with pytest.raises(Permanent, match="no machine of b's group group-b runs"):
        register(Cloud({"group-b": 1}, []), B)


def served(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, *members: OldMember) -> str:
    api: Any = type("Api", (), {"arn": "lb", "dns_name": "api.elb", "target_groups": ("arn",)})()
    live = Live("pet", context(cloud))
    monkeypatch.setattr(Live, "side", lambda *_: None)
    monkeypatch.setattr(Live, "api", lambda *_: api)
    question = ApiServedByNewBalancer(new=SideRef(name="main", suffix="-main", cidr="10.1.0.0/16"), members=members)
    return balancers.api_served(question, live)


def test_the_gate_asks_for_each_members_machine_as_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud({}, [machine("group-a", "10.0.0.2"), machine("group-b", "10.0.0.9")])
    cloud.targets = ["10.0.0.2", "10.0.0.9"]
    assert served(cloud, monkeypatch, MEMBER, B) == "api.elb serves 10.0.0.2, 10.0.0.9"
    cloud.targets = ["10.0.0.1", "10.0.0.9"]
    with pytest.raises(Retryable, match=r"lacks a \(10\.0\.0\.2\)"):
        served(cloud, monkeypatch, MEMBER, B)
    cloud.machines = []
    with pytest.raises(Retryable, match="no machine of b runs"):
        served(cloud, monkeypatch, MEMBER, B)
