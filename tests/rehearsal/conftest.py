"""What tests with a lab of their own share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.environment import REPOSITORY


@pytest.fixture(scope="session")
def lab() -> Iterator[Path]:
    """The folder of the rehearsals' lab: its path is short enough for sockets. What runs in it is ended at last.

    What one of them leaves running, the next may go on with.
    """
    directory = Path(os.environ.get("LAB_DIR") or REPOSITORY / ".lab").resolve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_DIR", str(directory))
        yield directory
        subprocess.run([sys.executable, "-m", "lab", "down"], cwd=REPOSITORY, check=False)


def on_layout(layout: str) -> dict[str, str]:
    """The environment for a lab whose first cluster has this form. One that is there keeps its own: it is purged."""
    subprocess.run([sys.executable, "-m", "lab", "down", "--purge"], cwd=REPOSITORY, check=True)
    return {**os.environ, "LAB_LAYOUT": layout}
