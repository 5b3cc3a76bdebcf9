"""The engine's end on Ctrl-C, with processes in its place."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rehearsal import engine
from rehearsal.engine import Command, _Tail

ENDS = "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler)"
STAYS = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN)"


@pytest.mark.parametrize(("program", "code"), [(ENDS, -signal.SIGINT), (STAYS, -signal.SIGKILL)], ids=["ends", "stays"])
def test_an_engine_that_does_not_end_when_it_is_told_is_killed(
    program: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ENDS_WITHIN_S", 5.0)
    ready = tmp_path / "ready"
    script = f"{program}; open({str(ready)!r}, 'w').close(); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, stderr=subprocess.DEVNULL)
    tail = _Tail(tmp_path / "events", lambda _: None, None)
    try:
        while not ready.exists():
            time.sleep(0.05)
        Command("up", process, tail, tmp_path / "output").interrupt()
        assert process.returncode == code
    finally:
        process.kill()
        tail.stop()
