"""The drain's benchmark in its short form: that its file has the shape, and that no budget was violated.

Nothing here is about time: that is for a quiet machine, and `make bench-drain`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import processes
from lab.environment import REPOSITORY
from rehearsal.benches.drain.model import DRAIN, Report

pytestmark = [pytest.mark.rehearsal, pytest.mark.timeout(900)]
COMMAND = [sys.executable, "-m", "rehearsal.benches.drain", "--short"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a run in short form: 20 nodes, 300 pods, as a person would run it."""
    directory = tmp_path_factory.mktemp("drain")
    environment = {**os.environ, "LAB_DIR": str(directory), "NODES": "20", "PODS": "300", "SEED": "1"}
    done = subprocess.run(COMMAND, cwd=REPOSITORY, env=environment, check=False)
    assert done.returncode == 0
    yield directory


@pytest.fixture(scope="module")
def report(directory: Path) -> Report:
    return Report.model_validate_json((directory / "report" / "drain-short.json").read_text())


def test_all_pods_were_moved_by_evictions_and_no_budget_was_violated(report: Report) -> None:
    assert report.trouble == ()
    [scale] = report.scales
    [run] = scale.runs
    assert (run.name, run.pods, len(run.violations)) == (DRAIN, 300, 0)
    assert run.evictions >= 300
    assert run.watched == len(scale.world.workloads)
    assert (run.left[0].pods, run.left[-1].pods) == (300, 0)


def test_the_file_has_what_a_reader_needs(report: Report) -> None:
    [scale] = report.scales
    [run] = scale.runs
    assert report.header.commit
    assert report.header.command.endswith("--short")
    assert scale.calibration is not None
    assert {one.stateful for one in scale.calibration.singles} == {False, True}
    assert scale.calibration.steps != ()
    assert scale.bound is not None
    assert scale.bound.seconds >= scale.bound.terms[0].seconds > 0
    assert scale.ratios.keys() == {DRAIN}
    assert run.told is not None
    assert (run.told.pods, run.told.evictions) == (300, run.evictions)
    assert run.server is not None
    assert run.prober is not None
    assert run.memory_mb is not None
    assert min(run.cpu.commands, run.cpu.apiservers, run.cpu.etcd, run.cpu.kwok) > 0
    assert [aim.measured for aim in report.aims if aim.measured is None] == []


def test_the_plot_is_there_and_nothing_runs_any_more(directory: Path) -> None:
    assert "<svg" in (directory / "report" / "drain-short.svg").read_text()
    assert processes.of_lab(directory) == []


def test_what_was_measured_with_this_program_isnt_measured_again(directory: Path, report: Report) -> None:
    environment = {**os.environ, "LAB_DIR": str(directory), "NODES": "20", "PODS": "300", "SEED": "1"}
    done = subprocess.run(COMMAND, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "everything was measured already" in done.stdout
    again = Report.model_validate_json((directory / "report" / "drain-short.json").read_text())
    assert again.scales == report.scales


def test_what_cant_be_asked_for_ends_before_anything_starts(tmp_path: Path) -> None:
    environment = {**os.environ, "LAB_DIR": str(tmp_path), "NODES": "2", "PODS": "300"}
    done = subprocess.run(COMMAND, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("bench-drain: PODS=300: 2 nodes hold 220")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "bare").exists()
