"""The lab's own stack: what discovery writes about the legacy cluster, unedited, and its first state."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import boto3

from lab import processes, up
from lab.addresses import LabAddresses, from_environment
from lab.environment import REPOSITORY, child_environment, make_folders
from lab.layouts import MASTER, Layout
from lab.legacy.balancing import legal
from lab.settings import LabSettings
from lab.shapes import PET
from lab.timings import QUICK
from rehearsal.rights import as_operator

Say = Callable[[str], None]
FIRST = "stage-0"

# What the lab's clouds do in seconds stands for what AWS does in minutes, unless they take as long as AWS.
LIMITS = {
    "quietPeriods": 1,
    "gateSeconds": 180,
    "swapSeconds": 240,
    "deregistrationSeconds": 5,
    "healthIntervalSeconds": 5,
}
TTL_S = 2
CUSTOM_FILE = "rehearsal/custom.sh"
# By layout: what only the operator knows of it.
TOLD = {"custom": ("--layout", "custom", "--user-data-file", CUSTOM_FILE)}
# Clients that keep a connection never ask for its name again: they stay until their server goes.
ACCEPTED = {
    "ingress": "60:probes that keep connections, which end with the ingress pods",
    "api": "600:kubelets, controllers and probes that keep connections, which end with the API servers",
}


class StackError(Exception):
    """The stack can't be prepared; the message is what the failing command said."""


def discovery(addresses: LabAddresses, settings: LabSettings, more: Sequence[str] = ()) -> list[str]:
    """The command an operator would type for this lab, as words after `python`; `more` are options of theirs."""
    vpcs = boto3.client("ec2").describe_vpcs(Filters=[{"Name": "cidr", "Values": [addresses.legacy_cidr]}])["Vpcs"]
    if not vpcs:
        raise StackError(f"the lab's AWS has no VPC {addresses.legacy_cidr}: python -m lab up")
    command = ["-m", "migration", "discover", "--cluster", settings.cluster, "--vpc", vpcs[0].get("VpcId", "")]
    command += ["--from", "legacy", "--to", "main", "--to-cidr", addresses.main_cidr, "--stack", FIRST]
    command += ["--operator-network", addresses.corp_cidr]
    # Somebody's database lets the old VPC in by its range.
    command += ["--references", "apply"]
    if settings.control_plane.etcd_role != MASTER:
        # Units that an image brings stand in no user data: the machines are asked what they are told.
        command += ["--ask-machines"]
    for role, flows in ACCEPTED.items():
        command += ["--accept-flows", f"{role}={flows}"]
    command += paced(settings)
    command += told_of_shape(settings)
    if settings.layout in TOLD:
        command += TOLD[settings.layout]
    return [*command, *more]


def paced(settings: LabSettings) -> list[str]:
    """Options that fit the program to a quick lab; none where it takes as long as AWS: then its defaults are tried."""
    if settings.timing != QUICK:
        return []
    periods = {"metricPeriodSeconds": int(settings.metric_period_s), "aliasTtlSeconds": settings.alias_ttl_s}
    limits = (("--limit", f"{key}={value}") for key, value in {**LIMITS, **periods}.items())
    return ["--ttl", str(TTL_S), *(word for pair in limits for word in pair)]


def told_of_shape(settings: LabSettings) -> list[str]:
    """What only an operator knows of an account with several ways in: which balancer and Service come first."""
    if settings.shape == PET:
        return []
    return [
        *("--ingress-balancer", legal(f"ingress-{settings.cluster}")),
        *("--ingress-service", settings.ingress_service),
    ]


def by_hand(settings: LabSettings) -> dict[str, str]:
    """What an operator adds to what discovery wrote: keys of `migration:` that nothing in AWS says."""
    keys = settings.control_plane.keys
    # Nothing of the cluster uses the database beside it, and the lab's AWS writes no flow logs that would show it.
    # In most shapes its workers are Nodes and nothing else: nobody is on them who could try a connection.
    said = {"keptFlows": "accept", "tryFromMachines": "ssm" if settings.attended_workers else "skip"}
    return said if keys == Layout.keys else {**said, "controlPlane.pki.prefix": f"/{settings.cluster}/{keys}"}


NEXT = """
type next:
  eval "$(python3 -m lab env)"
  kubectl get nodes                     # or any other client of $KUBECONFIG
  pulumi preview -s stage-0 --diff      # the stack's configuration is in stacks/, as discovery wrote it
  pulumi up -s stage-0
  pulumi stack rename stage-1 && pulumi up -s stage-1
  make rehearse                         # the whole migration, on a lab of its own making
  make lab-down"""


def lab_with_stack(say: Say, program: Path = REPOSITORY, more: Sequence[str] = ()) -> int:
    """Bring up the lab and its stack, doing what isn't done yet; an exit status. Raises `StackError`.

    The stack's configuration is written into `program`, where the Pulumi program lies; `more` is said to discovery.
    """
    status = up.up(say)
    if status:
        return status
    directory = make_folders()  # a world that was forgotten took its stacks along
    environment = child_environment()
    # boto3 asks this process's environment where AWS is.
    os.environ.update(environment)
    prepare(program, environment, from_environment(), LabSettings.load(directory), say, more)
    say(NEXT)
    return 0


def standing_at(program: Path = REPOSITORY) -> int | None:
    """The stage that the running lab's stack stands at by its name; None where no lab runs, or it has no stack.

    Raises `StackError`.
    """
    directory, addresses = make_folders(), from_environment()
    running = all(
        processes.find(directory, one.name) is not None and up.is_ready(one, addresses, directory)
        for one in up.SERVICES
    )
    if not running:
        return None
    stages = [re.fullmatch(r"stage-(\d+)", name) for name in _stacks(program, child_environment())]
    return int(stages[0][1]) if len(stages) == 1 and stages[0] else None


def prepare(
    program: Path,
    environment: Mapping[str, str],
    addresses: LabAddresses,
    settings: LabSettings,
    say: Say,
    more: Sequence[str] = (),
) -> None:
    """Discover the cluster and make the stack `stage-0`, unless the lab has a stack by now.

    Raises `StackError`.
    """
    if _stacks(program, environment):
        return
    # Of a lab that is gone: stacks are renamed from stage to stage, so there may be any one.
    for stale in (program / "stacks").glob("Pulumi.stage-*.yaml"):
        stale.unlink()
    discover(program, environment, addresses, settings, say, more)
    _run(["pulumi", "stack", "init", FIRST, "--non-interactive"], program, environment)
    configure(program, environment, by_hand(settings))


def discover(
    program: Path,
    environment: Mapping[str, str],
    addresses: LabAddresses,
    settings: LabSettings,
    say: Say,
    more: Sequence[str] = (),
) -> None:
    """The first stack's configuration, written by discovery. Raises `StackError`."""
    command = [sys.executable, *discovery(addresses, settings, more)]
    for line in _run(command, program, as_operator(environment, settings)).splitlines():
        say(line)


def configure(program: Path, environment: Mapping[str, str], keys: Mapping[str, str]) -> None:
    """Set keys of `migration:` in the first stack's configuration, by their paths. Raises `StackError`."""
    for key, value in keys.items():
        _run(["pulumi", "config", "set", "--path", f"migration:{key}", value, "-s", FIRST], program, environment)


def _stacks(program: Path, environment: Mapping[str, str]) -> list[str]:
    """The names of the lab's stacks."""
    told = _run(["pulumi", "stack", "ls", "--json", "--non-interactive"], program, environment)
    return [stack["name"] for stack in json.loads(told.strip() or "[]")]


def _run(command: list[str], program: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, cwd=program, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"{' '.join(command[:4])} … failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
