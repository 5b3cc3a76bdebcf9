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


@pytest.fixture(scope="session")
def plugin(lab_aws: LabAws) -> Iterator[AwsPlugin]:
    """One for all tests: making boto3's clients costs more than using them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(lab_aws.url).items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        made = AwsPlugin()
        made.configure({"region": REGION})
        yield made


@pytest.fixture
def driver(plugin: AwsPlugin, aws_url: str) -> Driver:
    return Driver(plugin, aws_url)
