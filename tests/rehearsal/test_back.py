"""One turn with the real engine, forward to 3 and back, as `make back` does it, but for previews and second `up`s.

In an account with every oddity, on a control plane that is apart: the way forward is shown on another form, and what
isn't a member differs in none. Stage 0 refuses once, with every reason; what it says is done, and it passes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.environment import REPOSITORY
from lab.shapes import AWKWARD
from rehearsal.back import SHORT_FILE
from rehearsal.forms import Form
from rehearsal.rows import read_rows
from rehearsal.turn_rows import TurnRow

# What the way forward shows is asked first: without it there is no way back to look at.
pytestmark = [pytest.mark.rehearsal(after_forward=True), pytest.mark.timeout(1500)]
TURN = 3
FORM = str(Form(layout="separate-etcd", shape=AWKWARD))


@pytest.fixture(scope="module")
def row(lab: Path) -> TurnRow:
    """The row of one short turn, run as a person would."""
    command = ["-m", "rehearsal", "back", "--turns", str(TURN), "--short", "--again"]
    command += ["--layout", "separate-etcd", "--shape", AWKWARD, "--seed", "0"]
    done = subprocess.run([sys.executable, *command], cwd=REPOSITORY, check=False)
    rows = read_rows(lab / "report" / SHORT_FILE, TurnRow, print)
    [found] = [row for row in rows if (row.turn, row.form) == (TURN, FORM)]
    assert (done.returncode == 0) is found.ok
    return found


def test_this_machine_had_the_time_to_tell(row: TurnRow) -> None:
    assert row.doubts == ()


def test_the_cluster_goes_there_and_back_and_nothing_is_lost(row: TurnRow) -> None:
    assert row.reasons == ()
    assert row.ok


def test_what_stage_0_refused_was_put_right_as_it_says(row: TurnRow) -> None:
    said = "; ".join(row.refused)
    assert "with a policy of its own" in said
    assert "external-dns claims" in said


def test_it_went_there_and_back_stage_by_stage(row: TurnRow) -> None:
    assert [(stage.stage, stage.direction) for stage in row.stages] == [
        *((number, "forward") for number in range(TURN + 1)),
        *((number, "back") for number in reversed(range(TURN))),
    ]


def test_everything_due_was_sent_and_answered_and_every_write_is_there(row: TurnRow) -> None:
    assert row.probes.due > 0
    assert row.probes.failed == 0
    assert row.writes.acknowledged > 0
    assert row.writes.lost == 0


def test_pods_went_back_by_eviction(row: TurnRow) -> None:
    # Half of the Deployments were restarted on the new side, and one had grown there.
    assert row.evictions.back > 50
    assert row.evictions.forward == 0


def test_the_world_is_as_it_was_but_for_what_was_done_to_it(row: TurnRow) -> None:
    assert row.differences is not None
    assert [difference.text for difference in row.differences if difference.meant is None] == []
    reasons = {difference.meant for difference in row.differences}
    assert {"it was restarted before the turn", "it was scaled up before the turn"} <= reasons
    assert "a machine of it was lost before the turn" in reasons
