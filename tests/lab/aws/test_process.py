"""`python -m lab.aws` as the lab starts it: says its address, answers, ends on SIGTERM and leaves nothing listening."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from lab.addresses import LabAddresses

pytestmark = pytest.mark.lab
INDEX = 9


def start(directory: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lab.aws"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LAB_INDEX": str(INDEX), "LAB_DIR": str(directory), **environment},
    )


def test_the_process_serves_and_ends_when_told(tmp_path: Path) -> None:
    url, port = LabAddresses(index=INDEX).aws_url, LabAddresses(index=INDEX).aws_port
    process = start(tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == f"lab.aws: {url}"
        with urllib.request.urlopen(f"{url}/_backplane/state?after=-1&wait=0", timeout=20) as answer:
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
    assert code == 0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
    pytest.fail(f"port {port} still listens")


def test_bad_settings_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text('{"deregistration_s": "long"}')
    process = start(tmp_path)
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "deregistration_s='long'" in said
    assert "Traceback" not in said
