"""The executables the engine starts."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import grpc
import psutil
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2_grpc

from lab.environment import VENV
from lab.plugins import install
from tests.lab.plugins.waiting import gone

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(("name", "version"), [("aws", "7.51.1+lab"), ("kubernetes", "4.34.2+lab")])
def test_a_linked_launcher_prints_its_port_serves_and_goes_with_its_engine(
    tmp_path: Path, name: str, version: str
) -> None:
    launcher = next(p for p in install.link(tmp_path, VENV) if p.name.endswith(name))
    assert install.link(tmp_path, VENV), "twice is as once"
    # A shell plays the engine: the plugin must notice that it is gone.
    engine = subprocess.Popen(
        ["sh", "-c", f"{launcher} & echo $! && wait"], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert engine.stdout is not None
    pid, port = int(engine.stdout.readline()), int(engine.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        assert stub.GetPluginInfo(empty_pb2.Empty()).version == version
    process = psutil.Process(pid)
    engine.kill()
    engine.wait()
    deadline = time.monotonic() + 30
    while not gone(process) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert gone(process)
