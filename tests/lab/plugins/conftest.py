"""The lab's AWS in this process, empty for each test, and a plugin configured for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.addresses import REGION
from lab.aws.server import LabAws
from lab.aws.world import WORLD
from lab.plugins.aws.provider import AwsPlugin
from lab.settings import LabSettings
from tests.lab.plugins.driving import Driver, environment

SETTINGS = LabSettings(deregistration_s=0.1, change_pending_s=0.05)


@pytest.fixture(scope="session")
def lab_aws() -> Iterator[LabAws]:
    server = LabAws(0).start()
    yield server
    server.stop()


@pytest.fixture
def aws_url(lab_aws: LabAws) -> str:
    WORLD.reset(SETTINGS)
    return lab_aws.url


@pytest.fixture
def aws_environment(aws_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """boto3 in this process finds the lab, and no account of the machine's."""
    for name, value in environment(aws_url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return aws_url


@pytest.fixture
def driver(aws_environment: str) -> Driver:
    plugin = AwsPlugin()
    plugin.configure({"region": REGION, "defaultTags": '{"tags": {"owner": "lab"}}'})
    return Driver(plugin, aws_environment)
