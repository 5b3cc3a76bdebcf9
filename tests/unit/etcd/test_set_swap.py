"""A set, a member's machine and an API machine, swapped on a real three-member etcd: whole, killed, and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migration.clients.etcd import Etcd
from migration.etcd.volume_swap import VolumeSwap
from migration.runtime.deadline import Permanent
from tests.unit.etcd.conftest import living
from tests.unit.etcd.set_world import SERVERS, SetVolumeWorld, SetWorld, set_swap, settle, url
from tests.unit.etcd.world import Killed, addresses, names

# Three etcds for each test.
pytestmark = pytest.mark.lab

ORDER = [
    "note",
    "hold",
    "ticket",
    "ticket ends",
    "servers of api-a2",
    "register",
    "deregister new",
    "deregister old",
    "tell api-b",
    "restart api-b",
    "register",
    "register old",
    "deregister new",
    "deregister old",
    "tell api-c",
    "restart api-c",
    "register",
    "register old",
    "note",
    "hold api-a",
    "deregister new",
    "deregister old",
    SERVERS,
    "etcd",
    "away",
    "away api-a",
]


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SetWorld]:
    world = SetWorld(folder=tmp_path, **getattr(request, "param", {}))
    for found in living(world):
        assert found is world
        settle(world)
        yield world


def test_a_set_is_swapped_in_order_and_a_second_run_changes_nothing(world: SetWorld) -> None:
    done = set_swap(world).advance()
    assert world.events == ORDER
    assert names(world) == ["b", "c", "d"]
    assert world.targets == {"old": {"i-api-b", "i-api-c"}, "new": addresses(12, 13, 21)}
    # Each its own member first, and then the one that nobody moves any more.
    assert world.serving() == {
        f"{address(21)}": url(4),
        f"{address(12)}": f"{url(2)},{url(4)}",
        f"{address(13)}": f"{url(3)},{url(4)}",
    }
    again = set_swap(world).advance(done)
    assert world.events == ORDER
    assert again == done


def address(number: int) -> str:
    [found] = addresses(number)
    return found


@pytest.mark.timeout(400)
def test_killed_before_every_change_it_goes_on_from_what_is(world: SetWorld) -> None:
    pending = list(ORDER)
    due = 0

    def kill(event: str) -> None:
        # Each change is killed once before it is made, and made by the next run.
        nonlocal due
        if due < len(pending) and event == pending[due]:
            due += 1
            raise Killed

    world.before_event = kill
    for _ in range(len(ORDER) + 1):
        try:
            set_swap(world).advance()
        except Killed:
            continue
        break
    assert due == len(ORDER)
    assert names(world) == ["b", "c", "d"]
    assert world.targets == {"old": {"i-api-b", "i-api-c"}, "new": addresses(12, 13, 21)}
    once = ("ticket", "ticket ends", "servers of api-a2", "hold api-a", "away", "away api-a", "restart api-b")
    assert [world.events.count(event) for event in once] == [1] * len(once)


def test_an_api_server_whose_list_cannot_be_seen_is_refused_before_the_old_member_leaves(world: SetWorld) -> None:
    world.told[address(12)] = ""
    with pytest.raises(Permanent, match=r"which members of etcd api-b's API server asks can't be seen on i-api-b"):
        set_swap(world).advance()
    assert names(world) == ["a", "b", "c", "d"]
    assert "etcd" not in world.events


FEWER = {"sets": {"a": ("api-a",)}, "least": 1}
MORE = {"sets": {"a": ("api-a", "api-x"), "b": ("api-b",), "c": ("api-c",)}}


@pytest.mark.parametrize("world", [FEWER], indirect=True)
def test_with_fewer_api_groups_than_members_the_others_have_nobody_to_tell(world: SetWorld) -> None:
    set_swap(world).advance()
    assert world.serving() == {address(21): url(4)}
    assert not [event for event in world.events if event.startswith("tell")]


@pytest.mark.parametrize("world", [MORE], indirect=True)
def test_with_more_api_groups_than_members_all_of_a_set_go(world: SetWorld) -> None:
    set_swap(world).advance()
    assert world.targets["new"] == addresses(12, 13, 21, 24)
    assert world.endpoints == addresses(12, 13, 21, 24)
    assert {"group-api-a", "group-api-x"}.isdisjoint(world.machines)


def test_taken_back_old_machines_come_anew_and_ask_only_what_stays(world: SetWorld) -> None:
    set_swap(world).advance()
    world.events.clear()
    set_swap(world, back=True).advance()
    assert names(world) == ["a", "b", "c"]
    here = {group: one.ip for group, one in world.machines.items()}
    assert {"group-d", "group-api-a2"}.isdisjoint(here)
    back = f"http://{here['group-a']}:{url(1).rsplit(':', 1)[1]}"
    told = world.serving()
    # All are where they shall be, so each is told all.
    assert told[here["group-api-a"]] == f"{back},{url(2)},{url(3)}"
    assert told[address(12)] == f"{url(2)},{back},{url(3)}"
    assert told[address(13)] == f"{url(3)},{back},{url(2)}"
    assert world.targets["new"] == {here["group-api-a"], *addresses(12, 13)}
    assert world.targets["old"] == {world.machines["group-api-a"].id, "i-api-b", "i-api-c"}
    # Nothing is kept but that the old groups' machines are this program's now.
    kept = {key for tags in world.tags.values() for key in tags}
    assert kept == {"migration:returned"}
    assert world.parameters.keys() == {
        "/test/members/api-a/ticket",
        "/test/members/api-b/ticket",
        "/test/members/api-c/ticket",
    }
    assert not any(world.suspended.values())


def test_forward_again_after_that_nothing_of_the_return_is_left(world: SetWorld) -> None:
    set_swap(world).advance()
    set_swap(world, back=True).advance()
    set_swap(world).advance()
    assert names(world) == ["b", "c", "d"]
    assert {key for tags in world.tags.values() for key in tags} == {"migration:swap"}
    assert world.templates["group-a"] == world.templates["group-api-a"] == "$Default"


@pytest.mark.timeout(400)
def test_killed_before_every_change_of_the_way_back_it_goes_on_from_what_is(world: SetWorld) -> None:
    set_swap(world).advance()
    seen: list[str] = []

    def kill(event: str) -> None:
        # As far as no run has come yet: every change is killed once.
        if world.events.count(event) + 1 > seen.count(event):
            seen.append(event)
            raise Killed

    world.events.clear()
    world.before_event = kill
    for _ in range(80):
        try:
            set_swap(world, back=True).advance()
        except Killed:
            continue
        break
    assert len(seen) > 30
    assert names(world) == ["a", "b", "c"]
    assert world.targets["new"] == {world.machines["group-api-a"].ip, *addresses(12, 13)}
    assert not any(world.suspended.values())
    assert {key for tags in world.tags.values() for key in tags} == {"migration:returned"}


def test_turned_round_on_the_way_back_what_came_goes_again(world: SetWorld) -> None:
    set_swap(world).advance()
    world.joins = False

    def kill(event: str) -> None:
        if event == "ticket ends":
            raise Killed

    world.before_event = kill
    run = set_swap(world, back=True, seconds=8)
    with pytest.raises((Permanent, Killed)):
        run.advance()
    world.before_event = lambda _: None
    assert "group-api-a" in world.machines
    assert set_swap(world, back=True).give_back() is True
    assert "group-api-a" not in world.machines
    assert world.templates["group-api-a"] == "$Default"
    assert world.serving() == {
        f"{address(21)}": url(4),
        f"{address(12)}": f"{url(2)},{url(4)}",
        f"{address(13)}": f"{url(3)},{url(4)}",
    }


ON = [
    "note",
    "hold",
    "note",
    "hold api-a",
    "deregister new",
    "deregister old",
    SERVERS,
    "deregister new",
    "deregister old",
    "tell api-b",
    "restart api-b",
    "register",
    "register old",
    "deregister new",
    "deregister old",
    "tell api-c",
    "restart api-c",
    "register",
    "register old",
    "systemctl stop etcd",
    "away",
    "away api-a",
    "give volume",
    "attach",
    "address",
    "ticket",
    "ticket ends",
    "servers of api-a2",
    "register",
]


@pytest.fixture
def volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SetVolumeWorld]:
    world = SetVolumeWorld(folder=tmp_path)
    update = Etcd.update

    def told(etcd: Etcd, member: str, peer_url: str, endpoint: str) -> None:
        world.event("address")
        update(etcd, member, peer_url, endpoint)

    monkeypatch.setattr(Etcd, "update", told)
    for found in living(world):
        assert found is world
        settle(world)
        yield world


@pytest.mark.timeout(400)
def test_with_its_volume_a_set_moves_in_order_and_its_image_finds_the_volume(volumes: SetVolumeWorld) -> None:
    set_swap(volumes, kind=VolumeSwap).advance()
    assert volumes.events == ON
    assert names(volumes) == ["b", "c", "d"]
    assert volumes.disks["vol-a"].tags["k8s.io/etcd/main"] == "d"
    assert volumes.serving()[address(12)] == f"{url(2)},{url(4)}"
    assert volumes.targets["new"] == addresses(12, 13, 21)


@pytest.mark.timeout(400)
def test_a_volume_that_has_not_left_is_given_back_with_its_api_server(volumes: SetVolumeWorld) -> None:
    def kill(event: str) -> None:
        if event == "away":
            raise Killed

    volumes.before_event = kill
    with pytest.raises(Killed):
        set_swap(volumes, kind=VolumeSwap).advance()
    volumes.before_event = lambda _: None
    assert set_swap(volumes, kind=VolumeSwap).give_back() is True
    assert names(volumes) == ["a", "b", "c"]
    assert volumes.targets["new"] == addresses(11, 12, 13)
    assert volumes.serving()[address(12)] == f"{url(2)},{url(1)},{url(3)}"
    assert not any(volumes.suspended.values())
