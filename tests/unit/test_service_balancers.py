"""Services of type LoadBalancer on a cluster in memory: set apart, given back, given up, and interrupted anywhere."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from migration.clients.aws import Instance
from migration.clients.kubernetes import NODES, SERVICES, Kind
from migration.contracts.service_balancers import CarriedService, ServiceBalancersInputs, ServiceBalancersResult
from migration.operations import service_balancers
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, OutOfTime, Permanent
from migration.services.targets import EXCLUDED, FINALIZER, SIDE, TARGETS
from tests.samples import COMMON
from tests.unit.drain.world import Clock

MINE = CarriedService(namespace="shop", service="web", balancer="arn:a1")


class Killed(Exception):
    """The process ends."""


def _node(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"providerID": f"aws:///z/i-{name}"}}


def _merged(item: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            item.pop(key, None)
        elif isinstance(value, dict):
            _merged(item.setdefault(key, {}), value)
        else:
            item[key] = value


def _service() -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "web", "resourceVersion": "1", "finalizers": [FINALIZER]},
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerSourceRanges": [],
            "ports": [{"port": 80, "nodePort": 31000}],
        },
    }


@dataclass
class World:
    """Two nodes a side; a controller, where there is one, that deletes its balancer while this program waits."""

    groups_there: tuple[str, ...] = ("old", "new")
    controller: bool = True
    nodes: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {name: _node(name) for name in ("old0", "old1", "new0", "new1")}
    )
    service: dict[str, Any] | None = field(default_factory=_service)
    balancers: list[str] = field(default_factory=lambda: ["arn:a1", "arn:other"])
    patches: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    die_after: int | None = None
    clock: Clock = field(default_factory=Clock)

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        service = self.service
        if self.controller and service and service["spec"]["type"] == "NodePort":
            self.balancers = ["arn:other"]
            service["metadata"]["finalizers"] = []

    def groups(self, names: Any) -> dict[str, Any]:
        return {name: {"DesiredCapacity": 2} for name in names if name in self.groups_there}

    def instances_of_groups(self, names: Any, **_: Any) -> list[Instance]:
        return [
            Instance(id=f"i-{name}", ip="", zone="", vpc="", group=name[:3], state="running")
            for name in self.nodes
            if name[:3] in names and name[:3] in self.groups_there
        ]

    @property
    def elbv2(self) -> Any:
        page = {"LoadBalancers": [{"LoadBalancerArn": arn} for arn in self.balancers]}
        return SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=lambda: [page]))

    def list(self, kind: Kind) -> list[dict[str, Any]]:
        assert kind is NODES
        return copy.deepcopy([*self.nodes.values()])

    def find(self, kind: Kind, name: str, namespace: str) -> dict[str, Any] | None:
        assert (kind, name, namespace) == (SERVICES, "web", "shop")
        return copy.deepcopy(self.service)

    def patch(self, kind: Kind, name: str, body: dict[str, Any], namespace: str | None = None) -> None:
        if self.die_after == len(self.patches):
            raise Killed
        target = self.service if kind is SERVICES else self.nodes[name]
        assert target is not None
        _merged(target, copy.deepcopy(body))
        self.patches.append((name, body))

    def run(self, wanted: Any, previous: bool = True, **changes: Any) -> ServiceBalancersResult:
        inputs = ServiceBalancersInputs(
            **COMMON,
            wanted=wanted,
            services=(MINE,),
            side="legacy",
            old_groups=("old",),
            new_groups=("new",),
            complete=changes.pop("complete", False),
            join_seconds=10,
            **changes,
        )
        clients: Any = SimpleNamespace(aws=self, kubernetes=self)
        context = Context(log=lambda _: None, deadline=Deadline(60, self.clock, self.sleep), clients=clients)
        before = ServiceBalancersResult(wanted="apart") if previous else None
        return service_balancers.run(inputs, before, context)

    def labels(self, key: str) -> list[str]:
        return [name for name, one in self.nodes.items() if key in one["metadata"].get("labels", {})]

    @property
    def annotation(self) -> str | None:
        assert self.service is not None
        return self.service["metadata"].get("annotations", {}).get(TARGETS)


def test_old_nodes_are_marked_before_the_service_asks_for_the_mark_and_new_ones_are_kept_out() -> None:
    world = World()
    world.run("apart", previous=False, complete=True)
    assert [name for name, _ in world.patches] == ["old0", "old1", "web", "new0", "new1"]
    assert (world.labels(SIDE), world.labels(EXCLUDED)) == (["old0", "old1"], ["new0", "new1"])
    assert world.annotation == "migration/side=legacy"
    world.patches.clear()
    assert world.run("apart", complete=True).changed == ()
    assert world.patches == []
    # One that joins later is no target by the annotation, and is kept out by the next run.
    world.nodes["new2"] = _node("new2")
    assert world.run("apart", complete=True).changed == ("1 nodes kept out of the balancers",)


def test_before_there_are_new_groups_only_the_old_side_is_marked() -> None:
    world = World(groups_there=("old",))
    world.run("apart", previous=False)
    assert [name for name, _ in world.patches] == ["old0", "old1", "web"]


def test_on_the_way_back_new_nodes_are_kept_out_before_the_service_takes_every_node() -> None:
    world = World()
    world.run("apart", previous=False)
    world.nodes["new2"] = _node("new2")
    world.patches.clear()
    world.run("as-found")
    assert [name for name, _ in world.patches] == ["new2", "web", "old0", "old1"]
    assert (world.annotation, world.labels(SIDE)) == (None, [])


def test_one_that_never_ran_has_nothing_to_take_back() -> None:
    world = World()
    assert world.run("as-found", previous=False).changed == ()
    assert world.patches == []


def test_what_the_operator_asks_of_targets_and_excludes_stays() -> None:
    world = World()
    assert world.service is not None
    world.service["metadata"]["annotations"] = {TARGETS: "pool=web"}
    world.nodes["new0"]["metadata"]["labels"] = {EXCLUDED: "theirs"}
    world.run("apart", previous=False)
    assert world.annotation == "pool=web,migration/side=legacy"
    world.run("given-up")
    assert world.annotation == "pool=web"
    assert world.labels(EXCLUDED) == ["new0"]


def test_given_up_the_service_keeps_its_ports_and_the_controllers_balancer_is_waited_for() -> None:
    world = World()
    world.run("apart", previous=False)
    world.run("given-up")
    assert world.service is not None
    assert world.service["spec"] == {"type": "NodePort", "ports": [{"port": 80, "nodePort": 31000}]}
    assert (world.balancers, world.labels(EXCLUDED), world.annotation) == (["arn:other"], [], None)


def test_a_controller_that_deletes_nothing_is_named() -> None:
    world = World(controller=False)
    with pytest.raises(
        OutOfTime, match=r"balancer arn:a1 of shop/web, finalizer .* is still there: the cloud controller"
    ):
        world.run("given-up")
    assert world.labels(EXCLUDED) == []


def test_a_service_that_isnt_there_is_refused_and_given_up_it_may_be_gone() -> None:
    world = World(service=None)
    with pytest.raises(Permanent, match="there is no Service shop/web"):
        world.run("apart", previous=False)
    world.balancers = ["arn:other"]
    world.run("given-up")


@pytest.mark.parametrize("wanted", ["apart", "as-found", "given-up"])
def test_killed_between_any_two_changes_the_next_run_ends_alike(wanted: str) -> None:
    def begun() -> World:
        world = World()
        if wanted != "apart":
            world.run("apart", previous=False)
            world.patches.clear()
        return world

    ends: Callable[[World], Any] = lambda world: (world.nodes, world.service, world.balancers)  # noqa: E731
    whole = begun()
    whole.run(wanted)
    for count in range(len(whole.patches)):
        world = begun()
        world.die_after = count
        with pytest.raises(Killed):
            world.run(wanted)
        world.die_after = None
        world.run(wanted)
        assert ends(world) == ends(whole)
