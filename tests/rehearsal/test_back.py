"""One turn with the real engine, forward to 3 and back, as `make back` does it, but for previews and second `up`s.

On a control plane that is apart: the way forward is shown on another form, and what isn't a member differs in none.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.environment import REPOSITORY
from rehearsal.back import SHORT_FILE, TurnRow
from rehearsal.rows import read_rows
from tests.rehearsal.conftest import on_layout

# What the way forward shows is asked first: without it there is no way back to look at.
pytestmark = [pytest.mark.rehearsal(after_forward=True), pytest.mark.timeout(900)]
TURN = 3


@pytest.fixture(scope="module")
def row(lab: Path) -> TurnRow:
    """The row of one short turn, run as a person would."""
    command = ["-m", "rehearsal", "back", "--turns", str(TURN), "--short", "--again"]
    done = subprocess.run([sys.executable, *command], cwd=REPOSITORY, env=on_layout("separate-etcd"), check=False)
    [found] = [row for row in read_rows(lab / "report" / SHORT_FILE, TurnRow, print) if row.turn == TURN]
    assert (done.returncode == 0) is found.ok
    return found


def test_this_machine_had_the_time_to_tell(row: TurnRow) -> None:
    assert row.doubts == ()


def test_the_cluster_goes_there_and_back_and_nothing_is_lost(row: TurnRow) -> None:
    assert row.reasons == ()
    assert row.ok


def test_it_went_there_at_once_and_back_stage_by_stage(row: TurnRow) -> None:
    assert [(stage.stage, stage.direction) for stage in row.stages] == [
        (TURN, "forward"),
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
