"""Where tools live, and how two set-ups share that place."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lab.toolchain.cache import Cache, cache_root
from lab.toolchain.errors import MissingTool
from lab.toolchain.pins import BY_NAME


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"MIGRATION_CACHE": "/c", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/c"),
        ({"MIGRATION_CACHE": "", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/kube-vpc-migration"),
        ({"HOME": "/h"}, "/h/.cache/kube-vpc-migration"),
    ],
)
def test_the_cache_is_where_the_first_set_variable_says(environ: dict[str, str], expected: str) -> None:
    assert cache_root(environ) == Path(expected)


def test_a_tool_put_from_a_read_only_file_can_be_run(tmp_path: Path) -> None:
    cache, source = Cache(tmp_path / "cache"), tmp_path / "source"
    source.write_text("#!/bin/sh\necho here\n")
    source.chmod(0o444)
    path = cache.put(BY_NAME["etcd"], source, way="by hand")
    assert path == tmp_path / "cache" / "tools" / "etcd-3.6.16" / "bin" / "etcd"
    assert subprocess.run([path], capture_output=True, text=True, check=True).stdout == "here\n"
    assert cache.find(BY_NAME["etcd"]) == path
    assert cache.origin(BY_NAME["etcd"]) == "by hand"
    assert os.listdir(path.parent) == ["etcd"]


def test_a_file_that_cannot_be_run_is_not_a_tool(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    path = cache.folder(BY_NAME["etcd"]) / "bin" / "etcd"
    path.parent.mkdir(parents=True)
    path.write_text("half")
    assert cache.find(BY_NAME["etcd"]) is None


def test_another_version_beside_it_is_another_tool(tmp_path: Path) -> None:
    cache, source = Cache(tmp_path), tmp_path / "source"
    source.write_text("#!/bin/sh\n")
    cache.put(replace(BY_NAME["etcd"], version="3.6.15"), source, way="by hand")
    assert cache.find(BY_NAME["etcd"]) is None


def test_what_a_tool_carries_is_copied_whole_and_can_be_replaced(tmp_path: Path) -> None:
    cache, kwok, source = Cache(tmp_path / "cache"), BY_NAME["kwok"], tmp_path / "kustomize"
    (source / "stage").mkdir(parents=True)
    (source / "stage" / "pod.yaml").write_text("one")
    (source / "stage").chmod(0o555)  # as a module cache keeps it
    assert cache.find_carried(kwok) is None
    for _ in range(2):
        cache.put_carried(kwok, "kustomize", source)
    share = cache.find_carried(kwok)
    assert share is not None
    assert (share / "kustomize" / "stage" / "pod.yaml").read_text() == "one"
    assert [path.name for path in share.iterdir()] == ["kustomize"]


def test_scratch_leaves_nothing_when_interrupted(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(KeyboardInterrupt), cache.scratch() as scratch:
        (scratch / "half").write_text("")
        raise KeyboardInterrupt
    assert list(cache.tools.iterdir()) == []


def test_a_second_set_up_waits_and_names_the_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    script = (
        "import sys; from pathlib import Path; from lab.toolchain.cache import Cache\n"
        "with Cache(Path(sys.argv[1])).lock(lambda line: print(line, flush=True)): print('in', flush=True)"
    )
    with cache.lock(lambda _: None):
        second = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert second.stdout is not None
        assert f"process {os.getpid()}" in second.stdout.readline()
        assert second.poll() is None
    assert second.stdout.readline() == "in\n"
    assert second.wait(timeout=30) == 0
    second.stdout.close()


def test_a_lock_of_a_killed_set_up_blocks_nobody(tmp_path: Path) -> None:
    script = (
        "import sys, os, signal; from pathlib import Path; from lab.toolchain.cache import Cache\n"
        "with Cache(Path(sys.argv[1])).lock(print): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == -9
    told: list[str] = []
    with Cache(tmp_path).lock(told.append):
        assert told == []


def test_a_cache_that_cannot_be_made_is_a_sentence_with_the_variable_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingTool, match="set MIGRATION_CACHE"), Cache(tmp_path / "file" / "in").lock(print):
        raise AssertionError("entered")
