"""The real engine, killed in the middle of a create: `recover`, and the next `up` makes no second object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from lab.addresses import REGION
from lab.environment import REPOSITORY
from migration.recover.leftovers import orphaned
from tests.lab.plugins.driving import Engine, engine_in, environment
from tests.lab.plugins.holding import Holding, holding
from tests.lab.plugins.waiting import PROGRAM as WAITING
from tests.lab.plugins.waiting import now_healthy, running, targets, until, words, world_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(200)]

PROGRAM = """
import pulumi, pulumi_aws as aws

class Side(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("migration:network:Side", name)
        def tags(role):
            return {"Name": role, "migration:cluster": "pet", "migration:side": "main", "migration:role": role}
        inside = pulumi.ResourceOptions(parent=self)
        vpc = aws.ec2.Vpc("main-vpc", cidr_block="127.30.0.0/16", enable_dns_support=True,
                          enable_dns_hostnames=True, tags=tags("vpc"), opts=inside)
        aws.ec2.Subnet("main-a", vpc_id=vpc.id, cidr_block="127.30.1.0/24", availability_zone="eu-central-1a",
                       tags=tags("private-a"), opts=inside)
        group = aws.ec2.SecurityGroup("nodes", name="nodes", description="nodes", vpc_id=vpc.id, tags=tags("nodes"),
                                      opts=inside)
        aws.ec2.LaunchTemplate("template", name="pet-main", instance_type="m5.large", tags=tags("node"),
                               user_data=pulumi.Output.secret("Y2FuYXJ5"), vpc_security_group_ids=[group.id],
                               opts=inside)

Side("main")
"""
PENDING = "pending operations from previous deployment"


def recover(engine: Engine, *more: str, ok: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "migration", "recover", *more],
        cwd=engine.folder,
        env=engine.env,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == (0 if ok else 2), said
    assert "Traceback" not in said
    return said


@pytest.fixture
def door(aws_url: str) -> Iterator[Holding]:
    with holding(aws_url) as found:
        yield found


@pytest.fixture
def engine(tmp_path: Path, door: Holding) -> Iterator[Engine]:
    made = engine_in(tmp_path, PROGRAM, {**environment(door.url), "PYTHONPATH": str(REPOSITORY)})
    yield made
    for left in orphaned(made.folder):
        left.kill()


@pytest.fixture
def ec2(aws_url: str) -> Any:
    return boto3.Session("lab", "lab", region_name=REGION).client("ec2", endpoint_url=aws_url)


def killed_at(engine: Engine, door: Holding, what: str, *, plugins: bool = False) -> None:
    """SIGKILL of the engine, and of its plugins too where asked, while AWS has done `what` and hasn't answered."""
    door.what = what
    with running(engine) as first:
        assert door.came.wait(60)
        first.kill()
        if plugins:
            for one in first.seen:
                one.kill()
        door.what = "\0"
        door.let_go.set()
        first.seen.clear()  # what is left is recover's to wait for


def exported(engine: Engine) -> dict[str, Any]:
    return json.loads(engine.run("stack", "export"))["deployment"]


def vpcs(ec2: Any) -> list[str]:
    return [one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"] if one["CidrBlock"] == "127.30.0.0/16"]


def test_a_vpc_that_was_made_is_taken_over_and_the_next_up_makes_no_second(
    engine: Engine, door: Holding, ec2: Any, tmp_path: Path
) -> None:
    killed_at(engine, door, "Action=CreateVpc")
    [made] = vpcs(ec2)
    before = exported(engine)
    assert [one["type"] for one in before["pending_operations"]] == ["creating"]
    assert "locked" in engine.run("up", "--yes", "--skip-preview", ok=False)
    # Killed some microseconds later or earlier, while it wrote beside its checkpoint, it would have left this.
    stacks = Path(engine.env["PULUMI_BACKEND_URL"].removeprefix("file://")) / ".pulumi" / "stacks"
    [attributes] = stacks.rglob("*.json.attrs")
    attributes.write_bytes(b"")
    assert "failed to load checkpoint: EOF" in engine.run("stack", "export", ok=False)
    assert "name the stack: --stack NAME" in recover(engine, ok=False)

    said = recover(engine, "--stack", "t")
    assert f"{attributes}: the engine was killed as it wrote it" in said
    assert "which is gone: freed" in said
    assert f"Vpc main-vpc: was made: {made}, taken into the state" in said
    [backup] = (tmp_path / "program" / ".recover").iterdir()
    assert str(backup) in said
    assert json.loads(backup.read_text())["deployment"] == before
    assert backup.stat().st_mode & 0o777 == 0o600
    after = exported(engine)
    assert not after.get("pending_operations")
    assert [one["id"] for one in after["resources"] if one["type"].endswith(":Vpc")] == [made]

    assert "there is nothing to do" in recover(engine)
    said = engine.run("up", "--yes", "--skip-preview")
    assert PENDING not in said
    assert "+ 3 created" in said, "all but the VPC"
    assert vpcs(ec2) == [made]
    assert "6 unchanged" in engine.run("preview", "--expect-no-changes")


def test_recover_itself_may_be_killed_with_the_import_that_it_started(engine: Engine, door: Holding, ec2: Any) -> None:
    killed_at(engine, door, "Action=CreateVpc")
    [made] = vpcs(ec2)
    until(lambda: not [one for one in orphaned(engine.folder) if "lab.plugins.aws" in words(one)], 40, "it ended")
    door.came.clear()
    door.let_go.clear()
    door.what = "Action=DescribeVpcAttribute"  # only plugins ask for that: the import's
    first = subprocess.Popen([sys.executable, "-m", "migration", "recover"], cwd=engine.folder, env=engine.env)
    assert door.came.wait(60)
    [importing] = psutil.Process(first.pid).children()
    first.kill()
    first.wait()
    importing.kill()
    until(lambda: not importing.is_running(), 10, "the import is gone")
    door.what = "\0"
    door.let_go.set()
    assert f"Vpc main-vpc: was made: {made}, taken into the state" in recover(engine)
    assert "+ 3 created" in engine.run("up", "--yes", "--skip-preview")
    assert vpcs(ec2) == [made]


def test_a_launch_template_that_was_made_is_made_again_so_that_its_user_data_stays_a_secret(
    engine: Engine, door: Holding, ec2: Any, tmp_path: Path
) -> None:
    killed_at(engine, door, "Action=CreateLaunchTemplate&")
    assert "LaunchTemplate template: was made: lt-" in recover(engine)
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []
    said = engine.run("up", "--yes", "--skip-preview")
    assert PENDING not in said and "+ 1 created" in said
    assert len(ec2.describe_launch_templates()["LaunchTemplates"]) == 1
    state = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert b"Y2FuYXJ5" not in state, "nor in any state of its history"


def test_what_was_not_made_is_made_by_the_next_up(engine: Engine, door: Holding, ec2: Any) -> None:
    door.never = True
    killed_at(engine, door, "Action=CreateVpc", plugins=True)
    assert vpcs(ec2) == []
    assert "Vpc main-vpc: wasn't made; the next up makes it" in recover(engine)
    said = engine.run("up", "--yes", "--skip-preview")
    assert PENDING not in said and "+ 4 created" in said
    assert len(vpcs(ec2)) == 1


def test_two_of_one_are_named_and_nothing_is_changed_until_somebody_has_looked(
    engine: Engine, door: Holding, ec2: Any
) -> None:
    killed_at(engine, door, "Action=CreateVpc")
    tags = [{"Key": f"migration:{key}", "Value": value} for key, value in
            {"cluster": "pet", "side": "main", "role": "vpc"}.items()]  # fmt: skip
    second = ec2.create_vpc(CidrBlock="127.30.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}])[
        "Vpc"
    ]["VpcId"]
    before = exported(engine)
    said = recover(engine, ok=False)
    assert f"aws ec2 delete-vpc --vpc-id {second}" in said
    assert exported(engine) == before
    assert "locked" in engine.run("up", "--yes", "--skip-preview", ok=False), "nobody begins meanwhile"
    ec2.delete_vpc(VpcId=second)
    assert "taken into the state" in recover(engine)


def test_whoever_lives_keeps_the_lock(engine: Engine, door: Holding) -> None:
    door.what = "Action=CreateVpc"
    with running(engine) as first:
        assert door.came.wait(60)
        said = recover(engine, ok=False)
        assert f"locked by process {first.process.pid} of " in said
        assert "that process runs: wait for it" in said
        door.let_go.set()
        assert first.process.wait(60) == 0, "it wasn't disturbed"
    assert "there is nothing to do" in recover(engine)


def test_an_operation_is_simply_made_again(tmp_path: Path, aws_url: str) -> None:
    session: Any = boto3.Session("lab", "lab", region_name=REGION)
    elb = session.client("elbv2", endpoint_url=aws_url)
    with world_of(aws_url, tmp_path) as (_, asked, arn):
        engine = engine_in(tmp_path, WAITING, asked)
        with running(engine) as first:
            until(lambda: targets(elb, arn), 60, "it waits")
            first.kill()
            # The dynamic provider's host still works: it is waited for, and ends by itself.
            said = recover(engine)
        assert "waiting for what the dead engine left at work: pulumi-resource-pulumi-python" in said
        assert "ApiTargets api-targets: is made again: an operation looks first" in said
        now_healthy(aws_url, arn)
        said = engine.run("up", "--yes", "--skip-preview")
        assert PENDING not in said and "+ 1 created" in said
        assert targets(elb, arn) == [("127.30.0.9", "healthy")]


def test_a_command_that_fails_is_one_sentence(engine: Engine) -> None:
    said = recover(Engine(engine.folder, {**engine.env, "PULUMI_BACKEND_URL": f"file://{os.devnull}/x"}), ok=False)
    assert said.startswith("recover: pulumi ")
