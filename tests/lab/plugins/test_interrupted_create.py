"""The real engine, killed in the middle of an operation's create, with the provider the program uses."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from lab.addresses import REGION
from lab.environment import REPOSITORY
from tests.lab.plugins.cluster import kubeconfig, pair, recorded, served
from tests.lab.plugins.driving import engine_in, environment

pytestmark = [pytest.mark.lab, pytest.mark.timeout(200)]

PROGRAM = """
import os
from migration.contracts.base import Connection
from migration.contracts.traffic import ApiTargetsInputs, MemberAddress
from providers.operations import ApiTargets

ApiTargets("api-targets", ApiTargetsInputs(
    cluster="pet",
    connection=Connection(region="eu-central-1", kubeconfig=os.environ["KUBECONFIG"]),
    timeout_seconds=int(os.environ["SECONDS_EACH"]),
    target_group=os.environ["TARGET_GROUP"],
    port=int(os.environ["PORT"]),
    members=(MemberAddress(name="master-a", address="127.30.0.9"),),
))
"""


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


def targets(elb: Any, arn: str) -> list[tuple[str, str]]:
    found = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return [(item["Target"]["Id"], item["TargetHealth"]["State"]) for item in found]


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Path]:
    with served() as url:
        path = tmp_path / "kubeconfig"
        path.write_text(kubeconfig(url, *pair()))
        yield path


def test_a_create_whose_engine_was_killed_is_made_again_and_changes_nothing_twice(
    tmp_path: Path, aws_url: str, access: Path
) -> None:
    session: Any = boto3.Session("lab", "lab", region_name=REGION)
    ec2, elb, ssm = (session.client(name, endpoint_url=aws_url) for name in ("ec2", "elbv2", "ssm"))
    recorded(ssm)
    arn = target_group(elb, ec2)
    asked = {"TARGET_GROUP": arn, "SECONDS_EACH": "90", "PORT": "6443", "KUBECONFIG": str(access)}
    engine = engine_in(tmp_path, PROGRAM, {**environment(aws_url), **asked, "PYTHONPATH": str(REPOSITORY)})
    first = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"],
        cwd=engine.folder,
        env=engine.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not targets(elb, arn):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    orphans = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGKILL)
    first.wait()
    try:
        assert targets(elb, arn) == [("127.30.0.9", "initial")], "registered, and its create is not over"
        assert "locked" in engine.run("up", "--yes", "--skip-preview", ok=False)
        engine.run("cancel", "--yes")
        healthy = {arn: {"127.30.0.9:6443": {"state": "healthy"}}}
        report = urllib.request.Request(
            f"{aws_url}/_backplane/target-health", data=json.dumps(healthy).encode(), method="POST"
        )
        urllib.request.urlopen(report, timeout=10).close()

        assert "+ 1 created" in engine.run("up", "--yes", "--skip-preview")
        assert targets(elb, arn) == [("127.30.0.9", "healthy")]
        # The engine keeps the note of a create it never saw end, and warns of it, until it is told to forget.
        engine.run("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
        deployment = json.loads(engine.run("stack", "export"))["deployment"]
        assert not deployment.get("pending_operations")
        assert [r["id"] for r in deployment["resources"] if r["type"].endswith(":ApiTargets")] == ["api_targets/pet"]
        assert "2 unchanged" in engine.run("preview", "--expect-no-changes")
        # How long it may take is no reason to run it; where targets listen is, and a line says so in words.
        assert "2 unchanged" in engine.run("preview", "--expect-no-changes", SECONDS_EACH="30")
        told = engine.run("preview", "--diff", PORT="7443")
        shown = told[told.index("ApiTargets: (update)") : told.index("Resources:")].splitlines()[1:]
        assert [" ".join(line.split()) for line in shown] == [
            "[id=api_targets/pet]",
            "[urn=urn:pulumi:t::plugins::pulumi-python:dynamic/migration:ApiTargets::api-targets]",
            "~ inputs (hidden)",
            '~ targets: "master-a 127.30.0.9:6443" => "master-a 127.30.0.9:7443"',
        ]
    finally:
        for orphan in orphans:
            if orphan.is_running():
                orphan.kill()
