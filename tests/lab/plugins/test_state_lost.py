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
    refused(stack)


def refused(stack: Whole) -> None:
    """What differs, what is there twice and what isn't there are named, and nothing is written."""
    ec2 = client(stack, "ec2")
    held, was = resources(stack), record(stack)

    def one(kind: str) -> str:
        return next(one["id"] for one in held.values() if one["type"] == kind)

    def fails() -> str:
        said = stack.recover("--state-lost", ok=False)
        assert "nothing was written" in said
        assert resources(stack) == {}
        assert record(stack) == was
        return said

    stack.lose_state()
    subnet = next(
        one["id"] for urn, one in held.items() if urn.endswith("aws:ec2/subnet:Subnet::main-private-eu-central-1a")
    )
    ec2.create_tags(Resources=[subnet], Tags=[{"Key": "edited", "Value": "by hand"}])
    said = fails()
    assert "main-private-eu-central-1a update [diff: ~tags]" in said
    assert "something isn't as the program says, and would be changed" in said
    assert "edited" in [tag["Key"] for tag in ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["Tags"]]
    ec2.delete_tags(Resources=[subnet], Tags=[{"Key": "edited"}])

    second = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    marks = {"migration:cluster": "pet", "migration:side": "main", "migration:role": "vpc"}
    ec2.create_tags(Resources=[second], Tags=[{"Key": key, "Value": value} for key, value in marks.items()])
    said = fails()
    assert "Vpc main-vpc (aws:ec2/vpc:Vpc) is there 2 times" in said and second in said
    ec2.delete_vpc(VpcId=second)

    ec2.delete_vpc_endpoints(VpcEndpointIds=[one("aws:ec2/vpcEndpoint:VpcEndpoint")])
    assert "VpcEndpoint main-s3 (aws:ec2/vpcEndpoint:VpcEndpoint) isn't there" in fails()
