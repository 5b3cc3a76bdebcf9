"""Shape `awkward`'s balancers as discovery finds them: what clients ask for is carried, under a name that moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from lab import shapes
from lab.legacy.__main__ import build
from lab.legacy.awkward.asked import asked
from lab.legacy.cloud import Cloud
from lab.settings import LabSettings
from lab.workload import awkward
from tests.legacy import SERVICE, OnPort
from tests.unit.discover.conftest import FakeKubernetes, Legacy

TRAFFIC = ("several_listeners", "second_ingress", "application_balancer")


@pytest.fixture
def grown(environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Legacy, LabSettings]:
    """A cluster of that shape whose traffic alone is odd."""
    from lab.aws.world import WORLD
    from migration.clients.aws import Aws

    settings = LabSettings(shape=shapes.AWKWARD)
    monkeypatch.setattr(shapes, "oddities", lambda shape, seed: TRAFFIC)
    WORLD.reset(settings)
    cloud = Cloud(OnPort(url=environment))
    build(OnPort(url=environment), settings, tmp_path)
    aws = Aws(region="eu-central-1")
    for name in (f"master-{zone}" for zone in "abc"):
        volume = cloud.named("describe_volumes", "Volumes", f"{name}.etcd.{settings.cluster}")
        machine = next(one.id for one in aws.instances_of_groups([f"{name}.{settings.cluster}"]))
        assert volume is not None
        cloud.ec2.attach_volume(VolumeId=volume["VolumeId"], InstanceId=machine, Device="/dev/xvdf")
    vpc = cloud.named("describe_vpcs", "Vpcs", f"legacy.{settings.cluster}")
    assert vpc is not None
    kubernetes = FakeKubernetes()
    kubernetes.services = [SERVICE, next(one for one in awkward.intranet() if one["kind"] == "Service")]
    return Legacy(cloud, aws, kubernetes, vpc["VpcId"]), settings


def test_every_listener_that_is_asked_is_found_with_a_record_that_moves(grown: tuple[Legacy, LabSettings]) -> None:
    legacy, settings = grown
    first = f"ingress-{settings.cluster}".replace(".", "-")
    found = legacy.discover(cluster=settings.cluster, ingress_balancer=first)
    records = {one["name"]: one["serves"] for one in found["traffic"]["records"]}
    more: list[dict[str, Any]] = found["moreIngress"]
    forms: dict[str, Any] = {"ingress": found["ingress"]["balancer"], **{one["name"]: one["balancer"] for one in more}}
    ports = {
        name: {one["port"]: one.get("protocol", "TCP") for one in form["listeners"]} for name, form in forms.items()
    }
    spoken = {"http": {"TCP", "HTTP"}, "https": {"TLS"}, "dns": {"UDP"}}
    questions = asked(settings)
    assert len(questions) == 7
    for one in questions:
        parts = urlsplit(one.url)
        host = parts.hostname or ""
        serves = records.get(host) or records[f"*.{host.partition('.')[2]}"]
        assert ports[serves][parts.port or 0] in spoken[parts.scheme]
    # Both ports of the second ingress are one Service's.
    assert {one["service"]["service"] for one in more} == {"ingress-intranet", "ingress"}
    (intranet,) = [one for one in more if one["service"]["service"] == "ingress-intranet"]
    assert all("service" not in group for group in intranet["balancer"]["groups"].values())
