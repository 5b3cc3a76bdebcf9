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
    said: list[str] = []
    script = f"{program}; open({str(ready)!r}, 'w').close(); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, stderr=subprocess.DEVNULL)
    tail = _Tail(tmp_path / "events", said.append, None)
    try:
        while not ready.exists():
            time.sleep(0.05)
        Command("up", process, tail, tmp_path / "output").interrupt()
        assert process.returncode == code
        assert "Ctrl-C kills it" in said[0]
    finally:
        process.kill()
        tail.stop()


def test_a_second_ctrl_c_kills_an_engine_that_is_still_finishing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    tail = _Tail(tmp_path / "events", lambda _: None, None)
    waited = process.wait

    def once_more(timeout: float | None = None) -> int:
        if timeout is not None:
            raise KeyboardInterrupt
        return waited()

    monkeypatch.setattr(process, "send_signal", lambda _: None)
    monkeypatch.setattr(process, "wait", once_more)
    try:
        Command("up", process, tail, tmp_path / "output").interrupt()
        assert process.returncode == -signal.SIGKILL
    finally:
        process.kill()
        tail.stop()
