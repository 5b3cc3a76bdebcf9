"""The lab that rehearsals leave behind is ended without a trace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.addresses import from_environment
from lab.doctor import port_holder
from lab.environment import REPOSITORY
from lab.processes import of_lab

# By its name the last of them: what the others leave is what there is to end.
pytestmark = [pytest.mark.rehearsal(after_forward=True), pytest.mark.timeout(600)]


def lab_command(word: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab", word], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_lab_down_leaves_nothing_listening_and_no_process(lab: Path) -> None:
    lab_command("up")
    assert of_lab(lab) != []
    lab_command("down")
    assert of_lab(lab) == []
    addresses = from_environment()
    assert [port for port in range(addresses.port(1), addresses.port(12)) if port_holder(port)] == []
