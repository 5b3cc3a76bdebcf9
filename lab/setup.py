"""`make setup`: the virtual environment with the pinned packages, then the tools. Stdlib only; resumes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lab import toolchain
from lab.environment import REPOSITORY, VENV
from lab.toolchain.building import duration, run_logged
from lab.toolchain.cache import Cache, Log
from lab.toolchain.errors import MissingTool
from lab.toolchain.locks import file_lock

REQUIREMENTS = ("requirements.txt", "requirements-dev.txt", "constraints.txt")
STAMP = ".requirements-sha256"


class SetupError(Exception):
    """The set-up can't go on; the message says why and what to do."""


def fingerprint(repository: Path = REPOSITORY, version: tuple[int, int] | None = None) -> str:
    """What the virtual environment is made of: the requirement files and Python's minor version, as a digest."""
    digest = hashlib.sha256(repr(version or sys.version_info[:2]).encode())
    for name in REQUIREMENTS:
        content = (repository / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def venv_is_current(venv: Path = VENV, repository: Path = REPOSITORY) -> bool:
    """Whether the environment was finished from today's requirement files and its Python still runs."""
    try:
        noted = (venv / STAMP).read_text().strip()
    except OSError:
        return False
    version = _venv_version(venv)
    return version is not None and noted == fingerprint(repository, version)


def _venv_version(venv: Path) -> tuple[int, int] | None:
    """The environment's Python, None if it doesn't run (its base was upgraded away, say)."""
    try:
        done = subprocess.run(
            [str(venv / "bin" / "python"), "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        major, minor = done.stdout.split()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return int(major), int(minor)


def _venv_command(venv: Path) -> list[str]:
    """How to make a virtual environment with what this machine has. Raises SetupError if there is no way."""
    if importlib.util.find_spec("venv") is not None:
        command = [sys.executable, "-m", "venv", str(venv)]
        if importlib.util.find_spec("ensurepip") is not None:
            return command
        # Debian and Ubuntu split ensurepip off; a pip that is there can install into another environment.
        if importlib.util.find_spec("pip") is not None:
            return [*command, "--without-pip"]
    virtualenv = shutil.which("virtualenv")
    if virtualenv is not None:
        return [virtualenv, "--python", sys.executable, str(venv)]
    raise SetupError(
        f"{sys.executable} can't make a virtual environment (its venv has no ensurepip, and there is neither pip nor "
        "virtualenv): install your distribution's python3-venv (Debian, Ubuntu: apt install python3-venv) and "
        "run this again"
    )


def _pip(venv: Path) -> list[str]:
    if (venv / "bin" / "pip").exists():
        return [str(venv / "bin" / "python"), "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python")]


def ensure_venv(log: Log, venv: Path = VENV, repository: Path = REPOSITORY) -> None:
    """Makes the environment and installs the pinned packages, unless that is done already.

    Raises SetupError.
    """
    if venv_is_current(venv, repository):
        return
    log_file = Cache.of().logs / "packages.log"
    with file_lock(
        venv.with_name(venv.name + ".lock"),
        lambda holder: log(f"another set-up (process {holder}) works on {venv.name}: waiting for it"),
    ):
        if venv_is_current(venv, repository):
            return
        started = time.monotonic()
        if _venv_version(venv) is None:
            log(f"making {venv.name} with Python {sys.version_info[0]}.{sys.version_info[1]}")
            shutil.rmtree(venv, ignore_errors=True)
            _run(_venv_command(venv), "the virtual environment", "10 s", log_file, log, repository)
        (venv / STAMP).unlink(missing_ok=True)
        log(f"installing the pinned packages (usually 2 min; log {log_file})")
        command = [*_pip(venv), "install", "--disable-pip-version-check", "--no-input"]
        command += ["-r", str(repository / "requirements-dev.txt")]
        _run(command, "Python packages", "2 min", log_file, log, repository)
        version = _venv_version(venv)
        if version is None:
            raise SetupError(f"{venv}/bin/python doesn't run: delete {venv} and run this again")
        (venv / STAMP).write_text(fingerprint(repository, version) + "\n")
        log(f"  packages: installed in {duration(time.monotonic() - started)}")


def _run(command: list[str], label: str, expected: str, log_file: Path, log: Log, cwd: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    status = run_logged(command, cwd=cwd, env=env, log_file=log_file, label=label, expected=expected, log=log)
    if status != 0:
        lines = [line for line in log_file.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines[-20:] if line.startswith("ERROR")] or lines[-1:]
        raise SetupError(
            f"{label} failed: {errors[-1].strip()} (see {log_file}); if the package index can't be reached, check "
            "the network and PIP_INDEX_URL, then run this again: what was downloaded is kept"
        )


def setup(log: Log) -> int:
    """All of it; returns an exit status. Says nothing if nothing was to do."""
    try:
        ensure_venv(log)
        toolchain.ensure(log)
    except (SetupError, MissingTool, OSError) as error:
        log(f"setup: {error}")
        return 1
    return 0
