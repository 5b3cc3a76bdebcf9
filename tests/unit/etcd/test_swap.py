"""One member swapped on a real three-member etcd, whole and interrupted at every change."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from migration.clients.etcd import Etcd, Member
from migration.runtime.deadline import Deadline, Permanent, Retryable
from tests.unit.etcd.world import CLIENT, NETWORK, PEER, Killed, Machine, World, addresses, names, plain_etcd, swap

# Three etcds for each test.
pytestmark = pytest.mark.lab

ORDER = [
    "note",
    "hold",
    "ticket",
    "ticket ends",
    "register",
    "deregister new",
    "deregister old",
    "kube-scheduler kube-controller-manager kube-apiserver",
    "etcd",
    "away",
]


def test_a_member_is_swapped_in_order_and_a_second_run_changes_nothing(world: World) -> None:
    done = swap(world).advance()
    assert world.events == ORDER
    assert names(world) == ["b", "c", "d"]
    assert (done.state, done.name, done.members) == ("new", "d", ("b", "c", "d"))
    assert done.snapshot is not None
    assert Path(done.snapshot.path).stat().st_size == done.snapshot.bytes + 32
    assert world.targets == {"old": {"i-b", "i-c"}, "new": addresses(2, 3, 4)}
    assert world.endpoints == addresses(2, 3)
    # Each step is timed, in order, from the machine on; what finds all of it done keeps that.
    assert [one.name for one in done.steps][:3] == ["prepare", "machine", "ready"]
    assert [one.name for one in done.steps][-1] == "verified"
    assert [one.began for one in done.steps] == sorted(one.began for one in done.steps)
    assert sum(one.seconds for one in done.steps) > 0
    again = swap(world).advance(done)
    assert again.steps == done.steps
    assert world.events == ORDER
    assert again == done
    assert swap(world).advance().snapshot is None


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
    # Stopping what is stopped is harmless; the rest is done once.
    once = ("note", "hold", "ticket", "ticket ends", "register", "deregister new", "deregister old", "away")
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


NAMED = {"ip": "127.0.0.1", "host": "localhost"}


@pytest.mark.parametrize("world", [NAMED], indirect=True)
def test_an_old_member_with_a_dns_peer_url_and_another_name_is_swapped_like_any(world: World) -> None:
    done = swap(world, name="master-1").advance()
    assert world.events == ORDER
    assert names(world) == ["b", "c", "d"]
    assert done.snapshot is not None
    assert done.members == ("b", "c", "d")


@pytest.mark.parametrize("world", [NAMED], indirect=True)
def test_a_member_that_cannot_be_found_is_refused_with_both_lists_and_its_machine_stays(world: World) -> None:
    refused = r"master-1 can't be found in etcd's list\. migration:members: master-1 at .* or 10\.9\.9\.9;.*a at http://localhost:"
    with pytest.raises(Permanent, match=refused):
        swap(replaced_machine(world), name="master-1", address="10.9.9.9", group="group-z").advance()
    assert world.events == []
    assert names(world) == ["a", "b", "c"]


def replaced_machine(world: World) -> World:
    """Its group's machine says nothing of where its member is."""
    world.machines["group-z"] = Machine(id="i-z", ip=f"{NETWORK}.26", name="z", folder=world.folder)
    return world


def test_removed_by_somebody_else_before_the_new_member_votes_is_refused_and_no_machine_ends(world: World) -> None:
    world.joins = False
    run = swap(world)
    run.alive = stop_at("ticket", world)
    with pytest.raises(Killed):
        run.advance()
    client = plain_etcd([f"http://{NETWORK}.2:{CLIENT}"])
    [old] = [member for member in client.members() if member.name == "a"]
    Deadline(30).until_true(lambda: removed(client, old.id), "the removal of a")
    client.close()
    with pytest.raises(
        Permanent, match=r"a \(\d+\) isn't in etcd's list, and not by this swap: d has no vote, and 2 vote"
    ):
        swap(world).advance()
    assert world.events == ["note", "hold", "ticket", "resume", "forget"]


def removed(client: Any, member: str) -> bool:
    client.remove(member, f"http://{NETWORK}.2:{CLIENT}")
    return True


def kill_at(world: World, event: str) -> None:
    """A run that is killed right before a change."""

    def kill(next_event: str) -> None:
        if next_event == event:
            raise Killed

    world.before_event = kill
    with pytest.raises(Killed):
        swap(world).advance()
    world.before_event = lambda _: None


def test_which_member_goes_outlives_a_killed_run_though_its_peer_url_leads_nowhere(world: World) -> None:
    kill_at(world, "ticket")
    # By its address and name nothing would be found any more: the group's note has the id.
    done = swap(world, name="master-1", address="10.9.9.9").advance()
    assert names(world) == ["b", "c", "d"]
    assert done.old_member_id is not None
    assert done.old_member_id in world.tags["group-a"]["migration:swap"]


def test_a_lost_answer_to_the_addition_goes_on_with_what_was_added(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    def add_and_lose(self: Etcd, peer_url: str) -> Member:
        for at in self.endpoints:
            if not lost:
                self.call(at, "cluster/member/add", {"peerURLs": [peer_url], "isLearner": True})
                lost.append(peer_url)
        raise Retryable("etcd doesn't answer: ReadTimeout")

    monkeypatch.setattr(Etcd, "add_learner", add_and_lose)
    swap(world, seconds=40).advance()
    assert len(lost) == 1
    assert names(world) == ["b", "c", "d"]


def test_a_member_that_leads_again_right_before_its_removal_hands_over_first(world: World) -> None:
    def lead_again(event: str) -> None:
        if event == "kube-scheduler kube-controller-manager kube-apiserver":
            world.before_event = lambda _: None
            client = plain_etcd([f"http://{NETWORK}.2:{CLIENT}"])
            members = {member.id: member for member in client.members()}
            leader = client.status(f"http://{NETWORK}.2:{CLIENT}").leader
            [old] = [member.id for member in members.values() if member.name == "a"]
            client.transfer_leadership(members[leader].client_urls[0], old)
            client.close()

    told: list[str] = []
    world.before_event = lead_again
    swap(world, told.append).advance()
    last = [line for line in told if "leadership handed to d" in line or "removed a" in line][-2:]
    assert last[0] == "leadership handed to d"
    assert last[1].startswith("removed a")


def begun(world: World) -> None:
    """A swap whose learner's machine doesn't come up; AZRebalance and Launch were suspended before."""
    world.suspended["group-a"] = {"AZRebalance", "Launch"}
    world.joins = False
    with pytest.raises(Permanent, match="d's etcd to start"):
        swap(world, seconds=15).advance()


def test_a_swap_that_ends_before_the_new_member_votes_gives_back_what_was_suspended(world: World) -> None:
    begun(world)
    assert world.suspended["group-a"] == {"AZRebalance", "Launch"}
    assert world.tags["group-a"] == {}
    assert world.events == ["note", "hold", "ticket", "resume", "forget"]
    # And begins anew.
    world.joins = True
    world.machines["group-d"].start(*initial(world))
    swap(world).advance()
    assert names(world) == ["b", "c", "d"]


def initial(world: World) -> tuple[str, str]:
    """What the ticket said."""
    ticket = json.loads(world.parameters["/ticket"])
    return ticket["initial_cluster"], ticket["state"]


def test_wanted_on_the_old_side_again_leaves_no_learner_no_ticket_and_the_group_as_it_was(world: World) -> None:
    world.joins = False
    run = swap(world, seconds=600)
    run.alive = stop_at("ticket", world)
    with pytest.raises(Killed):
        run.advance()
    assert world.suspended["group-a"] == {"Launch", "ReplaceUnhealthy", "HealthCheck"}
    assert swap(world).give_back() is True
    assert world.suspended["group-a"] == set()
    assert world.parameters == {}
    client = plain_etcd([f"http://{NETWORK}.2:{CLIENT}"])
    assert [member.learner for member in client.members()] == [False] * 3
    client.close()
    before = list(world.events)
    assert swap(world).give_back() is True
    assert world.events == before


def stop_at(event: str, world: World) -> Callable[[], None]:
    def alive() -> None:
        if event in world.events:
            raise Killed

    return alive


def test_a_member_that_votes_on_the_new_side_is_not_given_back_but_swapped_back(world: World) -> None:
    kill_at(world, "register")
    assert swap(world).give_back() is False
    assert world.suspended["group-a"] == {"Launch", "ReplaceUnhealthy", "HealthCheck"}


def test_a_machine_that_was_replaced_after_its_promotion_writes_its_address_and_the_swap_goes_on(world: World) -> None:
    kill_at(world, "register")
    before = world.machines["group-d"]
    before.stop()
    after = world.machines["group-d"] = Machine(id="i-d2", ip=f"{NETWORK}.44", name="d", folder=world.folder)

    def heal() -> None:
        # As the boot of the new machine does, before its etcd starts.
        client = plain_etcd([f"http://{NETWORK}.2:{CLIENT}"])
        [own] = [member for member in client.members() if member.name == "d"]
        client.call(client.endpoints[0], "cluster/member/update", {"ID": own.id, "peerURLs": [after.peer_url]})
        client.close()
        after.start("", "existing")

    timer = threading.Timer(3, heal)
    timer.start()
    try:
        done = swap(world).advance()
    finally:
        timer.join()
        after.stop()
    assert done.members == ("b", "c", "d")
    assert world.targets["new"] == addresses(2, 3, 44)


def test_a_machine_too_far_from_the_members_is_never_added(world: World) -> None:
    world.round_trip = 0.2
    with pytest.raises(Permanent, match=r"round trip between members takes 200 ms \(d to [abc]\); the limit is 180 ms"):
        swap(world, seconds=8).advance()
    assert world.events == []
    assert names(world) == ["a", "b", "c"]
