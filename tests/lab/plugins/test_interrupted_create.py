"""The real engine, killed in the middle of an operation's create, with the provider the program uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from lab.addresses import REGION
from tests.lab.plugins.driving import engine_in
from tests.lab.plugins.waiting import PROGRAM, now_healthy, running, targets, until, world_of

pytestmark = [pytest.mark.lab, pytest.mark.timeout(200)]


@pytest.fixture
def world(tmp_path: Path, aws_url: str) -> Iterator[tuple[str, dict[str, str], str]]:
    with world_of(aws_url, tmp_path) as found:
        yield found


def test_a_create_whose_engine_was_killed_is_made_again_and_changes_nothing_twice(
    tmp_path: Path, aws_url: str, world: tuple[str, dict[str, str], str]
) -> None:
    _, asked, arn = world
    session: Any = boto3.Session("lab", "lab", region_name=REGION)
    elb = session.client("elbv2", endpoint_url=aws_url)
    engine = engine_in(tmp_path, PROGRAM, asked)
    with running(engine) as first:
        until(lambda: targets(elb, arn), 60, "registered")
        first.kill()
        assert targets(elb, arn) == [("127.30.0.9", "initial")], "registered, and its create is not over"
        assert "locked" in engine.run("up", "--yes", "--skip-preview", ok=False)
        engine.run("cancel", "--yes")
        now_healthy(aws_url, arn)

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
            '~ targets: "master-a, port 6443" => "master-a, port 7443"',
        ]
