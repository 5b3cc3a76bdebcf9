"""The next migration on the rehearsal's lab with the real engine, as `make again` does it in its short form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.environment import REPOSITORY
from rehearsal.again import ROADS, SHORT_FILE, SHORT_LAST, MigrationRow, name_of
from rehearsal.rows import read_rows

# The lab stands at 8 after the way forward; without one there is a first migration here as well.
pytestmark = [pytest.mark.rehearsal(after_forward=True), pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def row(lab: Path) -> MigrationRow:
    """The row of the second migration, run as a person would."""
    path = lab / "report" / SHORT_FILE
    path.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, "-m", "rehearsal", "again", "--short"], cwd=REPOSITORY, check=False)
    found = {row.migration: row for row in read_rows(path, MigrationRow, print)}
    assert (done.returncode == 0) is all(row.ok for row in found.values())
    return found[name_of(ROADS[-1])]


def test_this_machine_had_the_time_to_tell(row: MigrationRow) -> None:
    assert row.doubts == ()


def test_a_cluster_that_has_moved_moves_on_and_nothing_is_lost(row: MigrationRow) -> None:
    assert row.reasons == ()
    assert row.ok
    assert row.probes.due > 0
    assert row.probes.failed == 0
    assert row.writes.acknowledged > 0
    assert row.writes.lost == 0


def test_it_went_so_far_that_the_third_side_carries_nodes(row: MigrationRow) -> None:
    assert [stage.stage for stage in row.stages] == list(range(SHORT_LAST + 1))
    assert row.stages[-1].second_up_changes == 0
