"""The legacy cluster, as the lab's builder leaves it in the lab's AWS, without its machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.addresses import LabAddresses
from lab.aws.server import LabAws
from lab.aws.world import WORLD
from lab.legacy.__main__ import build
from lab.legacy.cloud import Cloud
from lab.settings import LabSettings
from migration.clients.aws import Aws
from migration.clients.kubernetes import Kind
from migration.discover.options import DiscoveryOptions
from migration.discover.run import discover
from tests.legacy import SERVICE, OnPort


class FakeKubernetes:
    """Answers the lists that discovery asks for."""

    def __init__(self) -> None:
        self.services = [SERVICE]

    def list(self, kind: Kind, namespace: str | None = None, **_: Any) -> list[dict[str, Any]]:
        return self.services if kind.plural == "services" else []


@dataclass
class Legacy:
    """The built cluster and how to look at it."""

    cloud: Cloud
    aws: Aws
    kubernetes: FakeKubernetes
    vpc: str

    def discover(self, **options: Any) -> dict[str, Any]:
        clients: Any = self
        said = {"cluster": "pet", "vpc": self.vpc, "operator_networks": ("127.50.0.0/16",)}
        return discover(clients, DiscoveryOptions(**{**said, **options}))


@pytest.fixture(scope="module")
def server() -> Iterator[LabAws]:
    running = LabAws().start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def environment(server: LabAws) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        for key, value in LabAddresses().aws_environment().items():
            patch.setenv(key, value)
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server.url


def _built(url: str, folder: Path, layout: str = "cloud-config") -> Legacy:
    settings = LabSettings(layout=layout)
    WORLD.reset(settings)
    cloud = Cloud(OnPort(url=url))
    addresses = OnPort(url=url)
    build(addresses, settings, folder)
    aws = Aws(region="eu-central-1")
    # What the machines' own boot does.
    kind = "etcd" if layout == "separate-etcd" else "master"
    for name in (f"{kind}-{zone}" for zone in "abc"):
        volume = cloud.named("describe_volumes", "Volumes", f"{name}.etcd.pet")
        machine = next(one.id for one in aws.instances_of_groups([f"{name}.pet"]))
        assert volume is not None
        cloud.ec2.attach_volume(VolumeId=volume["VolumeId"], InstanceId=machine, Device="/dev/xvdf")
    vpc = cloud.named("describe_vpcs", "Vpcs", "legacy.pet")
    assert vpc is not None
    return Legacy(cloud, aws, FakeKubernetes(), vpc["VpcId"])


@pytest.fixture(scope="module")
def legacy(environment: str, tmp_path_factory: pytest.TempPathFactory) -> Legacy:
    """Built once: tests of this fixture only read."""
    return _built(environment, tmp_path_factory.mktemp("legacy"))


@pytest.fixture
def sets(environment: str, tmp_path: Path) -> Legacy:
    """The same with etcd on machines of its own; `legacy` is spent then."""
    return _built(environment, tmp_path, "separate-etcd")


@pytest.fixture
def fresh(environment: str, tmp_path: Path) -> Callable[[], Legacy]:
    """Builds anew, for tests that change something; `legacy` is spent then."""
    return lambda: _built(environment, tmp_path)


@pytest.fixture
def of_layout(environment: str, tmp_path: Path) -> Callable[[str], Legacy]:
    """Builds a cluster whose control plane has this form."""
    return lambda layout: _built(environment, tmp_path, layout)
