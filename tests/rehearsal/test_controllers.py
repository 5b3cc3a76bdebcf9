"""Real controllers get through a migration if no error of theirs outlasts a stage and they still speak after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lab.controllers import CLOUD_UNIT, EXTERNAL_DNS
from rehearsal.controllers import outlasted, silent_since

NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


STAGES = [(at(0), at(5)), (at(5), at(10))]


def lab(folder: Path, *lines: tuple[float, str, str]) -> Path:
    """A lab's folder, with what external-dns said: when, of which level, what."""
    log = folder / "machines" / EXTERNAL_DNS / f"{EXTERNAL_DNS}.log"
    log.parent.mkdir(parents=True)
    text = [f'time="{at(when):%Y-%m-%dT%H:%M:%SZ}" level={level} msg="{said}"' for when, level, said in lines]
    log.write_text("\n".join(text) + "\n")
    return folder


def test_an_error_that_goes_on_after_its_stage_is_told_and_one_that_ends_within_is_not(tmp_path: Path) -> None:
    folder = lab(tmp_path, (1, "error", "lost 1 record"), (3, "error", "throttled"), (6, "error", "lost 2 record"))
    [told] = outlasted(folder, STAGES)
    assert told.startswith("external-dns told of an error 2 times, from 12:01:00 to 12:06:00 UTC")
    assert told.endswith("lost … record")


def test_no_log_at_all_is_not_quiet(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        outlasted(tmp_path, STAGES)
    (tmp_path / "machines/i-1/log").mkdir(parents=True)
    (tmp_path / f"machines/i-1/log/{CLOUD_UNIT}.log").write_text("")
    assert outlasted(tmp_path, STAGES) == []
    assert silent_since(tmp_path, at(0)) == ["external-dns has said nothing since it was resumed at 12:00:00 UTC"]


def test_one_that_says_nothing_after_it_was_resumed_is_told(tmp_path: Path) -> None:
    folder = lab(tmp_path, (1, "info", "All records are already up to date"))
    assert silent_since(folder, at(0.5)) == []
    assert len(silent_since(folder, at(1))) == 1
