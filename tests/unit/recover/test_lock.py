"""A lock is only freed when its owner is proven dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from migration.recover.lock import Held, Owner, Process, folder_of, free, here, judge, locks, refusal
from migration.runtime.deadline import Permanent

TAKEN = datetime(2026, 11, 25, 21, 39, 17, tzinfo=UTC)
HELD = Held(pid=6398, username="root", hostname="vm", timestamp=TAKEN)


def process(name: str = "pulumi", seconds: float = -1.0, *, zombie: bool = False) -> Process:
    return Process(name=name, began=TAKEN + timedelta(seconds=seconds), zombie=zombie)


@pytest.mark.parametrize(
    ("machine", "found", "owner"),
    [
        ("vm", None, Owner.DEAD),
        ("vm", process(zombie=True), Owner.DEAD),
        ("vm", process(), Owner.LIVES),
        ("vm", process("pulumi-renamed"), Owner.LIVES),
        # Two clocks may differ by a little.
        ("vm", process(seconds=3), Owner.LIVES),
        # The number was given out again.
        ("vm", process("bash", seconds=60), Owner.DEAD),
        ("vm", process("pulumi", seconds=60), Owner.UNKNOWN),
        ("elsewhere", None, Owner.UNKNOWN),
        ("elsewhere", process(), Owner.UNKNOWN),
    ],
)
def test_only_what_is_proven_dead_is_dead(machine: str, found: Process | None, owner: Owner) -> None:
    assert judge(HELD, machine, found) is owner


@pytest.mark.parametrize(
    ("owner", "machine", "said"),
    [
        (
            Owner.LIVES,
            "vm",
            "the stack is locked by process 6398 of root@vm since 2026-11-25 21:39:17 UTC, and that process runs: wait "
            "for it, or press Ctrl-C there once; nothing was changed",
        ),
        (
            Owner.UNKNOWN,
            "here",
            "the stack is locked by process 6398 of root@vm since 2026-11-25 21:39:17 UTC; whether that process lives "
            "can't be seen from here: run this there. If that machine is gone: pulumi cancel --stack s, then this "
            "again",
        ),
        (
            Owner.UNKNOWN,
            "vm",
            "the stack is locked by process 6398 of root@vm since 2026-11-25 21:39:17 UTC; a process of that number "
            "runs here, but began later, so it may be another engine: look (ps -fp 6398). If it isn't this stack's: "
            "pulumi cancel --stack s, then this again",
        ),
    ],
)
def test_a_refusal_names_who_since_when_and_what_to_do(owner: Owner, machine: str, said: str) -> None:
    assert refusal(HELD, owner, machine, "s") == said


def test_a_process_is_seen_with_its_name_and_when_it_began() -> None:
    before = datetime.now(UTC)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        found = here(child.pid)
        assert found is not None and not found.zombie
        assert abs(found.began - before) < timedelta(seconds=5)
        child.kill()
        while not ((found := here(child.pid)) and found.zombie):
            pass
    finally:
        child.communicate()
    assert here(child.pid) is None


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///srv/state", Path("/srv/state")),
        ("file:///srv/state?no_tmp_dir=true", Path("/srv/state")),
        ("file://~/state", Path.home() / "state"),
        ("file://./state", Path("state")),
        ("s3://bucket", None),
        ("https://api.pulumi.com", None),
        ("azblob://x", None),
    ],
)
def test_only_a_folders_locks_can_be_read(url: str, folder: Path | None) -> None:
    assert folder_of(url) == folder


def lock_file(folder: Path, *where: str, text: str) -> Path:
    path = folder.joinpath(".pulumi", "locks", *where, "6f1e.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.with_name("6f1e.json.attrs").write_text("{}")
    return path


# As the engine writes it, nanoseconds and all.
TEXT = '{"pid":6398,"username":"root","hostname":"vm","timestamp":"2026-11-25T21:39:17.614869516Z"}'


@pytest.mark.parametrize("where", [("organization", "p", "eu.stage-2"), ("eu.stage-2",)])
def test_a_stacks_own_locks_are_found_and_freed_alone(tmp_path: Path, where: tuple[str, ...]) -> None:
    own = lock_file(tmp_path, *where, text=TEXT)
    others = lock_file(tmp_path, "organization", "p", "another", text=TEXT)
    found = locks(tmp_path, "p", "eu.stage-2")
    assert list(found) == [own]
    assert found[own] == HELD.model_copy(update={"timestamp": TAKEN.replace(microsecond=614869)})
    free(own)
    free(own)
    assert list(own.parent.iterdir()) == []
    assert others.exists()


def test_no_folder_is_no_lock(tmp_path: Path) -> None:
    assert locks(tmp_path / "nothing", "p", "s") == {}


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"pid": "x"}), TEXT.replace("Z", "")])
def test_a_lock_that_is_not_understood_is_not_freed(tmp_path: Path, text: str) -> None:
    path = lock_file(tmp_path, "s", text=text)
    with pytest.raises(Permanent, match="isn't understood"):
        locks(tmp_path, "p", "s")
    assert path.exists()


def test_this_process_lives() -> None:
    found = here(os.getpid())
    assert found is not None
    held = Held(pid=os.getpid(), username="root", hostname="vm", timestamp=datetime.now(UTC))
    assert judge(held, "vm", found) is Owner.LIVES
