"""The engine is known by what it is, and a host whose engine is gone ends; nothing else is ever ended."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from migration.clients.kubernetes import Kind
from migration.runtime.engine import Engine, Orphaned, find_engine
from migration.runtime.host import GRACE, LOOK, Host, address_given, host
from migration.runtime.lease import EXPIRY, held

REPOSITORY = Path(__file__).parents[2]

# An "engine" that listens, starts a launcher as Pulumi does, and the launcher a process that says what it finds.
LISTENER = """
import socket, subprocess, sys
server = socket.create_server(("127.0.0.1", 0))
address = f"127.0.0.1:{server.getsockname()[1]}"
print(address, flush=True)
subprocess.run(["/bin/sh", "-c", f'"{sys.executable}" -c "$1" {address}; true', "launcher", sys.argv[1]])
"""
FINDS = """
import sys
from migration.runtime.engine import find_engine
found = find_engine(sys.argv[1])
print(found.process.pid if found.process else None, found.lives(), flush=True)
"""


def python(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": "."}
    )


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        tree = [process]
        with suppress(psutil.NoSuchProcess):
            tree += psutil.Process(process.pid).children(recursive=True)
        for one in tree:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


class Killed:
    """An engine that can be killed, and a host's own end."""

    def __init__(self) -> None:
        self.alive = True
        self.over = threading.Event()

    def __str__(self) -> str:
        return "the engine (process 7)"

    def lives(self) -> bool:
        return self.alive


def watched(engine: Killed, grace: float = 5.0) -> Host:
    made = Host(engine, end=engine.over.set, pause=lambda seconds: time.sleep(0.01), grace=grace)
    threading.Thread(target=made.watch, daemon=True).start()
    return made


def test_the_engine_is_the_ancestor_that_listens_not_the_launcher_in_between() -> None:
    with ended(python("-c", LISTENER, FINDS)) as engine:
        assert engine.stdout is not None
        engine.stdout.readline()
        assert engine.stdout.readline() == f"{engine.pid} True\n"


def test_whoever_else_listens_there_is_not_the_engine() -> None:
    with ended(python("-c", LISTENER, "pass")) as stranger:
        assert stranger.stdout is not None
        found = find_engine(stranger.stdout.readline().strip(), sleeper=lambda seconds: None)
        assert found.process is None
        assert not found.lives()


def test_an_engine_lives_until_it_ends_and_a_zombie_is_gone() -> None:
    with ended(python("-c", "input()")) as process:
        engine = Engine("127.0.0.1:1", psutil.Process(process.pid))
        assert engine.lives()
        process.kill()
        deadline = time.monotonic() + 10
        while engine.lives():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "its parent hasn't asked for it yet"
        assert str(engine) == f"the engine (process {process.pid}, at 127.0.0.1:1)"


def test_a_stopped_engine_lives() -> None:
    with ended(python("-c", "input()")) as process:
        engine = Engine("127.0.0.1:1", psutil.Process(process.pid))
        psutil.Process(process.pid).suspend()
        assert engine.lives()


def test_another_process_of_the_engines_number_is_not_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    me = psutil.Process()
    engine = Engine("127.0.0.1:1", me)
    assert engine.lives()
    # As if the number had been given to a process that began later: psutil compares when they began.
    monkeypatch.setattr(me, "_ident", (me.pid, 1.0))
    assert not engine.lives()


def test_a_host_ends_once_its_engine_is_gone_and_not_before() -> None:
    engine = Killed()
    watched(engine)
    assert not engine.over.wait(0.3)
    engine.alive = False
    assert engine.over.wait(5)


def test_a_running_operation_may_stop_at_its_next_look_before_its_host_ends() -> None:
    engine = Killed()
    made = watched(engine)
    with pytest.raises(Orphaned, match=r"the engine \(process 7\) is gone"), made.working():
        made.check()
        engine.alive = False
        assert not engine.over.wait(0.3), "it was given time"
        made.check()
    assert engine.over.wait(5)


def test_an_operation_that_never_looks_is_ended_with_its_host() -> None:
    engine = Killed()
    made = watched(engine, grace=0.2)
    with made.working():
        engine.alive = False
        assert engine.over.wait(5)


class OneLease:
    """The Lease object, and nothing in its way."""

    holder = ""

    def with_short_timeouts(self) -> OneLease:
        return self

    def find(self, kind: Kind, name: str, namespace: str | None = None) -> dict[str, object] | None:
        return {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": self.holder}} if self.holder else None

    def create(self, kind: Kind, body: dict[str, object], namespace: str | None = None) -> dict[str, object]:
        return self.replace(kind, body)

    def replace(self, kind: Kind, body: dict[str, object]) -> dict[str, object]:
        spec = body["spec"]
        assert isinstance(spec, dict)
        self.holder = spec["holderIdentity"]
        return body


def test_the_lease_is_given_back_before_the_host_ends() -> None:
    engine, api = Killed(), OneLease()
    made = watched(engine)
    with (
        pytest.raises(Orphaned),
        made.working(),
        held(api, holder="drain", engine=engine, renew_every=0.01) as lease,
    ):
        assert api.holder.startswith("drain #")
        engine.alive = False
        while True:
            lease.check()
            time.sleep(0.01)
    assert api.holder == ""
    assert engine.over.wait(5)


def test_a_host_is_gone_before_its_lease_could_expire() -> None:
    assert LOOK + GRACE < EXPIRY - 2


def test_nothing_but_a_dynamic_providers_host_is_ever_watched() -> None:
    assert address_given() is None, "a test run's first argument may well have a colon"
    assert host() is None
    assert "engine" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "import providers.operations, threading; print([t.name for t in threading.enumerate()])", "127.0.0.1:1"],
        ["-m", "tests.unit.imports_operations", "127.0.0.1:1"],
    ],
    ids=["a script", "a module"],
)
def test_a_program_that_imports_the_providers_is_not_ended(arguments: list[str]) -> None:
    with ended(python(*arguments)) as process:
        assert process.communicate(timeout=60)[0] == "['MainThread']\n"
        assert process.returncode == 0
