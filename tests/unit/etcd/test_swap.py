"""One member swapped on a real three-member etcd, whole and interrupted at every change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from migration.etcd.preflight import preflight
from migration.runtime.deadline import Deadline, Permanent
from tests.unit.etcd.world import CLIENT, NETWORK, PEER, Machine, World, plain_etcd, swap

ORDER = [
    "hold",
    "ticket",
    "register",
    "deregister new",
    "deregister old",
    "kube-scheduler kube-controller-manager kube-apiserver",
    "etcd",
    "away",
]


def addresses(*numbers: int) -> set[str]:
    return {f"{NETWORK}.{number}" for number in numbers}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(folder=tmp_path)
    for number, name in enumerate("abcd", 1):
        world.machines[f"group-{name}"] = Machine(id=f"i-{name}", ip=f"{NETWORK}.{number}", name=name, folder=tmp_path)
    old = [world.machines[f"group-{name}"] for name in "abc"]
    everyone = list(world.machines.values())
    initial = ",".join(f"{one.name}=http://{one.ip}:{PEER}" for one in old)
    for one in old:
        one.start(initial, "new")
    world.targets = {"old": {one.id for one in old}, "new": {one.ip for one in old}}
    world.endpoints = {one.ip for one in old}
    client = plain_etcd([f"http://{one.ip}:{CLIENT}" for one in old])
    Deadline(30).until_true(lambda: len(client.members()) == 3, "three members")
    Deadline(30).until(lambda: preflight(client, ours=lambda _: False, log=lambda _: None), "a healthy cluster")
    client.close()
    yield world
    for one in everyone:
        one.stop()


def names(world: World) -> list[str]:
    client = plain_etcd([f"http://{one.ip}:{CLIENT}" for one in world.machines.values()])
    try:
        return sorted(member.name for member in client.members() if not member.learner)
    finally:
        client.close()


def test_a_member_is_swapped_in_order_and_a_second_run_changes_nothing(world: World) -> None:
    done = swap(world).advance()
    assert world.events == ORDER
    assert names(world) == ["b", "c", "d"]
    assert (done.state, done.name, done.members) == ("new", "d", ("b", "c", "d"))
    assert done.snapshot is not None
    assert Path(done.snapshot.path).stat().st_size == done.snapshot.bytes + 32
    assert world.targets == {"old": {"i-b", "i-c"}, "new": addresses(2, 3, 4)}
    assert world.endpoints == addresses(2, 3)
    again = swap(world).advance(done)
    assert world.events == ORDER
    assert again == done
    assert swap(world).advance().snapshot is None


class Killed(BaseException):
    """The process ends here; nothing of it runs any more."""


@pytest.mark.timeout(240)
def test_killed_before_every_change_it_goes_on_from_what_is(world: World) -> None:
    pending = list(ORDER)

    def kill(event: str) -> None:
        # Each change is killed once before it is made, and made by the next run.
        if pending and event == pending[0]:
            pending.pop(0)
            raise Killed

    world.before_event = kill
    for _ in range(len(ORDER) + 1):
        try:
            swap(world).advance()
        except Killed:
            continue
    assert pending == []
    assert list(dict.fromkeys(world.events)) == ORDER
    # Stopping what is stopped, and holding what this world forgets to be held, is harmless; the rest is done once.
    once = ("ticket", "register", "deregister new", "deregister old", "away")
    assert [world.events.count(event) for event in once] == [1] * len(once)
    assert names(world) == ["b", "c", "d"]


def test_a_learner_of_somebody_else_is_refused(world: World) -> None:
    client = plain_etcd([f"http://{NETWORK}.2:{CLIENT}"])
    Deadline(30).until(lambda: add(client, f"http://{NETWORK}.99:2380"), "a learner")
    client.close()
    with pytest.raises(Permanent, match="isn't this migration's"):
        swap(world).advance()
    assert world.events == []


def add(client: Any, url: str) -> Any:
    return client.add_learner(url)


def test_a_dead_learner_of_ours_is_removed_and_added_anew(world: World) -> None:
    client = plain_etcd([f"http://{NETWORK}.2:{CLIENT}"])
    Deadline(30).until(lambda: add(client, f"http://{NETWORK}.77:{PEER}"), "a learner")
    # Its ticket says that it was this program's; its machine is gone and another one has come.
    world.parameters["/ticket"] = f'{{"initial_cluster": "d=http://{NETWORK}.77:{PEER}", "state": "existing"}}'
    swap(world).advance()
    assert names(world) == ["b", "c", "d"]
    client.close()


def test_leadership_leaves_the_old_member_by_a_transfer(world: World) -> None:
    client = plain_etcd([f"http://{NETWORK}.1:{CLIENT}"])
    members = {member.name: member for member in client.members()}
    leader = client.status(f"http://{NETWORK}.1:{CLIENT}").leader
    holder = next(member for member in members.values() if member.id == leader)
    if holder.name != "a":
        client.transfer_leadership(holder.client_urls[0], members["a"].id)
    told: list[str] = []
    done = swap(world, told.append).advance()
    assert done.leader_changes == 1
    assert any("leadership handed to d" in line for line in told)
    client.close()


def test_an_old_member_that_died_meanwhile_is_let_go(world: World) -> None:
    def die(event: str) -> None:
        if event == "deregister new":
            world.machines["group-a"].stop()
            world.before_event = lambda _: None

    world.before_event = die
    swap(world).advance()
    assert names(world) == ["b", "c", "d"]
