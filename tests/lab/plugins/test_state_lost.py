"""A stack whose state is gone: built anew from what exists, and the next up changes nothing. The whole program."""

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


@pytest.fixture
def stack(tmp_path: Path, aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Whole]:
    with served() as cluster:
        yield whole(tmp_path, aws_url, cluster, monkeypatch)


def resources(stack: Whole) -> dict[str, dict[str, Any]]:
    deployment = json.loads(stack.run("stack", "export"))["deployment"]
    return {one["urn"]: one for one in deployment.get("resources", ())}


def record(stack: Whole) -> dict[str, Any]:
    ssm: Any = boto3.client("ssm", region_name=REGION, endpoint_url=stack.url)
    return json.loads(ssm.get_parameter(Name=record_parameter("pet"))["Parameter"]["Value"])


def test_first(stack: Whole) -> None:
    print(stack.up(0))
    print(stack.up(1))
    print(stack.up(2))
    stack.lose_state()
    print(stack.recover("--state-lost"))
