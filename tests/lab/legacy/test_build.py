from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.addresses import LabAddresses
from lab.legacy.__main__ import build
from lab.legacy.cloud import Cloud
from lab.settings import LabSettings
from tests.lab.somewhere import lab_aws


@pytest.fixture(scope="module")
def lab() -> Iterator[LabAddresses]:
    with lab_aws() as addresses:
        yield addresses


@pytest.mark.lab
def test_building_twice_makes_everything_once_and_leaves_others_things_in_the_vpc(
    lab: LabAddresses, tmp_path: Path
) -> None:
    settings, cloud = LabSettings(), Cloud(lab)

    def count() -> dict[str, int]:
        found = {
            call: len(getattr(cloud.ec2, f"describe_{call}")()[key])
            for call, key in {
                "vpcs": "Vpcs", "subnets": "Subnets", "route_tables": "RouteTables", "volumes": "Volumes",
                "security_groups": "SecurityGroups", "launch_templates": "LaunchTemplates",
                "network_interfaces": "NetworkInterfaces", "vpc_peering_connections": "VpcPeeringConnections",
            }.items()
        }  # fmt: skip
        found["groups"] = len(cloud.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"])
        found["balancers"] = len(cloud.elbv2.describe_load_balancers()["LoadBalancers"])
        return found

    build(lab, settings, tmp_path)
    first, kubeconfig = count(), (tmp_path / "kubeconfig").read_text()
    build(lab, settings, tmp_path)
    assert count() == first
    assert first["groups"] == 15 and first["launch_templates"] == 15 and first["balancers"] == 2
    assert (tmp_path / "kubeconfig").read_text() == kubeconfig
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o777 == 0o600
    others = cloud.named("describe_security_groups", "SecurityGroups", "payments-db")
    assert others is not None
    assert {tag["Key"]: tag["Value"] for tag in others["Tags"]}["Owner"] == "payments-team"
    cluster = cloud.ssm.get_parameter(Name="/pet/etcd/initial-cluster")["Parameter"]["Value"]
    assert [part.partition("=")[0] for part in cluster.split(",")] == ["master-a", "master-b", "master-c"]
