"""The virtual environment is made once, made again when its files change, and its failures are sentences."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from lab import setup
from lab.setup import SetupError


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIGRATION_CACHE", str(tmp_path / "cache"))
    for name in setup.REQUIREMENTS:
        (tmp_path / name).write_text("# none\n")
    return tmp_path


def _without(*modules: str) -> Callable[[str], ModuleSpec | None]:
    real = importlib.util.find_spec
    return lambda name: None if name in modules else real(name)


def test_the_fingerprint_changes_with_every_requirement_file_and_with_python(repository: Path) -> None:
    seen = {setup.fingerprint(repository, (3, 11)), setup.fingerprint(repository, (3, 12))}
    for name in setup.REQUIREMENTS:
        (repository / name).write_text(f"{name}==1\n")
        seen.add(setup.fingerprint(repository, (3, 11)))
    assert len(seen) == 2 + len(setup.REQUIREMENTS)


def test_a_finished_environment_is_left_alone_and_an_unfinished_one_is_finished(repository: Path) -> None:
    venv, said = repository / ".venv", list[str]()
    setup.ensure_venv(said.append, venv, repository)
    assert setup.venv_is_current(venv, repository)
    assert subprocess.run([venv / "bin" / "python", "-c", ""], check=False).returncode == 0
    said.clear()
    setup.ensure_venv(said.append, venv, repository)
    assert said == []
    (venv / setup.STAMP).unlink()  # as an interruption leaves it
    setup.ensure_venv(said.append, venv, repository)
    assert any("installing" in line for line in said)
    assert not any("making" in line for line in said)


def test_a_failed_installation_is_a_sentence_and_leaves_no_stamp(repository: Path) -> None:
    (repository / "requirements-dev.txt").write_text("./no-such-folder\n")
    with pytest.raises(SetupError, match=r"Python packages failed: .*see .*packages\.log"):
        setup.ensure_venv(lambda _: None, repository / ".venv", repository)
    assert not setup.venv_is_current(repository / ".venv", repository)


def test_an_environment_whose_python_is_gone_is_not_current(repository: Path) -> None:
    venv = repository / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to("/nonexistent/python")
    (venv / setup.STAMP).write_text(setup.fingerprint(repository))
    assert not setup.venv_is_current(venv, repository)


def test_without_ensurepip_a_pip_that_is_there_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", _without("ensurepip"))
    assert setup._venv_command(Path("v")) == [sys.executable, "-m", "venv", "v", "--without-pip"]


def test_without_any_way_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", _without("ensurepip", "pip"))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SetupError, match="apt install python3-venv"):
        setup._venv_command(Path("v"))
