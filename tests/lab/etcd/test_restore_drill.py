"""A real snapshot of a real etcd, restored by real tools: what passes, what does not, what a killed run leaves."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.toolchain import ensure, tool_path
from migration.clients.etcd import Direct, Etcd, Snapshot
from migration.contracts.members import DrillNote, RestoreDrill
from migration.etcd.drill import run as drilling
from migration.etcd.drill.compare import KNOWN
from migration.etcd.drill.restored import free_port
from migration.etcd.drill.run import LASTS, Drill
from migration.etcd.drill.scratch import MARK, PREFIX, sweep
from migration.etcd.drill.tools import Unusable, found
from migration.runtime.deadline import Deadline, OutOfTime, Permanent, Retryable
from migration.settings.model import Drilling

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with both programs. What can't be built fails here: a drill that was never held proves nothing."""
    ensure(print, ["etcd", "etcdutl"])
    folder = tmp_path_factory.mktemp("tools")
    for name in ("etcd", "etcdutl"):
        (folder / name).symlink_to(tool_path(name))
    return str(folder)


@dataclass
class Live:
    """A cluster of one, on loopback."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    told: list[str] = field(default_factory=list)

    def start(self) -> Live:
        self.url, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        flags = {
            "name": "m1",
            "data-dir": str(self.folder / "live"),
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"m1={peer}",
            "log-level": "error",
        }
        command = [str(tool_path("etcd")), *(f"--{key}={value}" for key, value in flags.items())]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        Deadline(60).until(lambda: self.etcd.status(self.url), "a cluster of one")
        return self

    @property
    def etcd(self) -> Etcd:
        return Etcd([self.url], Direct(None))

    def put(self, key: bytes, value: bytes) -> None:
        body = {"key": base64.b64encode(key).decode(), "value": base64.b64encode(value).decode()}

        def done() -> bool:
            with self.etcd as etcd:
                etcd.call(self.url, "kv/put", body)
            return True

        Deadline(30).until_true(done, "a write")

    def drill(self, folder: str | None, mode: Drilling = "auto", seconds: float = 120, **more: Any) -> Drill:
        snapshots = self.folder / "snapshots"
        snapshots.mkdir(exist_ok=True)
        facts: dict[str, Any] = {
            "mode": mode,
            "tools": folder,
            "cluster": "pet",
            "members": ("a", "d"),
            "snapshots": snapshots,
            "deadline": Deadline(seconds),
            "log": self.told.append,
            "alive": lambda: None,
            **more,
        }
        return Drill(**facts)

    def held(self, drill: Drill, meddle: Callable[[Path], None] = lambda _: None) -> RestoreDrill:
        """A drill around a snapshot, as a swap holds it; `meddle` has the file in between."""
        path = drill.snapshots / "before.db"
        with self.etcd as etcd:
            Deadline(30).until_true(lambda: drill.begin(etcd), "the cluster's word")
            taken = etcd.snapshot(path)
            meddle(path)
            return drill.hold(etcd, path, taken)

    @property
    def left(self) -> list[str]:
        return sorted(one.name for one in (self.folder / "snapshots").glob(f"{PREFIX}*"))


@pytest.fixture
def live(tools: str, tmp_path: Path) -> Iterator[Live]:
    made = Live(tmp_path).start()
    for number in range(5):
        made.put(b"/registry/configmaps/default/%d" % number, b"x")
    made.put(KNOWN, b"k8s\0 a namespace")
    yield made
    assert made.process is not None
    made.process.kill()
    made.process.wait()
    assert running_in(tmp_path) == []


def running_in(folder: Path) -> list[str]:
    """Programs that still run on a folder."""
    lines = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    return [line for line in lines if f"--data-dir={folder}" in line]


def test_a_snapshot_is_restored_read_and_compared_and_nothing_is_left_of_it(live: Live, tools: str) -> None:
    seen = live.held(live.drill(tools))
    assert (seen.drilled, seen.key) == (True, KNOWN.decode())
    assert seen.revision == live.etcd.read(live.url, KNOWN).revision
    assert "6 keys at revision" in seen.detail
    assert live.told == [f"restore drill: {seen.detail}"]
    assert live.left == []
    assert len(running_in(live.folder)) == 1, "the cluster itself"


def test_the_next_swap_of_the_same_members_holds_none_and_says_so(live: Live, tools: str) -> None:
    first = live.held(live.drill(tools))
    again = live.held(live.drill("/nowhere"))
    assert (again.drilled, again.sha256) == (True, first.sha256)
    assert again.detail.startswith("held before an earlier swap: restored")


@pytest.mark.parametrize(
    "more",
    [
        {"members": ("d", "a")},
        {"now": lambda: time.time() + LASTS},
        {"now": lambda: time.time() - 3600},
        {"cluster": "other"},
    ],
    ids=["the next migration", "long ago", "a clock that went back", "another cluster"],
)
def test_a_drill_of_other_members_or_long_ago_counts_for_nothing(live: Live, tools: str, more: dict[str, Any]) -> None:
    live.held(live.drill(tools))
    assert live.held(live.drill("/nowhere", **more)).drilled is False


def test_a_drill_of_another_cluster_with_these_names_counts_for_nothing(live: Live, tools: str) -> None:
    live.held(live.drill(tools))
    live.put(KNOWN, b"k8s\0 the namespace of a cluster that was made anew")
    assert live.held(live.drill("/nowhere")).drilled is False


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b'{"members": ["a", "d"], "drill": null}'])
def test_a_note_that_cannot_be_read_is_none(live: Live, text: bytes) -> None:
    drill = live.drill("/nowhere")
    (drill.snapshots / "pet-restore-drill.json").write_bytes(text)
    assert live.held(drill).drilled is False


def test_a_note_that_nothing_was_drilled_is_no_success_later(live: Live) -> None:
    drill = live.drill("/nowhere")
    none = RestoreDrill(drilled=False, detail="not drilled: no room")
    version = live.etcd.status(live.url).version
    note = DrillNote(members=("a", "d"), version=version, at=time.time(), known="", drill=none)
    (drill.snapshots / "pet-restore-drill.json").write_text(note.model_dump_json(by_alias=True))
    assert live.held(drill).detail.startswith("not drilled: there is no etcd")


def test_without_the_programs_auto_says_so_and_always_refuses_with_the_remedy(live: Live) -> None:
    seen = live.held(live.drill("/nowhere"))
    assert seen.drilled is False
    assert seen.detail == (
        "not drilled: there is no etcd and no etcdutl in /nowhere (migration:etcd.tools); install etcd and etcdutl of "
        "the cluster's minor version, or name their folder in migration:etcd.tools"
    )
    assert live.told == [f"restore drill: {seen.detail}"]
    with pytest.raises(Permanent, match=r"restoreDrill is always, and .* there is no etcd and .*; install etcd and"):
        live.held(live.drill("/nowhere", "always"))


@pytest.mark.parametrize("only", ["etcd", "etcdutl"])
def test_one_program_of_the_two_is_none(live: Live, tmp_path: Path, only: str) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / only).symlink_to(tool_path(only))
    other = {"etcd": "etcdutl", "etcdutl": "etcd"}[only]
    assert f"there is no {other} in" in live.held(live.drill(str(tmp_path / "half"))).detail


@pytest.mark.parametrize("says", ["etcd Version: 3.5.30", "etcdutl version: 3.7.1", "", "exit 1"])
def test_programs_of_another_minor_version_or_none_are_not_used(tmp_path: Path, says: str) -> None:
    for name in ("etcd", "etcdutl"):
        one = tmp_path / name
        one.write_text("#!/bin/sh\n" + (says if says == "exit 1" else f"echo '{says}'\n"))
        one.chmod(0o755)
    with pytest.raises(Unusable, match=r"etcd in .* is of version .*, and the cluster's etcd of 3\.6\.16"):
        found(str(tmp_path), "3.6.16")


def test_never_is_never_and_the_result_says_so(live: Live, tools: str) -> None:
    seen = live.held(live.drill(tools, "never"))
    assert (seen.drilled, seen.detail) == (False, "not drilled: migration:etcd.restoreDrill is never")


def test_a_large_one_is_drilled_by_always_alone(live: Live, tools: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drilling, "LARGE", 1000)
    assert "auto drills below 1000" in live.held(live.drill(tools)).detail
    assert live.held(live.drill(tools, "always")).drilled is True


def test_without_room_nothing_is_begun(live: Live, tools: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drilling, "ROOM", 1 << 60)
    assert "bytes left, and a restored database takes" in live.held(live.drill(tools)).detail
    with pytest.raises(Permanent, match=r"can't be restored here: .* bytes left"):
        live.held(live.drill(tools, "always"))
    assert live.left == []


def torn(path: Path) -> None:
    """A byte in the middle is another."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def copied(source: Path, path: Path) -> None:
    path.write_bytes(source.read_bytes())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096])


@pytest.mark.parametrize("meddle", [torn, cut, Path.unlink])
def test_a_file_that_is_torn_cut_or_gone_refuses_the_swap(
    live: Live, tools: str, meddle: Callable[[Path], None]
) -> None:
    with pytest.raises(Permanent, match=r"doesn't stand a restore: .*Nothing was changed"):
        live.held(live.drill(tools), meddle)
    assert live.left == []
    assert not (live.folder / "snapshots" / "pet-restore-drill.json").exists()


def test_an_older_snapshot_of_the_same_cluster_refuses_the_swap(live: Live, tools: str) -> None:
    older = live.folder / "older.db"
    with live.etcd as etcd:
        etcd.snapshot(older)
    live.put(b"/registry/later", b"y")
    with pytest.raises(Permanent, match=r"is of revision 7, the cluster was at 8 before it was taken"):
        live.held(live.drill(tools), lambda path: copied(older, path))


def test_another_clusters_snapshot_refuses_the_swap_though_its_revision_fits(
    live: Live, tools: str, tmp_path: Path
) -> None:
    (tmp_path / "theirs").mkdir()
    theirs = Live(tmp_path / "theirs").start()
    try:
        for number in range(5):
            theirs.put(b"/registry/configmaps/default/%d" % number, b"x")
        theirs.put(KNOWN, b"k8s\0 another namespace")
        with theirs.etcd as etcd:
            etcd.snapshot(tmp_path / "theirs.db")
    finally:
        assert theirs.process is not None
        theirs.process.kill()
    with pytest.raises(Permanent, match="has another value in what was restored than in the cluster"):
        live.held(live.drill(tools), lambda path: copied(tmp_path / "theirs.db", path))


def test_writes_while_it_is_taken_are_no_difference(live: Live, tools: str) -> None:
    drill, path = live.drill(tools), live.folder / "snapshots" / "before.db"
    with live.etcd as etcd:
        drill.begin(etcd)
        live.put(KNOWN, b"changed right before")
        taken = etcd.snapshot(path)
        live.put(b"/registry/later", b"y")
        assert drill.hold(etcd, path, taken).drilled is True


def test_under_another_prefix_the_first_key_is_read(live: Live, tools: str) -> None:
    with live.etcd as etcd:
        etcd.call(live.url, "kv/deleterange", {"key": base64.b64encode(KNOWN).decode()})
    seen = live.held(live.drill(tools))
    assert (seen.drilled, seen.key) == (True, "/registry/configmaps/default/0")


def test_a_database_without_a_key_is_no_clusters(live: Live, tools: str) -> None:
    every = base64.b64encode(b"\0").decode()
    with live.etcd as etcd:
        etcd.call(live.url, "kv/deleterange", {"key": every, "range_end": every})
        with pytest.raises(Retryable, match="holds no key"):
            live.drill(tools).begin(etcd)


def test_one_that_does_not_end_in_time_is_ended_and_removed(live: Live, tools: str, tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    slow = tmp_path / "slow" / "etcdutl"
    slow.write_text(
        f'#!/bin/sh\n[ "$1" = version ] && exec {tools}/etcdutl version\n[ "$2" = restore ] && exec sleep 300\n'
        f'exec {tools}/etcdutl "$@"\n'
    )
    slow.chmod(0o755)
    (tmp_path / "slow" / "etcd").symlink_to(tool_path("etcd"))
    with pytest.raises(OutOfTime, match=r"the restore drill of .* didn't end in time: gave up waiting for `etcdutl"):
        live.held(live.drill(str(tmp_path / "slow"), seconds=15))
    assert live.left == []


def test_an_operation_that_must_stop_ends_the_drill_and_removes_it(live: Live, tools: str) -> None:
    class Stopped(Exception):
        pass

    def alive() -> None:
        if running_in(live.folder / "snapshots"):
            raise Stopped

    with pytest.raises(Stopped):
        live.held(live.drill(tools, alive=alive))
    assert live.left == []


def test_nobody_without_the_drills_own_certificate_reads_what_is_restored(
    live: Live, tools: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    read = Etcd.read

    def eavesdrop(self: Etcd, endpoint: str, key: bytes) -> Any:
        if endpoint.startswith("https"):
            for url in (endpoint, endpoint.replace("https", "http")):
                with pytest.raises(Retryable) as refusal, Etcd([url], Direct(None)) as stranger:
                    read(stranger, url, key)
                tried.append(str(refusal.value))
        return read(self, endpoint, key)

    monkeypatch.setattr(Etcd, "read", eavesdrop)
    assert live.held(live.drill(tools)).drilled is True
    assert len(tried) == 2


_KILLED = """
import sys, time
from pathlib import Path
from migration.clients.etcd import Direct, Etcd
from migration.etcd.drill import run as drilling
from migration.etcd.drill.run import Drill
from migration.runtime.deadline import Deadline

def wait(*_):
    print("up", flush=True)
    time.sleep(600)

url, snapshots, tools = sys.argv[1:]
drill = Drill(mode="always", tools=tools, cluster="pet", members=("a", "d"), snapshots=Path(snapshots),
              deadline=Deadline(120), log=lambda _: None, alive=lambda: None)
drilling.compare.wrong = wait
read = Etcd.read
Etcd.read = lambda self, endpoint, key: wait() if endpoint.startswith("https") else read(self, endpoint, key)
with Etcd([url], Direct(None)) as etcd:
    drill.begin(etcd)
    path = Path(snapshots, "before.db")
    drill.hold(etcd, path, etcd.snapshot(path))
"""


def killed(live: Live, tools: str) -> Path:
    """The scratch folder of a run that was killed while its etcd served what was restored."""
    snapshots = live.drill(tools).snapshots
    run = subprocess.Popen(
        [sys.executable, "-c", _KILLED, live.url, str(snapshots), tools], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "up\n"
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    run.stdout.close()
    [made] = snapshots.glob(f"{PREFIX}*")
    assert len(running_in(snapshots)) == 1, "its etcd outlives it"
    return made


def test_what_a_killed_drill_left_the_next_run_ends_and_removes(live: Live, tools: str) -> None:
    made = killed(live, tools)
    assert made.stat().st_mode & 0o077 == 0
    assert live.held(live.drill(tools)).drilled is True
    assert live.told[0] == f"removed {made}, which a restore drill that was killed had left"
    assert live.left == []
    assert running_in(live.folder / "snapshots") == []


def test_a_run_that_holds_no_drill_removes_it_too(live: Live, tools: str) -> None:
    killed(live, tools)
    live.held(live.drill(None, "never"))
    assert live.left == []


def test_whatever_does_not_carry_the_mark_of_a_dead_maker_stays(tmp_path: Path) -> None:
    own = psutil.Process()
    mark = {
        "word": "a restore drill's scratch of vpc-migration: its next run removes it",
        "cluster": "pet",
        "pid": own.pid,
        "started": own.create_time() - 1000,
    }
    marks: dict[str, Any] = {
        "none": None,
        "torn": "{",
        "living": {**mark, "started": own.create_time()},
        "other": {**mark, "cluster": "other"},
        "foreign": {**mark, "word": "something else"},
    }
    for name, said in marks.items():
        folder = tmp_path / f"{PREFIX}{name}"
        folder.mkdir()
        (folder / "precious").write_text("x")
        if said is not None:
            (folder / MARK).write_text(said if isinstance(said, str) else json.dumps(said))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / MARK).write_text(json.dumps(mark))
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    (tmp_path / f"{PREFIX}file").write_text("x")
    dead = tmp_path / f"{PREFIX}dead"
    dead.mkdir()
    (dead / MARK).write_text(json.dumps(mark))
    told: list[str] = []
    sweep(tmp_path, "pet", told.append)
    assert len(told) == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(
        ["elsewhere", *(f"{PREFIX}{name}" for name in (*marks, "link", "file"))]
    )


def test_a_folder_that_is_not_there_has_nothing_left(tmp_path: Path) -> None:
    sweep(tmp_path / "none", "pet", lambda _: None)


def test_the_size_and_digest_are_the_snapshots_own(live: Live, tools: str) -> None:
    drill, path = live.drill(tools), live.folder / "snapshots" / "before.db"
    with live.etcd as etcd:
        drill.begin(etcd)
        taken: Snapshot = etcd.snapshot(path)
        assert drill.hold(etcd, path, taken).sha256 == taken.sha256
