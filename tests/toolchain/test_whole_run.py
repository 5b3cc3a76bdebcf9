"""`make test` as a whole: every part is run and told, and one that fails makes all of it fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.environment import REPOSITORY
from tests.__main__ import INTERRUPTED, LONG, PARTS, PURE, PURE_ONES, Part, main, run, summary

PASSES = Part("first", (sys.executable, "-c", ""))
FAILS = Part("second", (sys.executable, "-c", "raise SystemExit(4)"))


def test_a_part_that_fails_is_named_and_the_next_one_still_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    last = Part("third", (sys.executable, "-c", f"open({str(mark)!r}, 'w')"))
    outcomes = run((PASSES, FAILS, last))
    assert mark.exists()
    text, status = summary(outcomes)
    assert status == 1
    told = text.splitlines()
    assert told[0].startswith("first ") and told[0].endswith("ok")
    assert f"FAILED with exit status 4: {sys.executable} -c raise SystemExit(4)" in told[1]
    assert told[-1].startswith("NOT OK after") and told[-1].endswith(": second")


def test_all_parts_passed_is_ok_and_none_run_is_not() -> None:
    assert summary(run((PASSES,)))[1] == 0
    assert summary([])[1] == 1


def test_the_run_ends_with_its_summary_and_its_status(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.__main__.PARTS", (PASSES, FAILS))
    assert main() == 1
    assert capfd.readouterr().out.splitlines()[-1].startswith("NOT OK")


SLOW_TO_END = """
import pathlib, sys, time
try:
    print("started", flush=True)
    time.sleep(100)
except KeyboardInterrupt:
    time.sleep(1)
    pathlib.Path(sys.argv[1]).touch()
"""


def test_after_ctrl_c_a_part_ends_what_it_started_and_no_other_begins(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    program = f"""
import sys
import tests.__main__ as it

slow = it.Part("slow", (sys.executable, "-c", {SLOW_TO_END!r}, {str(first)!r}))
it.PARTS = (slow, it.Part("after", ("touch", {str(second)!r})))
sys.exit(it.main())
"""
    interrupted(program)
    assert first.exists()
    assert not second.exists()


def interrupted(program: str) -> None:
    """Run it, press Ctrl-C once it has started."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    with process.stdout as said:
        while said.readline() != "started\n":
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        assert said.read().endswith("interrupted\n")
    assert process.wait() == INTERRUPTED


def test_every_test_is_in_one_part() -> None:
    every = [part for part in PARTS if "pytest" in part.command]
    chosen = {part.name: part.command[part.command.index("-m", 3) + 1] for part in every}
    assert chosen == {"tests": "not rehearsal", "rehearsal": "rehearsal", "pure tests": PURE_ONES}
    commands = {part.name: part.command for part in every}
    left_out = {word.removeprefix("--ignore=") for word in commands["tests"] if word.startswith("--ignore=")}
    assert left_out == {*LONG, *PURE}
    assert [word for word in commands["pure tests"] if word.startswith("tests/")] == list(PURE)


def test_what_is_left_out_for_its_time_has_a_command() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    assert [name for name in LONG if name not in makefile] == []
    assert [name for name in LONG if not (REPOSITORY / name).is_file()] == []


def test_what_is_left_out_as_one_of_many_alike_has_a_command() -> None:
    assert PURE_ONES == "not rehearsal and not thorough"
    [swaps] = [line for line in (REPOSITORY / "Makefile").read_text().splitlines() if line.startswith("SWAPS :=")]
    marked = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        if "pytest.mark.thorough" in path.read_text() and path != Path(__file__)
    }
    assert marked
    assert marked <= set(swaps.split()[2:])
