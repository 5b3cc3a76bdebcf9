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


BUNDLED = ("pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python")


def test_what_the_engine_is_bundled_with_is_taken_from_beside_it_only(cache: Cache, tmp_path: Path) -> None:
    for name in BUNDLED:
        _program(tmp_path / "path" / name, "3.259.0")
        assert toolchain.find(name) is None
        cached = _cached(cache, name)
        assert toolchain.find(name) == toolchain.Found(cached, "3.259.0", "cache")
        assert cached.parent == tmp_path / "cache" / "tools" / "pulumi-3.259.0" / "bin"


def test_an_engine_on_path_comes_with_what_it_is_bundled_with(cache: Cache, tmp_path: Path) -> None:
    real = _program(tmp_path / "opt" / "pulumi" / "pulumi", "v3.259.0")
    for name in BUNDLED:
        _cached(cache, name)
        _program(real.with_name(name))
    (tmp_path / "path").mkdir()
    linked = tmp_path / "path" / "pulumi"
    linked.symlink_to(real)  # the engine looks where it really is
    assert toolchain.find("pulumi") == toolchain.Found(linked, "3.259.0", "PATH")
    for name in BUNDLED:
        assert toolchain.find(name) == toolchain.Found(real.with_name(name), "3.259.0", "PATH")


def test_a_bare_engine_on_path_is_passed_over(cache: Cache, tmp_path: Path) -> None:
    _program(tmp_path / "path" / "pulumi", "v3.259.0")
    assert toolchain.find("pulumi") is None
    assert toolchain.find("pulumi-language-python") is None


def test_a_missing_tool_is_a_sentence_with_the_remedy(cache: Cache) -> None:
    with pytest.raises(toolchain.MissingTool, match=r"etcd 3\.6\.16 is neither on PATH nor in .*make setup"):
        toolchain.tool_path("etcd")
    with pytest.raises(toolchain.MissingTool, match="make setup"):
        toolchain.kwok_stage_dir()


def test_a_tool_for_some_labs_is_named_with_the_command_that_gets_it(cache: Cache) -> None:
    with pytest.raises(toolchain.MissingTool, match=r"kubeadm 1\.34\.1 is neither .*python3 -m lab tool kubeadm"):
        toolchain.tool_path("kubeadm")


def test_what_any_lab_needs_is_complete_without_the_tools_for_some(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in TOOLS:
        _cached(cache, tool.name)
    (cache.folder(BY_NAME["kwok"]) / "share" / "kustomize").mkdir(parents=True)
    asked: list[str] = []

    def no_go(*_: object) -> None:
        asked.append("go")
        raise toolchain.MissingTool("no Go here")

    monkeypatch.setattr(toolchain, "ensure_go", no_go)
    toolchain.ensure(lambda _: None)
    assert asked == []
    with pytest.raises(toolchain.MissingTool, match="no Go here"):
        toolchain.ensure(lambda _: None, ["etcdutl"])
    _cached(cache, "etcdutl")
    toolchain.ensure(lambda _: None, ["etcdutl"])
    assert cache.folder(BY_NAME["etcdutl"]) / "bin" in toolchain.tool_dirs()


def test_the_folders_for_path_are_those_of_all_tools_each_once(cache: Cache) -> None:
    for tool in TOOLS:
        _cached(cache, tool.name)
    assert toolchain.tool_dirs() == list(dict.fromkeys(cache.folder(tool) / "bin" for tool in TOOLS))


def test_a_complete_cache_needs_neither_go_nor_lock(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "ensure_go", lambda *_: pytest.fail("asked for Go"))
    for tool in TOOLS:
        _cached(cache, tool.name)
    (cache.folder(BY_NAME["kwok"]) / "share" / "kustomize").mkdir(parents=True)
    said: list[str] = []
    toolchain.ensure(said.append)
    assert said == []
