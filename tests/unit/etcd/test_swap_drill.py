"""The drill and the versions within a swap: before the learner is added, or never; and what the result says."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from lab.toolchain import ensure, tool_path
from migration.clients.etcd import Etcd, Status
from migration.etcd.drill.compare import KNOWN
from migration.runtime.deadline import Permanent
from tests.unit.etcd.world import CLIENT, NETWORK, World, names, plain_etcd, swap

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    ensure(print, ["etcd", "etcdutl"])
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("etcd", "etcdutl"):
        (folder / name).symlink_to(tool_path(name))
    return folder


def put(world: World) -> None:
    body = {"key": base64.b64encode(KNOWN).decode(), "value": base64.b64encode(b"k8s").decode()}
    with plain_etcd([f"http://{NETWORK}.1:{CLIENT}"]) as etcd:
        etcd.call(etcd.endpoints[0], "kv/put", body)


def test_a_swap_holds_the_drill_before_anything_is_changed_and_its_result_says_so(world: World, tools: Path) -> None:
    put(world)
    told: list[str] = []
    world.before_event = lambda event: told.append(f"event {event}")
    run = swap(world, told.append, seconds=150, restore_drill="always")
    run.tools = str(tools)
    done = run.advance()
    assert done.restore_drill is not None
    assert done.snapshot is not None
    assert (done.restore_drill.drilled, done.restore_drill.sha256) == (True, done.snapshot.sha256)
    [drilled] = [number for number, line in enumerate(told) if line.startswith("restore drill: restored ")]
    assert drilled < min(number for number, line in enumerate(told) if line.startswith("event "))
    # The same swap again takes no snapshot, and keeps what the first run saw.
    assert swap(world).advance(done).restore_drill == done.restore_drill


def test_a_drill_that_cannot_be_held_or_fails_adds_no_learner(world: World, tools: Path) -> None:
    put(world)
    run = swap(world, restore_drill="always")
    run.tools = "/nowhere"
    with pytest.raises(Permanent, match="restoreDrill is always, and the snapshot can't be restored here"):
        run.advance()
    (tools / "etcdutl").unlink()
    (tools / "etcdutl").write_text(
        f'#!/bin/sh\n[ "$1" = version ] && exec {tool_path("etcdutl")} version\necho no good >&2\nexit 3\n'
    )
    (tools / "etcdutl").chmod(0o755)
    run.tools = str(tools)
    with pytest.raises(Permanent, match=r"doesn't stand a restore: `etcdutl snapshot status .* status 3: no good"):
        run.advance()
    assert world.events == []
    assert names(world) == ["a", "b", "c"]


def test_an_api_server_of_another_minor_version_stops_a_swap_before_it_begins(world: World) -> None:
    world.kubernetes[f"{NETWORK}.2"] = "v1.33.1"
    with pytest.raises(Permanent, match=r"different minor versions of Kubernetes: a v1\.34\.1, b v1\.33\.1, c v1\.34"):
        swap(world).advance()
    assert world.events == []


def test_a_learner_of_another_version_is_never_promoted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    status = Etcd.status

    def older(self: Etcd, endpoint: str) -> Status:
        found = status(self, endpoint)
        return found if f"{NETWORK}.4:" not in endpoint else replace(found, version="3.6.12")

    monkeypatch.setattr(Etcd, "status", older)
    with pytest.raises(Permanent, match=r"d runs etcd 3\.6\.12, the voters a 3\.6\.16, b .*: it isn't promoted"):
        swap(world).advance()
    assert names(world) == ["a", "b", "c"]
    assert world.suspended["group-a"] == set(), "what was suspended is given back"
    monkeypatch.setattr(Etcd, "status", status)
    assert swap(world).advance().members == ("b", "c", "d")
