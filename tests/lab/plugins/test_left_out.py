"""`pulumi up --target` and `--exclude` with the whole program: what comes first can't be left out of a stage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from lab.addresses import REGION
from migration.names import record_parameter
from tests.lab.plugins.cluster import served
from tests.lab.plugins.whole import Whole, whole

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

BEGIN, GATE, AFTER = "**StageRecord::begin", "**Gate::gate-before", "**Gate::gate-after"
LEFT_OUT = [
    ("begin", ("--target", "**Vpc::main-vpc")),
    ("begin", ("--target", GATE, "--target", "**Vpc::main-vpc")),
    ("begin", ("--exclude", BEGIN)),
    ("gate-before", ("--target", BEGIN, "--target", "**Vpc::main-vpc")),
    ("gate-before", ("--exclude", GATE)),
]


@pytest.fixture
def stack(tmp_path: Path, aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Whole]:
    with served() as cluster:
        yield whole(tmp_path, aws_url, cluster, monkeypatch)


def record(stack: Whole) -> tuple[int, int]:
    ssm: Any = boto3.Session(region_name=REGION).client("ssm", endpoint_url=stack.url)
    found = json.loads(ssm.get_parameter(Name=record_parameter("pet"))["Parameter"]["Value"])
    return found["reached"], found["tried"]


def made(stack: Whole) -> bool:
    ec2: Any = boto3.Session(region_name=REGION).client("ec2", endpoint_url=stack.url)
    return bool(ec2.describe_vpcs(Filters=[{"Name": "tag:migration:side", "Values": ["main"]}])["Vpcs"])


def test_nothing_of_a_stage_is_done_without_its_begin_and_its_gates(stack: Whole) -> None:
    stack.up(0)
    # Once a stage is reached, less than all of it may be asked for.
    stack.run("up", "--yes", "--skip-preview", "--target", "**ConfigMap::status")
    stack.rename(1)
    for name, flags in LEFT_OUT:
        said = stack.run("up", "--yes", "--skip-preview", *flags, ok=False)
        assert f"{name} of stage 1 was left out of this up" in said, (flags, said)
        assert "run the whole up, without --target and --exclude" in said, flags
        assert "Traceback" not in said, flags
        assert not made(stack), flags
    said = stack.run("up", "--yes", "--skip-preview", "--exclude", AFTER, ok=False)
    assert "gate-after of stage 1 was left out of this up" in said
    assert record(stack) == (0, 1), "all of it is done and not reached"
    stack.up(1)
    assert record(stack) == (1, 1)
