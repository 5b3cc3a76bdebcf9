"""A dead engine's plugins are waited for and ended; a living engine's, and everybody else's processes, never."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from migration.recover.leftovers import orphaned, settle

# An engine listens, and starts a plugin by a launcher, with its address.
ENGINE = """
import socket, subprocess, sys, time
server = socket.create_server(("127.0.0.1", 0))
address = f"127.0.0.1:{server.getsockname()[1]}"
plugin = subprocess.Popen([sys.argv[1], *sys.argv[2:], address])
print(plugin.pid, flush=True)
time.sleep(100)
"""
PLUGIN = '#!/bin/sh\nexec {python} {mark} -c "import time; time.sleep({seconds})" "$@"\n'


class Started:
    """Engines started in a folder, each with a plugin that works for some seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[str]] = []
        self.plugins: list[psutil.Process] = []

    def engine(
        self, seconds: float = 100, name: str = "pulumi-resource-x"
    ) -> tuple[subprocess.Popen[str], psutil.Process]:
        launcher = self.folder / name
        mark = f"-X {name}" if name.startswith("pulumi-") else ""
        launcher.write_text(PLUGIN.format(python=sys.executable, mark=mark, seconds=seconds))
        launcher.chmod(0o755)
        engine = subprocess.Popen(
            [sys.executable, "-c", ENGINE, str(launcher)], cwd=self.folder, stdout=subprocess.PIPE, text=True
        )
        self._started.append(engine)
        assert engine.stdout is not None
        plugin = psutil.Process(int(engine.stdout.readline()))
        self.plugins.append(plugin)
        while "-c" not in plugin.cmdline():  # the launcher becomes the plugin
            time.sleep(0.01)
        return engine, plugin

    def end(self) -> None:
        for one in (*self._started, *self.plugins):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        for one in self._started:
            one.wait()
            assert one.stdout is not None
            one.stdout.close()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    made = Started(tmp_path)
    yield made
    made.end()


def kill(engine: subprocess.Popen[str]) -> None:
    engine.kill()
    engine.wait()


def test_a_living_engines_plugin_is_no_orphan_and_a_dead_ones_is(started: Started) -> None:
    living, _ = started.engine()
    dead, left = started.engine()
    assert orphaned(started.folder) == []
    kill(dead)
    assert orphaned(started.folder) == [left]
    assert living.poll() is None


def test_what_the_engine_of_another_folder_left_is_not_ours(started: Started, tmp_path: Path) -> None:
    dead, _ = started.engine()
    kill(dead)
    assert orphaned(tmp_path / "elsewhere") == []


def test_a_process_that_is_no_plugin_is_never_an_orphan(started: Started) -> None:
    dead, other = started.engine(name="server")
    kill(dead)
    assert other.is_running()
    assert orphaned(started.folder) == []


def test_what_is_at_work_is_waited_for(started: Started) -> None:
    dead, plugin = started.engine(seconds=1.5)
    kill(dead)
    said: list[str] = []
    settle(started.folder, said.append)
    assert said == [f"waiting for what the dead engine left at work: pulumi-resource-x (process {plugin.pid})"]
    assert orphaned(started.folder) == []


def test_what_does_not_end_is_ended_and_named(started: Started) -> None:
    living, spared = started.engine()
    dead, plugin = started.engine()
    kill(dead)
    said: list[str] = []
    settle(started.folder, said.append, patience=0.1)
    assert said[-1] == f"ended pulumi-resource-x (process {plugin.pid}), which the dead engine left"
    assert not plugin.is_running() or plugin.status() == psutil.STATUS_ZOMBIE
    assert spared.is_running() and living.poll() is None


def test_a_language_host_makes_nothing_and_is_ended_at_once(started: Started) -> None:
    dead, left = started.engine(name="pulumi-language-x")
    kill(dead)
    said: list[str] = []
    settle(started.folder, said.append, sleeper=lambda seconds: pytest.fail("it was waited for"))
    assert said == [f"ended pulumi-language-x (process {left.pid}), which the dead engine left"]


def test_nothing_left_is_nothing_said(tmp_path: Path) -> None:
    said: list[str] = []
    settle(tmp_path, said.append)
    assert said == []
