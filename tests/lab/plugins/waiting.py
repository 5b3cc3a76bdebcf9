"""A program with an operation that waits for targets to become healthy, an engine running it, and both's processes."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil

from lab.addresses import REGION
from lab.environment import REPOSITORY
from tests.lab.plugins.cluster import kubeconfig, pair, recorded, served
from tests.lab.plugins.driving import Engine, environment

PROGRAM = """
import os
from migration.contracts.base import Connection
from migration.contracts.members import OldMember
from migration.contracts.traffic import ApiTargetsInputs
from providers.operations import ApiTargets

ApiTargets("api-targets", ApiTargetsInputs(
    cluster="pet",
    connection=Connection(region="eu-central-1", kubeconfig=os.environ["KUBECONFIG"]),
    timeout_seconds=int(os.environ["SECONDS_EACH"]),
    target_group=os.environ["TARGET_GROUP"],
    port=int(os.environ["PORT"]),
    members=(OldMember(name="master-a", group="master-a.pet", address="127.30.0.9"),),
))
"""
UP = ("up", "--yes", "--skip-preview", "--non-interactive")


def target_group(elb: Any, ec2: Any) -> str:
    vpc = ec2.create_vpc(CidrBlock="127.30.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="127.30.0.0/24")["Subnet"]["SubnetId"]
    group = elb.create_target_group(Name="api", TargetType="ip", Protocol="TCP", Port=6443, VpcId=vpc)
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    balancer = elb.create_load_balancer(Name="api", Type="network", Scheme="internal", Subnets=[subnet])
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancers"][0]["LoadBalancerArn"],
        Protocol="TCP",
        Port=6443,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
    )
    return arn


@contextmanager
def world_of(aws_url: str, folder: Path) -> Iterator[tuple[str, dict[str, str], str]]:
    """The cluster's API, the environment of a program that works on it, and a target group; its record is there."""
    session: Any = boto3.Session("lab", "lab", region_name=REGION)
    ec2, elb, ssm = (session.client(name, endpoint_url=aws_url) for name in ("ec2", "elbv2", "ssm"))
    recorded(ssm)
    arn = target_group(elb, ec2)
    with served() as url:
        access = folder / "kubeconfig"
        access.write_text(kubeconfig(url, *pair()))
        asked = {"TARGET_GROUP": arn, "SECONDS_EACH": "90", "PORT": "6443", "KUBECONFIG": str(access)}
        yield url, {**environment(aws_url), **asked, "PYTHONPATH": str(REPOSITORY)}, arn


def targets(elb: Any, arn: str) -> list[tuple[str, str]]:
    found = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return [(item["Target"]["Id"], item["TargetHealth"]["State"]) for item in found]


def now_healthy(aws_url: str, arn: str) -> None:
    """The lab's network process would say so once something answered there."""
    healthy = {arn: {"127.30.0.9:6443": {"state": "healthy"}}}
    report = urllib.request.Request(
        f"{aws_url}/_backplane/target-health", data=json.dumps(healthy).encode(), method="POST"
    )
    urllib.request.urlopen(report, timeout=10).close()


@dataclass
class Running:
    """A `pulumi up`, and every process that it was seen to have."""

    process: subprocess.Popen[bytes]
    seen: set[psutil.Process] = field(default_factory=set)

    def children(self) -> list[psutil.Process]:
        now = psutil.Process(self.process.pid).children(recursive=True)
        self.seen.update(now)
        return now

    def host(self) -> tuple[psutil.Process, psutil.Process]:
        """The launcher of the dynamic provider's host, and the host."""
        [found] = [one for one in self.children() if "pulumi.dynamic" in words(one)]
        launcher = found.parent()
        assert launcher is not None and "pulumi-resource-pulumi-python" in " ".join(words(launcher))
        return launcher, found

    def kill(self) -> None:
        """SIGKILL, of the engine alone."""
        self.children()
        self.process.kill()
        self.process.wait()


@contextmanager
def running(engine: Engine, *arguments: str, **extra: str) -> Iterator[Running]:
    """`pulumi up` in the background. Whatever it leaves behind is ended after the block."""
    process = subprocess.Popen(
        ["pulumi", *(arguments or UP)],
        cwd=engine.folder,
        env={**engine.env, **extra},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    found = Running(process)
    try:
        yield found
    finally:
        with suppress(psutil.NoSuchProcess):
            found.children()
        for one in (process, *found.seen):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


def words(process: psutil.Process) -> list[str]:
    """Its command line; of one that ends while it is looked at, none."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def gone(process: psutil.Process) -> bool:
    """Whether it has ended, collected or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def until(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Wait until `condition` holds; returns how long it took, in seconds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - began
