from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab.machines.processes import Identity, Ledger, end, everything, may_raise, spawn


def test_a_noted_process_is_found_again_and_ended(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "i-1")
    child = spawn(["sleep", "60"], environment=os.environ, log=tmp_path / "log", nice=12)
    identity = ledger.write("etcd.service", child.pid, ["sleep", "60"])
    assert identity is not None
    assert everything(tmp_path) == {"i-1": {"etcd.service": identity}}
    assert Ledger(tmp_path / "i-1").read("etcd.service") == identity
    while os.getpriority(os.PRIO_PROCESS, child.pid) != 12:  # set by the child itself, before it is the program
        pass
    end([identity], grace_s=5)
    assert child.wait(timeout=5) == -15
    assert not identity.alive
    assert everything(tmp_path) == {}


def test_more_than_this_process_has_is_given_where_that_is_allowed_and_else_the_program_runs_all_the_same(
    tmp_path: Path,
) -> None:
    child = spawn(["sleep", "60"], environment=os.environ, log=tmp_path / "log", nice=-10)
    try:
        while Path(f"/proc/{child.pid}/comm").read_text().strip() != "sleep":  # first it is the command that sets it
            assert child.poll() is None
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == (-10 if may_raise() else os.nice(0))
    finally:
        child.kill()
        child.wait()


def session_nice(pid: int) -> int | None:
    """What a process's session has against others; None on a kernel without autogroups."""
    path = Path(f"/proc/{pid}/autogroup")
    return int(path.read_text().split()[-1]) if path.exists() else None


def test_what_has_booted_gets_its_lasting_priority_against_other_sessions_too(tmp_path: Path) -> None:
    child = spawn(["sleep", "60"], environment=os.environ, log=tmp_path / "log", nice=10)
    try:
        booting = session_nice(child.pid)
        assert booting in (10, None)
        identity = Identity.of(child.pid)
        assert identity is not None
        raised = identity.renice(0)
        assert raised is may_raise()
        assert session_nice(child.pid) == (0 if raised and booting is not None else booting)
    finally:
        child.kill()
        child.wait()


def test_a_process_that_has_the_pid_but_another_start_time_is_left_alone(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        actual = Identity.of(child.pid)
        assert actual is not None
        other = Identity(actual.pid, actual.started - 1)
        end([other], grace_s=0)
        assert actual.alive and not other.alive
    finally:
        child.kill()
        child.wait()


def test_one_that_ignores_term_is_killed(tmp_path: Path) -> None:
    child = spawn(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"],
        environment=os.environ,
        log=tmp_path / "log",
    )
    while "ready" not in (tmp_path / "log").read_text():
        pass
    identity = Identity.of(child.pid)
    assert identity is not None
    end([identity], grace_s=0.2)
    assert child.wait(timeout=5) == -9


def test_a_process_that_has_ended_but_was_not_reaped_counts_as_gone() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert Identity.of(child.pid) is None
    child.wait()
