"""The plugins' methods called as the engine would, and the engine itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import toolchain
from lab.addresses import REGION
from lab.environment import VENV
from lab.plugins import install
from lab.plugins.aws.provider import AwsPlugin
from lab.plugins.host import Difference, Props, Request


@dataclass
class Made:
    """One resource as the engine has it in its state."""

    type: str
    name: str
    id: str
    inputs: Props
    outputs: Props


@dataclass
class Driver:
    """Check, create, refresh, diff, update, delete: the engine's own order of calls, without the engine."""

    plugin: AwsPlugin
    url: str

    def client(self, service: str) -> Any:
        return self.plugin.clients.get(service)

    def checked(self, kind: str, name: str, inputs: Props, old: Props | None = None) -> Props:
        checked, failures = self.plugin.check(Request(type=kind, name=name, inputs=inputs, old_inputs=old or {}))
        assert not failures, failures
        return checked

    def create(self, kind: str, name: str, /, **inputs: Any) -> Made:
        checked = self.checked(kind, name, inputs)
        resource_id, outputs = self.plugin.create(Request(type=kind, name=name, inputs=checked))
        return Made(kind, name, resource_id, checked, outputs)

    def diff(self, made: Made, ignore: Sequence[str] = (), /, **changes: Any) -> Difference:
        given = {k: v for k, v in made.inputs.items() if not k.startswith("__")}
        inputs = self.checked(made.type, made.name, {**given, **changes}, made.inputs)
        return self.plugin.diff(
            Request(
                type=made.type,
                name=made.name,
                id=made.id,
                inputs=inputs,
                old_inputs=made.inputs,
                old_outputs=made.outputs,
                ignore=ignore,
            )
        )

    def update(self, made: Made, ignore: Sequence[str] = (), /, **changes: Any) -> Made:
        given = {k: v for k, v in made.inputs.items() if not k.startswith("__")}
        inputs = self.checked(made.type, made.name, {**given, **changes}, made.inputs)
        outputs = self.plugin.update(
            Request(
                type=made.type,
                name=made.name,
                id=made.id,
                inputs=inputs,
                old_inputs=made.inputs,
                old_outputs=made.outputs,
                ignore=ignore,
            )
        )
        return Made(made.type, made.name, made.id, inputs, outputs)

    def refresh(self, made: Made) -> Made | None:
        found = self.plugin.read(
            Request(type=made.type, name=made.name, id=made.id, old_inputs=made.inputs, old_outputs=made.outputs)
        )
        return None if found is None else Made(made.type, made.name, found[0], found[2], found[1])

    def import_(self, made: Made, given_id: str | None = None) -> Made:
        found = self.plugin.read(Request(type=made.type, name=made.name, id=given_id or made.id))
        assert found is not None
        return Made(made.type, made.name, found[0], found[2], found[1])

    def delete(self, made: Made) -> None:
        self.plugin.delete(Request(type=made.type, name=made.name, id=made.id, old_outputs=made.outputs))


def environment(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "lab",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@dataclass
class Engine:
    """The real CLI on a program in a folder of its own, with a file backend. A command may take `limit` seconds."""

    folder: Path
    env: dict[str, str]
    limit: float = 110

    def run(self, *arguments: str, ok: bool = True, stdin: str = "", **extra: str) -> str:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env={**self.env, **extra},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=self.limit,
            check=False,
        )
        said = done.stdout + done.stderr
        assert (done.returncode == 0) is ok, f"pulumi {' '.join(arguments)} → {done.returncode}\n{said}"
        return said


def engine_in(folder: Path, program: str, extra: dict[str, str]) -> Engine:
    """An engine with one stack named `t` for a Python program. Skips where the tools aren't built."""
    engine = bare_engine(folder, extra)
    (engine.folder / "Pulumi.yaml").write_text("name: plugins\nruntime: python\n")
    (engine.folder / "__main__.py").write_text(program)
    engine.run("stack", "init", "t")
    return engine


def bare_engine(folder: Path, extra: dict[str, str]) -> Engine:
    """An engine with a folder for a program, a home and a backend of its own, all empty. Skips without the tools."""
    try:
        folders = toolchain.tool_dirs()
        toolchain.tool_path("pulumi")
    except toolchain.MissingTool as missing:
        pytest.skip(str(missing))
    work, home, state = (folder / name for name in ("program", "home", "state"))
    for made in (work, home, state):
        made.mkdir()
    install.link(home, VENV)
    path = os.pathsep.join([str(VENV / "bin"), *(str(f) for f in folders), os.environ["PATH"]])
    return Engine(
        work,
        {
            **{k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
            "PULUMI_CONFIG_PASSPHRASE": "test",
            **extra,
            "PATH": path,
            "PULUMI_HOME": str(home),
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_PYTHON_CMD": str(VENV / "bin" / "python"),
        },
    )
