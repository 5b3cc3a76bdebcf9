"""What a shell needs to work on the lab: `eval "$(python -m lab env)"`. Stdlib only."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from lab import addresses, toolchain
from lab.plugins import install

REPOSITORY = Path(__file__).resolve().parents[1]
VENV = REPOSITORY / ".venv"

# Somebody's own account must not leak into the lab, nor the lab's calls into that account.
FOREIGN = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")

LAB_PASSPHRASE = "rehearsal"
"""Encrypts the lab's stacks, which hold nothing worth a secret; a file backend refuses to start without one."""


def own_plugins(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the lab's own providers stand in for Pulumi's official ones (`LAB_PLUGINS`, default `own`).

    Raises ValueError for another word.
    """
    chosen = (os.environ if environ is None else environ).get("LAB_PLUGINS") or "own"
    if chosen not in {"own", "official"}:
        raise ValueError(f"LAB_PLUGINS={chosen!r}: must be own or official")
    return chosen == "own"


def lab_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that make a shell, or a child process, work on the lab; tools that aren't there are left out.

    Raises ValueError for a LAB_INDEX or LAB_PLUGINS that can't be.
    """
    env = os.environ if environ is None else environ
    lab = addresses.from_environment(env)
    directory = addresses.lab_dir(env).resolve()
    own = own_plugins(env)
    first = [str(VENV / "bin"), *(str(folder) for folder in toolchain.tool_dirs(env))]
    # What an earlier evaluation put there is taken out first: twice must be as once.
    rest = [part for part in env.get("PATH", os.defpath).split(os.pathsep) if part not in first]
    variables = {
        "PATH": os.pathsep.join([*first, *rest]),
        "LAB_DIR": str(directory),
        "LAB_INDEX": str(lab.index),
        "PULUMI_BACKEND_URL": f"file://{directory / 'pulumi' / 'state'}",
        # A home for each kind: the own plugins say they are of the official ones' version.
        "PULUMI_HOME": str(directory / "pulumi" / ("home" if own else "home-official")),
        # What the engine finds on PATH it warns of; its home folder and its own are looked through without a word.
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        "PULUMI_CONFIG_PASSPHRASE": LAB_PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # The own plugins are in its home folder; asking a server for a missing one would hang where there is none.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true" if own else "false",
        # The language host ignores Pulumi.yaml's virtualenv; the dynamic providers' host asks this too.
        "PULUMI_PYTHON_CMD": str(VENV / "bin" / "python"),
        "KUBECONFIG": str(directory / "kubeconfig"),
        **lab.aws_environment(),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    if any(env.get(name) for name in PROXIES):
        # The lab is on loopback: a proxy could only fail at it.
        kept = [part for part in env.get("NO_PROXY", env.get("no_proxy", "")).split(",") if part]
        local = [part for part in ("127.0.0.1", "localhost", "127.0.0.0/8") if part not in kept]
        variables["NO_PROXY"] = variables["no_proxy"] = ",".join([*kept, *local])
    return variables


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a process of the lab: today's, the lab's on top, without proxies and accounts."""
    env = dict(os.environ if environ is None else environ)
    for name in (*FOREIGN, *PROXIES):
        env.pop(name, None)
    env.update(lab_environment(env))
    env["PYTHONUNBUFFERED"] = "1"
    return env


def exports(environ: Mapping[str, str] | None = None) -> str:
    """Lines for a POSIX shell's `eval`, quoted."""
    env = os.environ if environ is None else environ
    lines = [f"unset {name}" for name in FOREIGN if name in env]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in lab_environment(env).items()]
    return "\n".join(lines)


def make_folders(environ: Mapping[str, str] | None = None) -> Path:
    """Makes the lab's folder with what Pulumi wants to find there (a file backend's folder, plugins); returns it.

    Raises ValueError as `lab_environment` does.
    """
    directory = addresses.lab_dir(environ).resolve()
    home = Path(lab_environment(environ)["PULUMI_HOME"])
    for folder in (directory / "pulumi" / "state", home, directory / "run", directory / "log"):
        folder.mkdir(parents=True, exist_ok=True)
    if own_plugins(environ):
        install.link(home, VENV)
    return directory
