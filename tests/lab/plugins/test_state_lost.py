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
from tests.lab.plugins.leaks import leaks
from tests.lab.plugins.whole import Whole, whole

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

# The lab's plugin finds these by their subnet and gives what it imports an id of its own.
NAMELESS = "aws:ec2/routeTableAssociation:RouteTableAssociation"
# What the engine gives its own objects anew.
OWN = ("pulumi:pulumi:Stack", "pulumi:providers:")


@pytest.fixture
def stack(tmp_path: Path, aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Whole]:
    with served() as cluster:
        yield whole(tmp_path, aws_url, cluster, monkeypatch)


def resources(stack: Whole) -> dict[str, dict[str, Any]]:
    deployment = json.loads(stack.run("stack", "export"))["deployment"]
    return {one["urn"]: one for one in deployment.get("resources", ())}


def ids(held: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Each resource's object; components have none."""
    return {urn: one.get("id", "") for urn, one in held.items() if not one["type"].startswith((*OWN, NAMELESS))}


def client(stack: Whole, service: str) -> Any:
    session: Any = boto3.Session(region_name=REGION)
    return session.client(service, endpoint_url=stack.url)


def record(stack: Whole) -> dict[str, Any]:
    return json.loads(client(stack, "ssm").get_parameter(Name=record_parameter("pet"))["Parameter"]["Value"])


def unchanged_by_refresh(stack: Whole) -> None:
    """What a refresh reads is what the state has, and an up has nothing to do after it."""
    before = resources(stack)
    stack.run("refresh", "--yes", "--skip-preview")
    after = resources(stack)
    assert ids(after) == ids(before)
    for urn, one in after.items():
        for part in ("inputs", "outputs"):
            assert one.get(part, {}).keys() == before[urn].get(part, {}).keys(), urn
    stack.run("preview", "--expect-no-changes")


def rebuilt(stack: Whole) -> None:
    """The state goes, and comes back by `recover`, which looks for itself whether an up had anything to do."""
    before, was = resources(stack), record(stack)
    stack.lose_state()
    refused = stack.run("up", "--yes", "--skip-preview", ok=False)
    assert "python -m migration recover --state-lost" in refused
    said = stack.recover("--state-lost")
    assert "nothing differs; next: pulumi up" in said
    after, now = resources(stack), record(stack)
    assert ids(after) == ids(before)
    assert {urn: one.get("parent") for urn, one in after.items()} == {
        urn: one.get("parent") for urn, one in before.items()
    }
    assert now["stack"].startswith("recovered-")
    assert {**now, "stack": was["stack"]} == was
    kept = {urn: json.dumps(one).encode() for urn, one in after.items()}
    assert leaks(kept, {"user data": "EnvironmentFile=/etc/kubernetes/kubelet.env"}) == []


def test_a_refresh_changes_nothing_and_a_lost_state_is_built_anew(stack: Whole) -> None:
    stack.up(2)
    unchanged_by_refresh(stack)
    stack.up(3)
    # Whose state isn't lost isn't touched.
    said = stack.recover("--state-lost", ok=False)
    assert "has a state of" in said and "so it isn't lost" in said
    rebuilt(stack)
    unchanged_by_refresh(stack)
    # Safe twice.
    assert "so it isn't lost" in stack.recover("--state-lost", ok=False)
    stack.up(4)
    missing_and_twice(stack)


def missing_and_twice(stack: Whole) -> None:
    """All that isn't found, and all that is there twice, is named, and nothing is written."""
    ec2 = client(stack, "ec2")
    held, was = resources(stack), record(stack)
    [endpoint] = [one["id"] for one in held.values() if one["type"] == "aws:ec2/vpcEndpoint:VpcEndpoint"]
    second = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    tags = [
        {"Key": key, "Value": value}
        for key, value in {"migration:cluster": "pet", "migration:side": "main", "migration:role": "vpc"}.items()
    ]
    ec2.create_tags(Resources=[second], Tags=tags)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    stack.lose_state()
    said = stack.recover("--state-lost", ok=False)
    assert "Vpc main-vpc (aws:ec2/vpc:Vpc) is there 2 times" in said and second in said
    assert "not everything was found, as said above; nothing was written" in said
    assert resources(stack).keys() <= {next(iter(resources(stack)), "")}
    ec2.delete_vpc(VpcId=second)
    said = stack.recover("--state-lost", ok=False)
    assert "VpcEndpoint main-s3 (aws:ec2/vpcEndpoint:VpcEndpoint) isn't there" in said
    assert record(stack) == was


def test_every_stage(stack: Whole) -> None:
    for stage in (2, 3, 4, 5, 6, 7, 8):
        stack.up(stage)
        if stage >= 6:
            unchanged_by_refresh(stack)
        if stage in (6, 7, 8):
            rebuilt(stack)
            print("REBUILT", stage, flush=True)
