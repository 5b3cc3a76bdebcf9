"""Two migrations without a lab: what is edited between them, and what their rows add up to."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from rehearsal.again import ROADS, MigrationRow, configure, name_of, verdict
from rehearsal.watch import Road
from tests.samples import ZONES, configuration, settings

CIDR = "10.2.0.0/16"


def row(road: Road, *reasons: str) -> MigrationRow:
    return MigrationRow(
        migration=name_of(road),
        ok=not reasons,
        commit="c0ffee",
        reasons=reasons,
        begin="2025-01-01T00:00:00Z",
        seconds=1.0,
        report="r.html",
    )


def test_the_next_migration_is_one_that_the_program_takes_and_the_last_ones_lists_are_over(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.stage-0.yaml"
    path.write_text(yaml.safe_dump({"config": {f"migration:{key}": value for key, value in configuration().items()}}))
    configure(path, ROADS[1], CIDR)
    edited = {
        key.removeprefix("migration:"): value for key, value in yaml.safe_load(path.read_text())["config"].items()
    }
    assert edited["retire"] == edited["keep"] == []
    assert edited["sides"] == {
        "main": configuration()["sides"]["main"],
        "next": {"kind": "managed", "cidr": CIDR, "suffix": "-next", "zones": list(ZONES)},
    }
    found = settings(0, **edited).configuration
    assert (found.from_, found.to) == ("main", "next")


def test_both_migrations_must_be_there_and_ok() -> None:
    first, second = ROADS
    assert verdict([row(first), row(second)]) == []
    assert verdict([row(first)]) == ["main → next was not run"]
    assert verdict([row(first, "a probe failed"), row(second)]) == ["legacy → main is not ok: a probe failed"]
    assert len(verdict([])) == 2


@pytest.mark.parametrize(("before", "after"), list(pairwise(ROADS)))
def test_a_migration_begins_where_the_one_before_ended(before: Road, after: Road) -> None:
    assert before.new == after.old
    assert after.new not in (before.old, before.new)
