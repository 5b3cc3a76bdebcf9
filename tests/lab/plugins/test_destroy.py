"""`pulumi destroy` with the real engine: refused from stage 3 on whatever flags it is given, and nothing is deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from lab.addresses import REGION
from lab.environment import REPOSITORY
from migration.contracts.record import Record
from migration.names import record_parameter
from tests.lab.plugins.cluster import UID, kubeconfig, pair, served
from tests.lab.plugins.driving import Engine, engine_in, environment

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

# Something an up makes, between the record's first and last word, as in the whole program.
PROGRAM = """
import os
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider
from migration.contracts.base import Connection
from migration.contracts.record import StackGuardInputs, StageRecordInputs
from migration.stages.fixed import Fixed, packed
from providers.operations import StackGuard, StageRecord

class Provider(ResourceProvider):
    def create(self, props):
        return CreateResult(id_="made", outs={})

class Made(Resource):
    pass

def word(name, phase, after):
    return StageRecord(name, StageRecordInputs(
        cluster="pet",
        connection=Connection(region="eu-central-1", kubeconfig=os.environ["KUBECONFIG"]),
        timeout_seconds=20,
        phase=phase,
        stage=int(os.environ["STAGE"]),
        from_side="legacy",
        to_side="main",
        owner="plugins/t",
        fixed=packed(Fixed(stage=0, values={})),
        command="pulumi up -s stage-{stage}",
    ), pulumi.ResourceOptions(depends_on=after))

begin = word("begin", "begin", [])
StackGuard("guard", StackGuardInputs(
    cluster="pet",
    connection=Connection(region="eu-central-1", kubeconfig=os.environ["KUBECONFIG"]),
    timeout_seconds=20,
    to_side="main",
    command="pulumi up -s stage-{stage}",
), pulumi.ResourceOptions(depends_on=[begin]))
# Layers that depend on all of the one before, as stages do: the engine would follow 4 ** 16 paths.
layer = [begin]
for depth in range(16):
    layer = [Made(Provider(), f"made-{depth}-{n}", {}, pulumi.ResourceOptions(depends_on=layer)) for n in range(4)]
word("reached", "finish", [begin, *layer])
"""

BEGIN = "urn:pulumi:t::plugins::pulumi-python:dynamic/migration:StageRecord::begin"
REACHED = "urn:pulumi:t::plugins::pulumi-python:dynamic/migration:StageRecord::reached"
REFUSED = [
    (),
    ("--exclude-protected",),
    ("--refresh",),
    ("--target", BEGIN, "--target-dependents"),
    ("--exclude", REACHED),
]


@pytest.fixture
def ssm(aws_url: str) -> Any:
    session: Any = boto3.Session("lab", "lab", region_name=REGION)
    return session.client("ssm", endpoint_url=aws_url)


@pytest.fixture
def engine(tmp_path: Path, aws_url: str) -> Iterator[Engine]:
    with served() as url:
        access = tmp_path / "kubeconfig"
        access.write_text(kubeconfig(url, *pair()))
        extra = {**environment(aws_url), "KUBECONFIG": str(access), "STAGE": "2", "PYTHONPATH": str(REPOSITORY)}
        yield engine_in(tmp_path, PROGRAM, extra)


def record(ssm: Any, reached: int, tried: int) -> None:
    ours = json.loads(ssm.get_parameter(Name=record_parameter("pet"))["Parameter"]["Value"])
    found = Record.model_validate({**ours, "reached": reached, "tried": tried})
    assert found.cluster_uid == UID
    ssm.put_parameter(
        Name=record_parameter("pet"), Value=found.model_dump_json(by_alias=True), Type="String", Overwrite=True
    )


def held(engine: Engine) -> set[str]:
    deployment = json.loads(engine.run("stack", "export"))["deployment"]
    names = {r["urn"].rpartition("::")[2] for r in deployment.get("resources", ())}
    return {name for name in names if name in ("begin", "guard", "reached") or name.startswith("made-")}


def test_destroy_is_refused_while_the_new_side_carries_something_and_harmless_before(engine: Engine, ssm: Any) -> None:
    engine.run("up", "--yes", "--skip-preview")
    made = held(engine)
    assert len(made) == 67
    # A stage 3 was begun and did not end: its machines exist, and the state knows nothing of it.
    record(ssm, 2, 3)
    for flags in REFUSED:
        said = engine.run("destroy", "--yes", "--skip-preview", *flags, ok=False)
        assert "nothing was deleted: at stage 3 (workers) side main may carry pods" in said, flags
        assert "next: pulumi up -s stage-2." in said, flags
        assert held(engine) == made, flags
    # Without what depends on it nothing can go.
    assert "--target-dependents" in engine.run("destroy", "--yes", "--skip-preview", "--target", BEGIN, ok=False)
    record(ssm, 2, 2)
    engine.run("destroy", "--yes", "--skip-preview")
    assert held(engine) == set()
