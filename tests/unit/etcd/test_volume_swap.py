"""One member moved with its volume on a real three-member etcd: whole, killed between each pair of steps, both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from migration.clients.etcd import Etcd
from migration.contracts.base import Connection
from migration.contracts.members import EtcdAccess, MemberSwapInputs, MemberSwapResult
from migration.etcd.returning import RETURN_TAG
from migration.operations import member_swap
from migration.runtime.context import Context
from migration.runtime.deadline import Deadline, Permanent
from migration.settings.model import Access
from tests.unit.etcd.volume_world import VolumeWorld, moving
from tests.unit.etcd.world import CLIENT, NETWORK, PEER, Killed, addresses, names, pairs, plain_etcd

# Three etcds for each test.
pytestmark = pytest.mark.lab

SERVERS = "kube-scheduler kube-controller-manager kube-apiserver"
ON = [
    "note",
    "hold",
    "deregister new",
    "deregister old",
    SERVERS,
    "systemctl stop etcd",
    "away",
    "give volume",
    "attach",
    "address",
    "ticket",
    "ticket ends",
    "register",
]
BACK = [
    "note migration:swap-back",
    "hold d",
    "note migration:returned",
    "resume",
    "forget",
    "version",
    "template",
    "up a",
    "deregister new",
    SERVERS,
    "systemctl stop etcd",
    "away d",
    "give volume",
    "attach",
    "address",
    "ticket a",
    "ticket ends",
    "register",
    "register old",
    "resume d",
    "forget migration:swap-back",
]


# Of a way back, where the member is away, has its volume, may start: the other steps are as on the way.
CRUCIAL = ("up a", "systemctl stop etcd", "attach", "ticket a")


class Operation:
    """The operation as the engine calls it: with what its last run that ended gave."""

    def __init__(self, world: VolumeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.previous: MemberSwapResult | None = None
        self.log: list[str] = []
        self.seconds: float = 60
        self.strategy: Any = "volume"

        def made(inputs: MemberSwapInputs, context: Context, *, back: bool = False) -> Any:
            return moving(world, self.log.append, back=back, seconds=self.seconds)

        monkeypatch.setattr(member_swap, "_swap", made)
        update = Etcd.update

        def told(etcd: Etcd, member: str, peer_url: str, endpoint: str) -> None:
            world.event("address")
            update(etcd, member, peer_url, endpoint)

        monkeypatch.setattr(Etcd, "update", told)

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
            strategy=self.strategy,
        )
        clients: Any = type("Clients", (), {"aws": self.world})()
        context = Context(log=self.log.append, deadline=Deadline(60), clients=clients)
        self.previous = member_swap.run(inputs, self.previous, context)
        self.world.never()
        return self.previous

    def killed_at(self, event: str, wanted: Any) -> None:
        """A run that is killed right before a change."""

        def kill(next_event: str) -> None:
            if next_event == event:
                raise Killed

        self.world.before_event = kill
        with pytest.raises(Killed):
            self.run(wanted)
        self.world.before_event = lambda _: None

    def killed_at_every(self, order: list[str], wanted: Any) -> None:
        """Each change is killed once before it is made, and made by the next run."""
        pending = list(order)

        def kill(event: str) -> None:
            if pending and event == pending[0]:
                pending.pop(0)
                raise Killed

        self.world.before_event = kill
        for _ in range(len(order) + 1):
            try:
                self.run(wanted)
            except Killed:
                continue
        self.world.before_event = lambda _: None
        assert pending == []


@pytest.fixture
def operation(volumes: VolumeWorld, monkeypatch: pytest.MonkeyPatch) -> Operation:
    return Operation(volumes, monkeypatch)


def client(world: VolumeWorld) -> Etcd:
    return plain_etcd([f"http://{one.ip}:{CLIENT}" for one in world.machines.values() if one.process])


def entry(world: VolumeWorld) -> tuple[str, str, str]:
    """The moving member's id, name and peer URL."""
    etcd = client(world)
    try:
        [found] = [one for one in etcd.members() if one.name not in ("b", "c")]
        return found.id, found.name, found.peer_urls[0]
    finally:
        etcd.close()


def written(world: VolumeWorld, value: str) -> None:
    etcd = client(world)
    etcd.call(etcd.endpoints[0], "kv/put", {"key": "a2V5", "value": value})
    etcd.close()


def read(world: VolumeWorld, group: str) -> str:
    """What the member itself has, without asking the others."""
    etcd = client(world)
    at = f"http://{world.machines[group].ip}:{CLIENT}"
    found = etcd.call(at, "kv/range", {"key": "a2V5", "serializable": True})
    etcd.close()
    return found["kvs"][0]["value"]


def on(world: VolumeWorld) -> None:
    """Member a is on d's machine, and nothing of the move is left to do."""
    assert names(world) == ["b", "c", "d"]
    assert "group-a" not in world.machines
    assert world.disks["vol-a"].holder == world.machines["group-d"].id
    assert world.disks["vol-a"].tags["migration:member"] == "d"
    here = world.machines["group-d"].ip
    assert world.targets == {"old": {"i-b", "i-c"}, "new": {*addresses(2, 3), here}}
    assert world.parameters == {}
    assert RETURN_TAG not in world.tags["group-a"]
    assert "migration:swap-back" not in world.tags["group-a"]
    assert not world.suspended.get("group-d")
    assert world.template == "$Default"


def back(world: VolumeWorld) -> None:
    """Member a is on a machine of its old group, and nothing is held."""
    here = world.machines["group-a"]
    assert names(world) == ["a", "b", "c"]
    assert world.disks["vol-a"].holder == here.id
    assert here.id in world.targets["old"]
    assert here.ip in world.targets["new"]
    assert here.ip not in world.stopped
    assert world.parameters == {}
    assert not any(world.suspended.values())
    assert set(world.tags.get("group-a", {})) <= {RETURN_TAG}


@pytest.mark.timeout(240)
def test_on_and_back_in_order_with_its_id_and_data_and_a_second_run_changes_nothing(operation: Operation) -> None:
    world = operation.world
    before = entry(world)
    written(world, "b25l")
    done = operation.run("new")
    assert world.events == ON
    on(world)
    after = entry(world)
    assert after == (before[0], "d", f"http://{NETWORK}.4:{PEER}")
    assert (done.state, done.name, done.members) == ("new", "d", ("b", "c", "d"))
    assert (done.member_id, done.old_member_id) == (before[0], before[0])
    assert done.snapshot is not None
    assert read(world, "group-d") == "b25l"
    assert any("2 of 3 vote until it is up" in line and "0 more may fail" in line for line in operation.log)
    assert operation.run("new") == done
    assert world.events == ON

    world.events.clear()
    written(world, "dHdv")
    done = operation.run("old")
    assert world.events == BACK
    back(world)
    assert entry(world)[:2] == (before[0], "a")
    assert (done.state, done.name, done.members) == ("old", "a", ("a", "b", "c"))
    assert read(world, "group-a") == "dHdv"
    assert world.disks["vol-a"].tags["migration:member"] == "a"
    assert "group-d" not in world.machines
    world.events.clear()
    assert operation.run("old").state == "old"
    assert operation.run("old", returning=True).state == "old"
    assert world.events == []

    assert operation.run("new").state == "new"
    on(world)
    assert list(world.disks) == ["vol-a", "vol-b", "vol-c"]
    assert list(world.versions) == ["1"]


@pytest.mark.timeout(400)
def test_killed_before_every_change_it_goes_on_from_what_is(operation: Operation) -> None:
    world = operation.world
    operation.killed_at_every(ON, "new")
    assert list(dict.fromkeys(world.events)) == ON
    # Stopping what is stopped is harmless; the rest is done once.
    once = [event for event in ON if event not in (SERVERS, "systemctl stop etcd")]
    assert [world.events.count(event) for event in once] == [1] * len(once)
    on(world)


@pytest.mark.timeout(400)
def test_killed_before_every_change_back_goes_on_from_what_is(operation: Operation) -> None:
    world = operation.world
    operation.run("new")
    world.events.clear()
    operation.killed_at_every(BACK, "old")
    assert list(dict.fromkeys(world.events)) == BACK
    back(world)
    assert len(world.versions) == 2


@pytest.mark.timeout(240)
@pytest.mark.parametrize("event", ON[1:])
def test_turned_round_at_any_step_the_member_is_back(operation: Operation, event: str) -> None:
    world = operation.world
    before = entry(world)[0]
    operation.killed_at(event, "new")
    assert operation.run("old").state == "old"
    back(world)
    assert entry(world)[0] == before
    assert operation.run("old", returning=True).state == "old"


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "event", [event if event in CRUCIAL else pytest.param(event, marks=pytest.mark.thorough) for event in BACK[1:]]
)
def test_turned_round_at_any_step_of_a_way_back_it_is_on_again(operation: Operation, event: str) -> None:
    world = operation.world
    operation.run("new")
    operation.killed_at(event, "old")
    assert operation.run("new").state == "new"
    on(world)
    assert operation.run("new").state == "new"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("event", ["attach", "ticket"])
def test_turned_round_twice_and_killed_each_time_it_still_arrives(operation: Operation, event: str) -> None:
    world = operation.world
    operation.killed_at(event, "new")
    operation.killed_at("up a", "old")
    # d has the volume by then, or gets it; it was never started there, so only a ticket may start it.
    operation.killed_at("ticket", "new")
    assert "systemctl start etcd" not in world.events
    assert operation.run("old").state == "old"
    back(world)
    operation.run("new")
    on(world)


def refusal(operation: Operation, match: str) -> None:
    world = operation.world
    operation.seconds = 8
    with pytest.raises(Permanent, match=match):
        operation.run("new")
    assert world.events == []
    assert names(world) == ["a", "b", "c"]


def test_a_volume_of_another_zone_and_no_room_are_refused_together_before_anything_changes(
    operation: Operation,
) -> None:
    operation.world.disks["vol-a"].zone = "b"
    operation.world.disks["vol-a"].multi_attach = True
    operation.world.limit = 2
    refusal(
        operation,
        "vol-a is in b and the machine of d in a: .* learner; vol-a .io2. may be attached to several machines .*; "
        " takes 2 attachments, and 2 volumes, 1 interfaces and 0 own disks would be 3: give i-d fewer disks",
    )


def test_no_data_volume_and_several_are_refused(operation: Operation) -> None:
    from tests.unit.etcd.volume_world import Disk

    world = operation.world
    world.disks["vol-x"] = Disk(holder="i-a", tags=dict(world.disks["vol-a"].tags))
    with pytest.raises(Permanent, match=r"the volume with the data of a can't be told: .* is vol-a, vol-x, and one"):
        operation.run("new")
    assert world.events == []
    del world.disks["vol-x"]
    holder, world.disks["vol-a"].holder = world.disks["vol-a"].holder, None
    with pytest.raises(Permanent, match="is none, and one is wanted"):
        operation.run("new")
    world.disks["vol-a"].holder = holder
    assert world.events == []


@pytest.mark.parametrize("unwell", ["a", "b"])
def test_with_any_member_unwell_nothing_is_begun(operation: Operation, unwell: str) -> None:
    world = operation.world
    machine = world.machines[f"group-{unwell}"]
    machine.stop()
    operation.seconds = 8
    with pytest.raises(Permanent, match=r"gave up after 8 s waiting for (the other members|etcd) to be healthy"):
        operation.run("new")
    assert world.events == []


def test_another_member_that_falls_ill_meanwhile_stops_the_next_step_that_takes_away(operation: Operation) -> None:
    world = operation.world

    def ill(event: str) -> None:
        if event == SERVERS:
            world.machines["group-b"].stop()
            world.before_event = lambda _: None

    world.before_event = ill
    operation.seconds = 12
    with pytest.raises(Permanent, match=r"the other members to be healthy|leadership to leave a"):
        operation.run("new")
    assert world.events[-1] == SERVERS
    assert world.machines["group-a"].process is not None
    world.machines["group-b"].start("", "existing")
    operation.seconds = 60
    assert operation.run("new").state == "new"
    on(world)


def test_leadership_is_handed_over_and_not_lost(operation: Operation) -> None:
    world = operation.world
    etcd = client(world)
    members = {member.name: member for member in etcd.members()}
    leader = etcd.status(etcd.endpoints[0]).leader
    holder = next(member for member in members.values() if member.id == leader)
    if holder.name != "a":
        etcd.transfer_leadership(holder.client_urls[0], members["a"].id)
    etcd.close()
    assert operation.run("new").leader_changes == 1


def test_a_volume_that_lingers_at_a_machine_that_is_gone_is_detached_and_one_elsewhere_never(
    operation: Operation,
) -> None:
    world = operation.world
    world.lingers = True
    operation.killed_at("detach", "new")
    world.disks["vol-a"].holder = "i-somebody"
    with pytest.raises(Permanent, match=r"vol-a, .* is attached to i-somebody, which is none of the member's machines"):
        operation.run("new")
    world.disks["vol-a"].holder = "i-a"
    operation.run("new")
    assert world.events == [*ON[:7], "detach", *ON[7:]]
    on(world)


def test_a_machine_that_is_replaced_before_it_starts_gets_the_volume_and_the_address(operation: Operation) -> None:
    world = operation.world
    world.starts = lambda _: False
    operation.seconds = 10
    with pytest.raises(Permanent, match="d's etcd to be back with its data"):
        operation.run("new")
    world.starts = lambda _: True
    world.machines.pop("group-d")
    world.disks["vol-a"].holder = None
    world.update_auto_scaling_group("group-d", MinSize=1, MaxSize=1, DesiredCapacity=1)
    operation.seconds = 60
    operation.run("new")
    on(world)
    assert entry(world)[2] == world.machines["group-d"].peer_url


def test_a_boot_that_attaches_its_volume_first_is_no_fault(operation: Operation) -> None:
    # AWS says then that the name is taken, which is final for any other volume.
    operation.world.quick = True
    operation.run("new")
    on(operation.world)


def test_a_strategy_that_changes_while_a_move_is_on_its_way_is_refused(operation: Operation) -> None:
    operation.killed_at("away", "new")
    operation.strategy = "learner"
    for wanted in ("new", "old"):
        with pytest.raises(
            Permanent, match="is 'learner', but a was moved, or is on its way, by 'volume': set it back"
        ):
            operation.run(wanted)
    operation.strategy = "volume"
    assert operation.run("old").state == "old"
    back(operation.world)


def test_a_member_that_somebody_removed_meanwhile_is_not_started(operation: Operation) -> None:
    world = operation.world
    operation.killed_at("attach", "new")
    etcd = client(world)
    [own] = [one for one in etcd.members() if one.name == "a"]
    Deadline(30).until_true(_done(lambda: etcd.remove(own.id, etcd.endpoints[0])), "the removal")
    etcd.close()
    with pytest.raises(Permanent, match=r"isn't in etcd's list any more: .* Somebody removed it"):
        operation.run("new")


def _done(do: Callable[[], None]) -> Callable[[], bool]:
    def attempt() -> bool:
        do()
        return True

    return attempt
