"""An account with every oddity, to stage 3 with the real engine, as `make shapes` does it.

Stage 0 refuses, once and with every reason; what it says is done, and it passes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.environment import REPOSITORY
from lab.shapes import ODDITIES
from migration.stages.table import copied
from rehearsal.form_rows import FormRow
from rehearsal.rows import read_rows
from rehearsal.shapes import file_of

pytestmark = [pytest.mark.rehearsal(after_forward=True), pytest.mark.timeout(900)]
LAST = copied().number


@pytest.fixture(scope="module")
def row(lab: Path) -> FormRow:
    """The row of seed 0, run as a person would."""
    command = ["-m", "rehearsal", "shapes", "--seeds", "0", "--stages", f"0..{LAST}", "--again"]
    done = subprocess.run([sys.executable, *command], cwd=REPOSITORY, env={**os.environ}, check=False)
    [found] = [row for row in read_rows(lab / "report" / file_of(LAST), FormRow, print) if row.seed == 0]
    assert (done.returncode == 0) is found.ok
    return found


def test_this_machine_had_the_time_to_tell(row: FormRow) -> None:
    assert row.doubts == ()


def test_it_comes_to_the_new_groups_and_nothing_is_lost(row: FormRow) -> None:
    assert row.reasons == ()
    assert row.ok
    assert [stage.stage for stage in row.stages] == list(range(LAST + 1))
    assert row.oddities == ODDITIES


def test_what_stage_0_refused_was_put_right_as_it_says(row: FormRow) -> None:
    said = "; ".join(row.refused)
    assert "with a policy of its own" in said
    assert "external-dns claims" in said


def test_everything_due_was_sent_and_answered_and_every_write_is_there(row: FormRow) -> None:
    assert row.probes.due > 0
    assert row.probes.failed == 0
    assert row.writes.acknowledged > 0
    assert row.writes.lost == 0
