"""The lab's processes are ended by who they are, never by what they are called. Small real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import processes
from lab.machines.processes import Identity

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]
IGNORES_TERM = [
    sys.executable,
    "-c",
    "import signal, sys, time, pathlib\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "pathlib.Path(sys.argv[1]).touch()\n"
    "time.sleep(600)",
]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "lab"
    directory.mkdir()
    yield directory
    processes.end_all(directory, patience_s=0.1)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"]}


def _start(lab: Path, name: str, argv: list[str] = SLEEPS) -> Identity:
    identity = processes.start(name, argv, directory=lab, environment=_environment())
    assert identity is not None
    return identity


def _eventually(holds: Callable[[], bool]) -> bool:
    for _ in range(400):
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_a_started_process_is_found_by_name_until_it_is_ended(lab: Path) -> None:
    identity = _start(lab, "aws")
    assert processes.find(lab, "aws") == identity
    assert processes.running(lab) == {"aws": identity}
    assert processes.stop(lab, "aws")
    assert not identity.alive
    assert processes.running(lab) == {}
    assert not processes.stop(lab, "aws")


def test_nothing_is_started_twice_under_one_name(lab: Path) -> None:
    assert _start(lab, "aws") == _start(lab, "aws")
    # Until it has become another program it doesn't carry the mark.
    assert _eventually(lambda: len(processes.of_lab(lab)) > 0)
    assert len(processes.of_lab(lab)) == 1


def test_what_it_says_is_in_its_log(lab: Path) -> None:
    processes.start("aws", ["echo", "hello"], directory=lab, environment=_environment())
    assert _eventually(lambda: processes.log_path(lab, "aws").read_text() == "hello\n")


def test_one_that_ignores_being_asked_is_killed_after_a_bounded_wait(lab: Path, tmp_path: Path) -> None:
    identity = _start(lab, "stubborn", [*IGNORES_TERM, str(tmp_path / "ready")])
    assert _eventually((tmp_path / "ready").exists)
    processes.stop(lab, "stubborn", patience_s=0.2)
    assert not identity.alive


def test_a_pid_that_somebody_else_has_now_is_left_alone(lab: Path) -> None:
    innocent = subprocess.Popen(SLEEPS)
    try:
        seen = Identity.of(innocent.pid)
        assert seen is not None
        (lab / "run").mkdir()
        (lab / "run" / "aws.pid").write_text(f"{seen.pid} {seen.started - 1}\n")
        assert processes.find(lab, "aws") is None
        assert not processes.stop(lab, "aws")
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_a_torn_pid_file_names_nobody(lab: Path) -> None:
    (lab / "run").mkdir()
    (lab / "run" / "aws.pid").write_text("12")
    assert processes.find(lab, "aws") is None


def test_an_orphan_is_found_by_its_mark_and_ended(lab: Path) -> None:
    # As a machine's process: its supervisor is gone, and no pid file knows it.
    orphan = subprocess.Popen(
        SLEEPS, env={**_environment(), "LAB_DIR": str(lab), "LAB_INSTANCE": "i-1"}, start_new_session=True
    )
    try:
        assert [one.pid for one in processes.of_lab(lab)] == [orphan.pid]
        assert processes.end_all(lab, patience_s=5) == []
        assert orphan.wait(timeout=5) == -15
    finally:
        orphan.kill()
        orphan.wait()


def test_a_shell_that_evaluated_lab_env_is_not_a_process_of_the_lab(lab: Path) -> None:
    shell = subprocess.Popen(SLEEPS, env={**_environment(), "LAB_DIR": str(lab), "LAB_INDEX": "0"})
    try:
        assert processes.of_lab(lab) == []
        assert processes.end_all(lab) == []
        assert shell.poll() is None
    finally:
        shell.kill()
        shell.wait()


def test_who_asks_is_never_among_the_ended(lab: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from lab import processes\n"
        "print(processes.end_all(Path(sys.argv[1])), 'alive')"
    )
    environment = {**os.environ, "LAB_DIR": str(lab), processes.MARK: "rehearsal"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(lab)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[] alive\n"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (b"LAB_DIR=/l\0LAB_PROCESS=aws\0", True),
        (b"A=b\0LAB_MACHINE_IP=127.10.1.4\0LAB_DIR=/l\0", True),
        (b"LAB_DIR=/l\0LAB_INDEX=0\0", False),
        (b"LAB_DIR=/l2\0LAB_PROCESS=aws\0", False),
        (b"LAB_PROCESS=aws\0", False),
        (b"XLAB_DIR=/l\0LAB_PROCESS=aws\0", False),
        (b"", False),
    ],
)
def test_a_process_belongs_to_the_lab_whose_folder_and_mark_it_carries(environ: bytes, expected: bool) -> None:
    assert processes.belongs(environ, Path("/l")) is expected
