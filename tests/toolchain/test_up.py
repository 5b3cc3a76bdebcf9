"""The lab's own processes come up, are found again, and go, leaving nothing that listens. No cluster here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import processes, profiles, up
from lab.addresses import LabAddresses
from lab.doctor import port_holder
from lab.environment import REPOSITORY

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # The highest free one: somebody's own lab is likely 0 or 1, and 9 is that of tests that need no whole lab.
    index = next(
        (i for i in range(8, -1, -1) if not any(port_holder(p) for p in up._ports(LabAddresses(index=i)))), None
    )
    assert index is not None, "all labs' ports are taken"
    monkeypatch.setenv("LAB_INDEX", str(index))
    monkeypatch.setenv("LAB_DIR", str(tmp_path / "lab"))
    yield tmp_path / "lab"
    up.down(lambda _: None)


def _up(said: list[str]) -> int:
    return up.up(said.append, empty=True)


def test_a_second_up_starts_nothing_and_down_leaves_nothing_listening(lab: Path) -> None:
    said: list[str] = []
    assert _up(said) == 0, said
    first = processes.running(lab)
    assert sorted(first) == ["aws", "machines", "network"]
    assert _up(said) == 0
    assert processes.running(lab) == first
    said.clear()
    assert up.down(said.append) == 0
    assert said == ["machines: ended", "network: ended", "aws: ended", "lab: down"]
    assert processes.of_lab(lab) == []
    index = int(os.environ["LAB_INDEX"])
    assert [port for port in up._ports(LabAddresses(index=index)) if port_holder(port)] == []


def test_an_interrupted_up_leaves_what_it_started_and_the_next_goes_on(lab: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-m", "lab", "up", "--empty"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    with first.stdout:
        assert first.stdout.readline().startswith("aws: started")
        first.send_signal(signal.SIGINT)
        rest = first.stdout.read()
    assert first.wait(timeout=60) == 130
    assert "`make lab-down` ends it, `make lab` goes on" in rest
    aws = processes.find(lab, "aws")
    assert aws is not None
    said: list[str] = []
    assert _up(said) == 0, said
    assert processes.find(lab, "aws") == aws


def test_without_its_aws_a_labs_world_is_forgotten_and_its_reports_are_kept(lab: Path) -> None:
    said: list[str] = []
    assert _up(said) == 0, said
    (lab / "machines" / "i-1").mkdir(parents=True)
    (lab / "kubeconfig").write_text("old")
    (lab / "report").mkdir()
    (lab / "report" / "rehearsal.json").write_text("{}")
    before = processes.running(lab)
    os.kill(before["aws"].pid, signal.SIGKILL)
    while before["aws"].alive:
        time.sleep(0.05)
    assert _up(said) == 0, said
    after = processes.running(lab)
    assert all(after[name] != before[name] for name in before)
    assert not (lab / "kubeconfig").exists()
    assert not (lab / "machines" / "i-1").exists()
    assert (lab / "report" / "rehearsal.json").exists()


def test_a_machine_without_the_memory_is_told_so_before_anything_starts(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "available_mb", lambda: 100)
    said: list[str] = []
    assert up.up(said.append) == 1
    assert "memory: 100 MB are available, a rehearsal of profile small with 218 pods needs about" in said[-1]
    assert processes.of_lab(lab) == []


def test_a_port_that_is_somebody_elses_is_named_and_nothing_of_theirs_is_ended(lab: Path) -> None:
    addresses = LabAddresses(index=int(os.environ["LAB_INDEX"]))
    with socket.create_server(("127.0.0.1", addresses.aws_port)):
        said: list[str] = []
        assert _up(said) == 1
        assert str(addresses.aws_port) in said[-1]
    assert processes.running(lab) == {}


def test_a_port_of_another_lab_is_said_to_be_that_labs_and_how_to_end_it(lab: Path) -> None:
    port = LabAddresses(index=int(os.environ["LAB_INDEX"])).aws_port
    script = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); print(flush=True); time.sleep(60)"
    other = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "LAB_DIR": "/gone/lab"}, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        said: list[str] = []
        assert _up(said) == 1
        assert "LAB_DIR=/gone/lab python3 -m lab down" in said[-1]
    finally:
        other.kill()
        other.communicate()


def test_purge_takes_the_labs_state_and_nothing_else(lab: Path) -> None:
    for name in ("machines/i-1", "volumes/vol-1", "pulumi/state", "log", "report", "run", "tls"):
        (lab / name).mkdir(parents=True)
    (lab / "thesis.txt").write_text("mine")
    assert up.down(lambda _: None, purge=True) == 0
    assert sorted(path.name for path in lab.iterdir()) == ["report", "thesis.txt"]


def test_down_without_a_lab_is_no_error(lab: Path) -> None:
    assert up.down(lambda _: None) == 0
