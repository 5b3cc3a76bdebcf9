"""Three real members and a fourth machine that waits."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.legacy import userdata as legacy
from migration.etcd.preflight import preflight
from migration.runtime.deadline import Deadline
from tests.unit.etcd.volume_world import VolumeWorld, on_volumes
from tests.unit.etcd.world import CLIENT, NETWORK, PEER, Machine, World, plain_etcd


def original() -> str:
    """The old members' user data, with etcd on this process's ports."""
    made = legacy.control_plane(
        cluster="test",
        member="a",
        pod_cidr="100.64.0.0/16",
        api_names=["api.pet.lab.internal"],
        volume_tags={"k8s.io/etcd/main": "a"},
    )
    return base64.b64encode(made.replace("2379", str(CLIENT)).replace("2380", str(PEER)).encode()).decode()


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    # A test's own first machine: where it is, and what its peer URL says.
    yield from living(World(folder=tmp_path), **getattr(request, "param", {}))


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[VolumeWorld]:
    """The same with each member's data on a volume, as a legacy cluster has it."""
    world = VolumeWorld(folder=tmp_path)
    for found in living(world):
        assert found is world
        yield world


def living(world: World, **first: str) -> Iterator[World]:
    """With a, b and c running, and a machine that waits for d's ticket."""
    for number, name in enumerate("abcd", 1):
        ip = f"{NETWORK}.{number}"
        world.machines[f"group-{name}"] = Machine(id=f"i-{name}", ip=ip, name=name, folder=world.folder)
    for key, value in first.items():
        setattr(world.machines["group-a"], key, value)
    if isinstance(world, VolumeWorld):
        on_volumes(world, "abc")
    old = [world.machines[f"group-{name}"] for name in "abc"]
    world.everyone = list(world.machines.values())
    initial = ",".join(f"{one.name}={one.peer_url}" for one in old)
    for one in old:
        one.start(initial, "new")
    world.versions = {"1": {"VersionNumber": 1, "LaunchTemplateData": {"UserData": original()}}}
    world.targets = {"old": {one.id for one in old}, "new": {one.ip for one in old}}
    world.endpoints = {one.ip for one in old}
    client = plain_etcd([f"http://{one.ip}:{CLIENT}" for one in old])
    Deadline(30).until_true(lambda: len(client.members()) == 3, "three members")
    Deadline(30).until(
        lambda: preflight(client, ours=lambda _: False, log=lambda _: None, observations=1), "a healthy cluster"
    )
    client.close()
    yield world
    for one in world.everyone:
        one.stop()
