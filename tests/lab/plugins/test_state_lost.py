"""A stack whose state is gone: built anew from what exists, and the next up changes nothing. The whole program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.plugins.cluster import served
from tests.lab.plugins.losing import client, rebuilt, record, resources, unchanged_by_refresh
from tests.lab.plugins.whole import Whole, whole

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture
def stack(tmp_path: Path, aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Whole]:
    with served() as cluster:
        yield whole(tmp_path, aws_url, cluster, monkeypatch)


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
    assert resources(stack) == {}
    ec2.delete_vpc(VpcId=second)
    said = stack.recover("--state-lost", ok=False)
    assert "VpcEndpoint main-s3 (aws:ec2/vpcEndpoint:VpcEndpoint) isn't there" in said
    assert record(stack) == was
