"""Two migrations in a row with the real engine, as `make again` does them, but for previews and most second `up`s."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.environment import REPOSITORY
from migration.stages import STAGES
from rehearsal.again import ROADS, SHORT_FILE, MigrationRow, name_of
from rehearsal.rows import read_rows

# What the way forward shows is asked first: without it there is no second one to look at.
pytestmark = [pytest.mark.rehearsal(after_forward=True), pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def rows(lab: Path) -> dict[str, MigrationRow]:
    """A row a migration of the short form, run as a person would."""
    path = lab / "report" / SHORT_FILE
    path.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, "-m", "rehearsal", "again", "--short"], cwd=REPOSITORY, check=False)
    found = {row.migration: row for row in read_rows(path, MigrationRow, print)}
    assert (done.returncode == 0) is (len(found) == len(ROADS) and all(row.ok for row in found.values()))
    return found


@pytest.mark.parametrize("migration", [name_of(road) for road in ROADS])
def test_the_cluster_moves_and_nothing_is_lost(rows: dict[str, MigrationRow], migration: str) -> None:
    row = rows[migration]
    assert row.doubts == ()
    assert row.reasons == ()
    assert row.ok
    assert [stage.stage for stage in row.stages] == [one.number for one in STAGES]
    assert row.probes.due > 0
    assert row.probes.failed == 0
    assert row.writes.acknowledged > 0
    assert row.writes.lost == 0


def test_afterwards_an_image_is_rolled_out_and_a_pool_renamed(rows: dict[str, MigrationRow]) -> None:
    changes = rows[name_of(ROADS[-1])].afterwards
    assert [change.name for change in changes] == [
        "an image for a pool",
        "an image for the members",
        "a pool without its suffix",
    ]
    assert [change.wrong for change in changes] == [(), (), ()]
