"""One round with a strike of each kind, with the real engine, as `make crash` does it in its short form.

On a cluster that kubeadm made, as most are.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.environment import REPOSITORY
from rehearsal.crash import SHORT_FILE
from rehearsal.crash_rows import EndRow, KillRow, RoundRow, Row
from rehearsal.rows import read_rows
from rehearsal.strikes import Kind
from tests.rehearsal.conftest import on_layout

# What the way forward and back shows undisturbed is asked first.
pytestmark = [pytest.mark.rehearsal(after_forward=True), pytest.mark.timeout(900)]
SEED = 1


@pytest.fixture(scope="module")
def rows(lab: Path) -> list[KillRow | EndRow | RoundRow]:
    """The rows of the short form, run as a person would."""
    command = ["-m", "rehearsal", "crash", "--seed", str(SEED), "--short", "--again"]
    done = subprocess.run([sys.executable, *command], cwd=REPOSITORY, env=on_layout("kubeadm"), check=False)
    every = [row.root for row in read_rows(lab / "report" / SHORT_FILE, Row, print)]
    last = max(number for number, row in enumerate(every) if isinstance(row, RoundRow))
    found = [row for row in every if (row.program, row.seed) == (every[last].program, SEED)]
    assert (done.returncode == 0) is all(row.ok for row in found)
    return found


def test_this_machine_had_the_time_to_tell(rows: list[KillRow | EndRow | RoundRow]) -> None:
    assert [doubt for row in rows if isinstance(row, RoundRow) for doubt in row.doubts] == []


def test_each_kind_hit_something_and_was_recovered_from(rows: list[KillRow | EndRow | RoundRow]) -> None:
    kills = [row for row in rows if isinstance(row, KillRow)]
    assert [reason for row in kills for reason in row.reasons] == []
    assert {row.kind for row in kills} == set(Kind)
    assert all(row.struck and row.hit and row.recover for row in kills)


def test_every_end_is_the_undisturbed_one_for_the_same_work(rows: list[KillRow | EndRow | RoundRow]) -> None:
    ends = [row for row in rows if isinstance(row, EndRow)]
    assert [reason for row in ends for reason in row.reasons] == []
    assert {row.direction for row in ends if row.kills} == {"forward", "back"}
    assert {row.second_up_changes for row in ends} == {0}
    assert all(row.undisturbed.operations > 0 for row in ends)


def test_the_proof_saw_nothing_of_it(rows: list[KillRow | EndRow | RoundRow]) -> None:
    # A strike that hits nothing is tried again in another round.
    rounds = [row for row in rows if isinstance(row, RoundRow)]
    assert rounds != []
    for judged in rounds:
        assert judged.reasons == ()
        assert judged.probes.due > 0
        assert judged.writes.acknowledged > 0
        assert (judged.probes.failed, judged.writes.lost) == (0, 0)
