"""The runbook's two ways out of a lost quorum, with real etcd: from what a member has left, and from a snapshot.

The steps are those of docs/runbook.md, as processes on one machine: no units, no machines.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.toolchain import ensure, tool_path
from migration.clients.etcd import Direct, Etcd
from migration.etcd.drill.restored import free_port
from migration.runtime.deadline import Deadline, Retryable

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

RUNBOOK = (Path(__file__).parents[3] / "docs" / "runbook.md").read_text()
KEY = b"/registry/namespaces/kube-system"


@dataclass
class Member:
    """One member: its ports and its data."""

    name: str
    folder: Path
    client: str
    peer: str
    process: subprocess.Popen[bytes] | None = None

    def start(self, initial: str, state: str, **environment: str) -> None:
        flags = {
            "name": self.name,
            "data-dir": str(self.data),
            "listen-client-urls": self.client,
            "advertise-client-urls": self.client,
            "listen-peer-urls": self.peer,
            "initial-advertise-peer-urls": self.peer,
            "initial-cluster": initial,
            "initial-cluster-state": state,
            "log-level": "error",
        }
        command = [str(tool_path("etcd")), *(f"--{key}={value}" for key, value in flags.items())]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    @property
    def data(self) -> Path:
        return self.folder / self.name

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def etcd(self) -> Etcd:
        return Etcd([self.client], Direct(None))


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[Member]]:
    ensure(print, ["etcd", "etcdutl"])
    made = [
        Member(one, tmp_path, f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}") for one in "abc"
    ]
    initial = ",".join(f"{one.name}={one.peer}" for one in made)
    for one in made:
        one.start(initial, "new")
    put(made[0], b"before")
    yield made
    for one in made:
        one.kill()


def put(at: Member, value: bytes) -> None:
    body = {"key": base64.b64encode(KEY).decode(), "value": base64.b64encode(value).decode()}

    def done() -> bool:
        with at.etcd as etcd:
            etcd.call(at.client, "kv/put", body)
        return True

    Deadline(60).until_true(done, "a write")


def voters(at: Member) -> list[str]:
    with at.etcd as etcd:
        return sorted(one.name for one in Deadline(60).until(etcd.members, "the list") if not one.learner)


def add_again(first: Member, other: Member) -> None:
    """As a learner, with an empty directory, and promoted."""
    deadline = Deadline(60)
    with first.etcd as etcd:
        added = deadline.until(lambda: etcd.add_learner(other.peer), "the addition")
        known = {one.id: one for one in etcd.members()}
        initial = ",".join(f"{one.name or other.name}={url}" for one in known.values() for url in one.peer_urls)
        shutil.rmtree(other.data)
        other.start(initial, "existing")

        def promoted() -> bool:
            etcd.promote(added.id)
            return True

        deadline.until_true(promoted, "the promotion")


def lost(members: list[Member]) -> Member:
    """Two of three are gone for good: the third takes no write."""
    first, *others = members
    for one in others:
        one.kill()
    with first.etcd as etcd, pytest.raises(Retryable):
        etcd.read(first.client, KEY)
    return first


def whole_again(first: Member, members: list[Member], revision: int) -> None:
    for other in members[1:]:
        add_again(first, other)
    assert voters(first) == ["a", "b", "c"]
    put(members[2], b"after")
    with first.etcd as etcd:
        assert etcd.read(first.client, KEY).revision > revision


def test_one_member_that_has_its_data_becomes_the_cluster_and_the_others_join_again(members: list[Member]) -> None:
    assert "ETCD_FORCE_NEW_CLUSTER=true" in RUNBOOK
    first = lost(members)
    first.kill()
    first.start(f"a={first.peer}", "new", ETCD_FORCE_NEW_CLUSTER="true")
    assert voters(first) == ["a"]
    first.kill()
    first.start(f"a={first.peer}", "new")
    with first.etcd as etcd:
        found = Deadline(60).until(lambda: etcd.read(first.client, KEY), "a read")
    assert found.modified is not None, "what was written before is there"
    whole_again(first, members, found.revision)


def test_a_snapshot_becomes_the_cluster_with_a_revision_that_never_goes_back(members: list[Member]) -> None:
    first, snapshot = members[0], members[0].folder / "snapshot.db"
    with first.etcd as etcd:
        etcd.snapshot(snapshot)
    put(first, b"lost with the members")
    with first.etcd as etcd:
        newest = etcd.read(first.client, KEY).revision
    for one in members:
        one.kill()
    shutil.rmtree(first.data)
    flags = re.findall(r"--(?:bump-revision=\d+|mark-compacted)", RUNBOOK)
    assert len(flags) == 2
    subprocess.run(
        [
            str(tool_path("etcdutl")),
            *("snapshot", "restore", str(snapshot), f"--data-dir={first.data}", f"--name={first.name}"),
            *(f"--initial-cluster={first.name}={first.peer}", f"--initial-advertise-peer-urls={first.peer}"),
            *("--initial-cluster-token=restored", *flags),
        ],
        check=True,
        capture_output=True,
    )
    first.start(f"a={first.peer}", "new")
    with first.etcd as etcd:
        found = Deadline(60).until(lambda: etcd.read(first.client, KEY), "a read")
    assert found.revision > newest, "a client that saw the lost write lists anew, and never sees time go back"
    assert voters(first) == ["a"]
    whole_again(first, members, found.revision)
