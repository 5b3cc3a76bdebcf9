"""One member swapped back on a real three-member etcd: whole, interrupted at every change, and turned round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from migration.clients.etcd import Etcd
from migration.contracts.base import Connection
from migration.contracts.members import EtcdAccess, MemberSwapInputs, MemberSwapResult
from migration.etcd.returning import RETURN_TAG, delete_returned_volumes
from migration.operations import member_swap
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from migration.settings.model import Access
from tests.unit.etcd.world import Killed, World, addresses, names, pairs, plain_etcd, swap

SERVERS = "kube-scheduler kube-controller-manager kube-apiserver"
BACK = [
    "note migration:returned",
    "resume",
    "forget",
    "volume",
    "version",
    "template",
    "up a",
    "note migration:swap-back",
    "hold d",
    "ticket",
    "ticket ends",
    "register",
    "register old",
    "deregister new",
    SERVERS,
    "etcd",
    "away d",
    "resume d",
    "forget migration:swap-back",
]
AGAIN = [
    "up d",
    "note",
    "hold",
    "ticket",
    "ticket ends",
    "register",
    "deregister new",
    "deregister old",
    SERVERS,
    "etcd",
    "away",
    "release volume",
    "template",
    "delete version",
    "forget migration:returned",
]


class Operation:
    """The operation as the engine calls it: with what its last run that ended gave."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.previous: MemberSwapResult | None = None
        self.log: list[str] = []
        self.seconds: float = 60

        def made(inputs: MemberSwapInputs, context: Context, *, back: bool = False) -> Any:
            return swap(world, self.log.append, back=back, seconds=self.seconds)

        monkeypatch.setattr(member_swap, "_swap", made)

    def run(self, wanted: Any, *, returning: bool = False) -> MemberSwapResult:
        members = pairs(self.world)
        inputs = MemberSwapInputs(
            cluster="test",
            connection=Connection(region="eu-central-1"),
            timeout_seconds=60,
            wanted=wanted,
            returning=returning,
            old=members[0].old,
            new=members[0].new,
            members=tuple(members),
            ticket_parameter="/ticket",
            etcd=EtcdAccess(access=Access.DIRECT, certificates="", client_port=1),
            peer_port=2,
            snapshots="",
            api_port=6443,
            old_api_target_groups=("old",),
            new_api_target_group="new",
        )
        clients: Any = type("Clients", (), {"aws": self.world})()
        context = Context(log=self.log.append, deadline=Deadline(60), clients=clients)
        self.previous = member_swap.run(inputs, self.previous, context)
        return self.previous

    def killed_at(self, event: str, wanted: Any) -> None:
        """A run that is killed right before a change."""
        self.world.before_event = stopper(event)
        with pytest.raises(Killed):
            self.run(wanted)
        self.world.before_event = lambda _: None


def stopper(event: str) -> Callable[[str], None]:
    def kill(next_event: str) -> None:
        if next_event == event:
            raise Killed

    return kill


@pytest.fixture
def operation(world: World, monkeypatch: pytest.MonkeyPatch) -> Operation:
    """Swapped, as far as stage 7 goes."""
    found = Operation(world, monkeypatch)
    assert found.run("new").state == "new"
    world.events.clear()
    return found


def learners(world: World) -> int:
    client: Etcd = plain_etcd([f"http://{one.ip}:{port()}" for one in world.machines.values()])
    try:
        return sum(member.learner for member in client.members())
    finally:
        client.close()


def port() -> int:
    from tests.unit.etcd.world import CLIENT

    return CLIENT


def at_rest(world: World) -> None:
    """Nothing is held, suspended, or left to wait for."""
    assert not any(world.suspended.values())
    assert world.parameters == {}
    assert learners(world) == 0


@pytest.mark.timeout(240)
def test_back_in_order_and_on_again_in_order_with_nothing_left_of_either(operation: Operation) -> None:
    world = operation.world
    done = operation.run("old")
    assert world.events == BACK
    assert (done.state, done.name, done.members) == ("old", "a", ("a", "b", "c"))
    assert done.snapshot is not None
    assert names(world) == ["a", "b", "c"]
    assert "group-d" not in world.machines
    assert world.targets == {"old": {"i-a51", "i-b", "i-c"}, "new": addresses(2, 3, 51)}
    [volume] = world.volumes.values()
    assert (volume["migration:member"], volume["migration:new-volume"]) == ("a", "true")
    assert set(world.tags["group-a"]) == {RETURN_TAG}
    assert world.template == "2"
    at_rest(world)

    world.events.clear()
    assert operation.run("old").state == "old"
    assert operation.run("old", returning=True).state == "old"
    assert world.events == []

    assert operation.run("new").state == "new"
    assert world.events == AGAIN
    assert names(world) == ["b", "c", "d"]
    assert world.template == "$Default"
    assert list(world.versions) == ["1"]
    assert "migration:member" not in volume

    world.events.clear()
    assert operation.run("old").state == "old"
    assert world.events == BACK
    assert len(world.volumes) == 2


@pytest.mark.timeout(400)
def test_killed_before_every_change_back_goes_on_from_what_is(operation: Operation) -> None:
    world, pending = operation.world, list(BACK)
    killed_at_every(operation, pending, "old")
    assert pending == []
    assert list(dict.fromkeys(world.events)) == BACK
    assert names(world) == ["a", "b", "c"]
    assert len(world.volumes) == 1
    assert len(world.versions) == 2
    at_rest(world)


def killed_at_every(operation: Operation, pending: list[str], wanted: Any) -> None:
    def kill(event: str) -> None:
        if pending and event == pending[0]:
            pending.pop(0)
            raise Killed

    operation.world.before_event = kill
    for _ in range(len(pending) + 1):
        try:
            operation.run(wanted)
        except Killed:
            continue
    operation.world.before_event = lambda _: None


@pytest.mark.timeout(240)
@pytest.mark.parametrize("event", [*BACK[1:10], "register", "deregister new", SERVERS, "etcd", "away d"])
def test_turned_round_at_any_step_of_a_way_back_it_goes_on_again(operation: Operation, event: str) -> None:
    world = operation.world
    operation.killed_at(event, "old")
    assert operation.run("new").state == "new"
    assert names(world) == ["b", "c", "d"]
    assert "group-a" not in world.machines
    assert world.template == "$Default"
    assert RETURN_TAG not in world.tags["group-a"]
    assert "migration:swap-back" not in world.tags["group-a"]
    assert world.stopped.isdisjoint({one.ip for one in world.machines.values()})
    assert world.suspended.get("group-d", set()) == set()
    assert learners(world) == 0


@pytest.mark.timeout(240)
@pytest.mark.parametrize("event", ["ticket", "register", "deregister new", "etcd", "away"])
def test_turned_round_at_any_step_of_a_swap_the_member_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    operation = Operation(world, monkeypatch)
    operation.killed_at(event, "new")
    assert operation.run("old").state == "old"
    assert names(world) == ["a", "b", "c"]
    assert world.stopped.isdisjoint({one.ip for one in world.machines.values()})
    assert {one.id for one in world.machines.values() if one.name == "a"} <= world.targets["old"]
    at_rest(world)


def test_a_swap_that_was_never_made_is_not_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "instances_of_groups", None)
    assert Operation(world, monkeypatch).run("old").state == "old"
    assert world.events == []


def test_back_into_a_group_that_is_gone_is_refused_before_anything_changes(
    operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = operation.world
    monkeypatch.setattr(world, "groups", lambda names: {})
    with pytest.raises(Permanent, match="Auto Scaling group group-a doesn't exist"):
        operation.run("old", returning=True)
    assert world.events == []


def test_a_returning_member_that_does_not_join_leaves_the_one_that_serves(operation: Operation) -> None:
    world = operation.world
    world.joins = False
    operation.seconds = 15
    with pytest.raises(Permanent, match="a's etcd to start"):
        operation.run("old")
    assert names(world) == ["b", "c", "d"]
    assert world.suspended["group-d"] == set()
    assert operation.run("new").state == "new"
    assert names(world) == ["b", "c", "d"]
    assert "group-a" not in world.machines


def test_volumes_of_returns_are_deleted_at_the_end_unless_a_machine_has_one(world: World) -> None:
    world.volumes = {"vol-1": {RETURN_TAG: "1", "migration:cluster": "test"}}
    deleted: list[str] = []
    anything: Any = world
    world.delete_volume = lambda VolumeId: deleted.append(VolumeId)  # type: ignore[attr-defined]
    world.attached = {"vol-1"}
    with pytest.raises(Permanent, match="vol-1 were made for members that came back to the old side and are still"):
        delete_returned_volumes(anything, "test", lambda: None)
    world.attached.clear()
    assert delete_returned_volumes(anything, "test", lambda: None) == deleted == ["vol-1"]
