"""An AWS in memory, for tests that need no lab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from migration.clients.aws import Aws


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Aws(region="eu-central-1")
