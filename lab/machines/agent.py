"""The SSM agent of a machine: runs the commands sent to it and reports how they went."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import aiohttp

from lab.machines.machine import Machine

log = logging.getLogger(__name__)
DOCUMENT = "AWS-RunShellScript"
WAIT_S = 15
DEFAULT_LIMIT_S = 3600.0


async def serve(machine: Machine, session: aiohttp.ClientSession) -> None:
    """Takes commands for as long as the machine runs; they run side by side, as with the real agent."""
    running: set[asyncio.Task[None]] = set()
    url = f"{machine.place.addresses.aws_url}/_backplane/commands"
    while not machine.stopping:
        try:
            async with session.get(url, params={"instance": machine.id, "wait": str(WAIT_S)}) as answer:
                answer.raise_for_status()
                commands = await answer.json()
        except (aiohttp.ClientError, TimeoutError, OSError):
            await asyncio.sleep(1)
            continue
        for command in commands:
            task = asyncio.create_task(_run(machine, command, session, url))
            running.add(task)
            task.add_done_callback(running.discard)


async def _run(machine: Machine, command: dict[str, Any], session: aiohttp.ClientSession, url: str) -> None:
    if command["document"] != DOCUMENT:
        report = {
            "status": "Failed",
            "code": 1,
            "stdout": "",
            "stderr": f"{command['document']}: the lab's agent knows {DOCUMENT}\n",
        }
    else:
        report = await _script(machine, command)
    report["instance"] = machine.id
    for _ in range(10):
        try:
            async with session.post(f"{url}/{command['id']}", json=report) as answer:
                answer.raise_for_status()
                return
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("%s: command %s not reported: %s", machine.id, command["id"], error)
            await asyncio.sleep(1)


async def _script(machine: Machine, command: dict[str, Any]) -> dict[str, Any]:
    parameters = command.get("parameters") or {}
    limit = float((parameters.get("executionTimeout") or [DEFAULT_LIMIT_S])[0])
    lines = list(parameters.get("commands") or [])
    directory = (parameters.get("workingDirectory") or [""])[0]
    # Output and errors apart, as GetCommandInvocation shows them; the shell itself splits them into two files.
    name = f"ssm-{command['id']}"
    out, err = (machine.folder / "log" / f"{name}.{end}" for end in ("out", "err"))
    out.parent.mkdir(parents=True, exist_ok=True)
    head = ["#!/bin/sh", f"exec 2>'{err}'", *([f"cd '{directory}'"] if directory else [])]
    code = await machine.shell(name, "\n".join([*head, *lines]) + "\n", output=out, limit_s=limit)
    (machine.folder / f"{name}.sh").unlink(missing_ok=True)
    return {
        "status": "Success" if code == 0 else "TimedOut" if code == 124 else "Failed",
        "code": code,
        "stdout": _text(out, machine),
        "stderr": _text(err, machine),
    }


def _text(path: Path, machine: Machine) -> str:
    """What a command wrote, with the machine's paths as the machine has them: nobody out there knows this host's."""
    try:
        return path.read_text(errors="replace").replace(f"{machine.root}/", "/")
    except FileNotFoundError:
        return ""
