"""Rows of a long run: kept whole, read again, and known by the program that made them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from rehearsal.rows import commit_of, read_rows, write_rows


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int


def git(folder: Path, *arguments: str) -> None:
    own = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *own, *arguments], cwd=folder, check=True, capture_output=True)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "report" / "rows.json"
    told: list[str] = []
    assert read_rows(path, Row, told.append) == []
    write_rows(path, [Row(number=1), Row(number=2)])
    assert read_rows(path, Row, told.append) == [Row(number=1), Row(number=2)]
    assert told == []
    assert [one.name for one in path.parent.iterdir()] == ["rows.json"]


@pytest.mark.parametrize("text", ["", "[", '{"number": 1}', '[{"number": 1, "of": "another version"}]', "7"])
def test_a_file_that_can_not_be_read_is_said_and_has_no_row(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    told: list[str] = []
    assert read_rows(path, Row, told.append) == []
    assert len(told) == 1
    assert "all of them are run again" in told[0]


def test_a_commit_with_anything_changed_is_another_program(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-qm", "a")
    clean = commit_of(tmp_path)
    assert len(clean) == 40
    seen = {clean}
    for name, text in (("a.py", "2"), ("a.py", "3"), ("b.py", "1"), ("b.py", "2")):
        (tmp_path / name).write_text(text)
        seen.add(commit_of(tmp_path))
        assert commit_of(tmp_path).startswith(f"{clean}+")
    assert len(seen) == 5


def test_without_git_no_commit_is_known(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == ""
