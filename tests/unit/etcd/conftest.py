"""Three real members and a fourth machine that waits."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.legacy import userdata as legacy
from migration.etcd.preflight import preflight
from migration.runtime.deadline import Deadline
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
    world = World(folder=tmp_path)
    for number, name in enumerate("abcd", 1):
        world.machines[f"group-{name}"] = Machine(id=f"i-{name}", ip=f"{NETWORK}.{number}", name=name, folder=tmp_path)
    # A test's own first machine: where it is, and what its peer URL says.
    for key, value in getattr(request, "param", {}).items():
        setattr(world.machines["group-a"], key, value)
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
