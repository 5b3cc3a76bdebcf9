"""PATH at exactly the pinned version, then the cache, then a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import toolchain
from lab.toolchain.cache import Cache
from lab.toolchain.pins import BY_NAME, TOOLS


def _program(path: Path, says: str = "", status: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("MIGRATION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    return Cache(tmp_path / "cache")


def _cached(cache: Cache, name: str) -> Path:
    return _program(cache.folder(BY_NAME[name]) / "bin" / name)


def test_a_tool_on_path_at_the_pinned_version_comes_before_the_cache(cache: Cache, tmp_path: Path) -> None:
    _cached(cache, "etcd")
    own = _program(tmp_path / "path" / "etcd", "etcd Version: 3.6.16")
    assert toolchain.find("etcd") == toolchain.Found(own, "3.6.16", "PATH")


@pytest.mark.parametrize("says", ["etcd Version: 3.6.15", "etcd Version: 3.6.160", "", "no idea"])
def test_a_tool_on_path_at_another_version_is_passed_over(cache: Cache, tmp_path: Path, says: str) -> None:
    cached = _cached(cache, "etcd")
    _program(tmp_path / "path" / "etcd", says)
    found = toolchain.find("etcd")
    assert found is not None
    assert found.path == cached


def test_a_tool_on_path_that_fails_is_passed_over(cache: Cache, tmp_path: Path) -> None:
    _program(tmp_path / "path" / "etcd", "etcd Version: 3.6.16", status=1)
    assert toolchain.find("etcd") is None


def test_a_tool_that_cannot_say_its_version_is_taken_from_the_cache_only(cache: Cache, tmp_path: Path) -> None:
    _program(tmp_path / "path" / "pulumi-language-python", "3.78.0")
    assert toolchain.find("pulumi-language-python") is None


def test_a_missing_tool_is_a_sentence_with_the_remedy(cache: Cache) -> None:
    with pytest.raises(toolchain.MissingTool, match=r"etcd 3\.6\.16 is neither on PATH nor in .*make setup"):
        toolchain.tool_path("etcd")
    with pytest.raises(toolchain.MissingTool, match="make setup"):
        toolchain.kwok_stage_dir()
    with pytest.raises(toolchain.MissingTool, match="make setup"):
        toolchain.tool_env()


def test_the_tools_come_first_on_path_and_none_is_there_twice(cache: Cache) -> None:
    for tool in TOOLS:
        _cached(cache, tool.name)
    parts = toolchain.tool_env()["PATH"].split(":")
    folders = list(dict.fromkeys(str(cache.folder(tool) / "bin") for tool in TOOLS))
    assert parts[: len(folders)] == folders
    assert len(parts) == len(set(parts))


def test_the_language_host_of_the_official_archive_will_do_too(cache: Cache) -> None:
    name = "pulumi-language-python"
    path = _program(cache.folder(BY_NAME[name], BY_NAME["pulumi"].version) / "bin" / name)
    assert toolchain.find(name) == toolchain.Found(path, BY_NAME["pulumi"].version, "cache")


def test_a_complete_cache_needs_neither_go_nor_lock(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "ensure_go", lambda *_: pytest.fail("asked for Go"))
    for tool in TOOLS:
        _cached(cache, tool.name)
    (cache.folder(BY_NAME["kwok"]) / "share" / "kustomize").mkdir(parents=True)
    said: list[str] = []
    toolchain.ensure(said.append)
    assert said == []
